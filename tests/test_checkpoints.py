import os
import pickle
import signal
from pathlib import Path

import pytest
import torch
from torch import nn

from snowcover import checkpoints
from snowcover.checkpoints import BadCheckpoint, CannotSave
from snowcover.errors import Stopped
from snowcover.signals import defer_signals, stopping_on_signals
from snowcover.storage import MissingFile
from tests.servers import Bucket


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(4, 2, 3), nn.BatchNorm2d(2))


def ours(network: nn.Module) -> dict:
    state = {f"mapper.network.{key}": value for key, value in network.state_dict().items()}
    return {"state_dict": state | {"mapper.mean": torch.zeros(4)}, "snowcover": {"version": "0"}}


def robosats(network: nn.Module) -> dict:
    state = {f"module.{k}": v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    return {"epoch": 50, "state_dict": state | {"module.resnet.fc.weight": torch.zeros(2)}, "optimizer": {}}


@pytest.mark.parametrize("wrap", [ours, robosats])
def test_weights_come_back_whatever_wrapped_them(tmp_path: Path, wrap) -> None:
    saved, other = net(), net()
    checkpoints.save(wrap(saved), tmp_path / "best.ckpt")
    checkpoints.load_network(other, checkpoints.load(str(tmp_path / "best.ckpt")), "best.ckpt")
    for name, value in saved.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)


def test_a_checkpoint_in_s3_is_read_from_there(tmp_path: Path, s3: Bucket) -> None:
    checkpoints.save(ours(net()), tmp_path / "best.ckpt")
    s3.put("runs/best.ckpt", (tmp_path / "best.ckpt").read_bytes())
    assert checkpoints.load(f"{s3.uri}/runs/best.ckpt")["snowcover"] == {"version": "0"}
    with pytest.raises(MissingFile, match=r"runs/other\.ckpt"):
        checkpoints.load(f"{s3.uri}/runs/other.ckpt")


def test_missing_left_over_and_misshapen_weights_are_listed() -> None:
    checkpoint = robosats(net())
    state = checkpoint["state_dict"]
    state["module.extra"] = torch.zeros(1)
    state["module.0.weight"] = torch.zeros(2, 3, 3, 3)
    del state["module.1.bias"]
    with pytest.raises(BadCheckpoint) as error:
        checkpoints.load_network(net(), checkpoint, "old.pth")
    for part in (
        "old.pth",
        "1.bias is missing",
        "extra is left over",
        "0.weight is (2, 3, 3, 3) and should be (2, 4, 3, 3)",
    ):
        assert part in str(error.value)


class Payload:
    def __reduce__(self) -> tuple:
        return os.system, ("touch harmed",)


def test_a_checkpoint_with_code_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {}, "payload": Payload()}, "evil.ckpt")
    with pytest.raises(BadCheckpoint, match="evil.ckpt cannot be read as a checkpoint: it holds more than weights"):
        checkpoints.load("evil.ckpt")
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(BadCheckpoint):
        checkpoints.load("evil.pkl")
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_what_is_no_checkpoint_is_refused_by_name(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "some.ckpt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadCheckpoint, match=r"some\.ckpt"):
        checkpoints.load(str(path))


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    checkpoints.save(ours(net()), path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(BadCheckpoint, match="damaged"):
        checkpoints.load(str(path))


def test_a_full_disk_leaves_the_checkpoint_before_it_whole(tmp_path: Path) -> None:
    """/dev/full stands for the disk: it takes no byte."""
    path = tmp_path / "last.ckpt"
    checkpoints.save({"state_dict": {"a": torch.zeros(3)}}, path)
    part = tmp_path / f".last.ckpt.{os.getpid()}.part"
    part.symlink_to("/dev/full")
    with pytest.raises(CannotSave, match=r"last\.ckpt could not be saved, the disk is full"):
        checkpoints.save({"state_dict": {"a": torch.ones(3_000_000)}}, path)
    assert torch.equal(checkpoints.load(str(path))["state_dict"]["a"], torch.zeros(3))
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_weights_of_whole_numbers_are_not_taken_for_measurements() -> None:
    checkpoint = ours(net())
    checkpoint["state_dict"]["mapper.network.0.weight"] = torch.zeros(2, 4, 3, 3, dtype=torch.int8)
    with pytest.raises(BadCheckpoint, match=r"0\.weight is torch\.int8 and should be torch\.float32"):
        checkpoints.load_network(net(), checkpoint, "quantised.ckpt")
    checkpoints.load_network(net().half(), ours(net()), "whole.ckpt")


def test_a_stop_while_saving_comes_when_the_checkpoint_is_whole(tmp_path: Path) -> None:
    with pytest.raises(Stopped), stopping_on_signals():
        with defer_signals():
            os.kill(os.getpid(), signal.SIGTERM)
            checkpoints.save({"state_dict": {"a": torch.ones(3)}}, tmp_path / "last.ckpt")
        raise AssertionError("the stop was lost")
    assert torch.equal(checkpoints.load(str(tmp_path / "last.ckpt"))["state_dict"]["a"], torch.ones(3))
