"""Room on the disks, looked at before training."""

from pathlib import Path

import pytest
from torch import nn

from snowcover.training import disk_space
from snowcover.training.disk_space import NoRoom, check_room, optimizer_copies
from tests.making import config


@pytest.mark.parametrize(
    ("overrides", "copies"),
    [
        (["optimizer=adam"], 2),
        (["optimizer=sgd", "optimizer.momentum=0", "optimizer.nesterov=false"], 0),
        (["optimizer=sgd", "optimizer.momentum=0.9"], 1),
    ],
)
def test_what_an_optimizer_keeps_of_each_weight_is_seen(overrides: list[str], copies: int) -> None:
    assert optimizer_copies(config(*overrides).optimizer) == pytest.approx(copies, abs=0.05)


def test_a_disk_without_room_for_the_checkpoints_is_reported_with_both_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, adam = nn.Linear(1000, 2500, bias=False), config("optimizer=adam").optimizer  # 10 MB, 30 MB with its state
    monkeypatch.setattr(disk_space, "free_bytes", lambda _: 75_000_000)
    check_room(net, adam, tmp_path / "checkpoints", tmp_path / "mlruns")
    monkeypatch.setattr(disk_space, "free_bytes", lambda _: 65_000_000)
    with pytest.raises(
        NoRoom, match=r"write up to 0\.07 GB under .*checkpoints, where 0\.07 GB are free: free some space"
    ):
        check_room(net, adam, tmp_path / "checkpoints", tmp_path / "mlruns")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/last.ckpt").write_bytes(bytes(30_000_000))  # which a run that goes on replaces
    check_room(net, adam, tmp_path / "checkpoints", tmp_path / "mlruns")
