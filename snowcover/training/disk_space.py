"""Whether the disks have room for what a run will write, looked at before it trains."""

import contextlib
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from snowcover.components import instantiate
from snowcover.errors import UserError

USUAL_COPIES = 2.0  # of each weight that an optimizer keeps: Adam's


class NoRoom(UserError):
    """The disk has too little room for what the run will write."""


def check_room(net: nn.Module, optimizer: Mapping[str, Any], checkpoint_dir: Path, artifacts: Path | None) -> None:
    """Refuse a run whose checkpoints or model the disk would not hold.

    Args:
        artifacts: where MLflow keeps them, if on this machine.

    Raises:
        NoRoom
    """
    weights = sum(value.numel() * value.element_size() for value in net.state_dict().values())
    last = round(weights * (1 + optimizer_copies(optimizer)))
    there = sum(path.stat().st_size for path in checkpoint_dir.glob("*.ckpt"))
    # A checkpoint is written next to the one that it replaces, and the model where it stays or is sent from.
    _refuse_full({checkpoint_dir: weights + 2 * last - there})
    _refuse_full({checkpoint_dir: 2 * weights + last - there, artifacts or Path(tempfile.gettempdir()): weights})


def optimizer_copies(node: Mapping[str, Any]) -> float:
    """Numbers that an optimizer keeps of each weight: seen at its first step on a weight of its own."""
    weight = nn.Parameter(torch.zeros(64))
    optimizer = instantiate(node, "optimizer", params=[weight])
    weight.grad = torch.ones(64)
    with contextlib.suppress(Exception):  # one that wants more of a step than a gradient
        optimizer.step()
    kept = [value for value in optimizer.state[weight].values() if torch.is_tensor(value)]
    return sum(value.numel() for value in kept) / weight.numel() if kept else _unseen(optimizer)


def _unseen(optimizer: Any) -> float:
    return 0.0 if isinstance(optimizer, torch.optim.SGD) else USUAL_COPIES


def _refuse_full(needs: Mapping[Path, int]) -> None:
    by_disk: dict[int, list[Path]] = defaultdict(list)
    for place in needs:
        by_disk[_existing(place).stat().st_dev].append(place)
    for places in by_disk.values():
        wanted, free = sum(needs[place] for place in places), free_bytes(places[0])
        if wanted > free:
            raise NoRoom(
                f"The run will write up to {wanted / 1e9:.2f} GB under {' and '.join(map(str, places))}, where "
                f"{free / 1e9:.2f} GB are free: free some space, or give places on another disk (checkpoint.dir for "
                "the checkpoints, tracking.uri for MLflow, TMPDIR for temporary files)."
            )


def free_bytes(place: Path) -> int:
    """Free space where `place` is or would be made."""
    return shutil.disk_usage(_existing(place)).free


def _existing(place: Path) -> Path:
    return next(folder for folder in (place.absolute(), *place.absolute().parents) if folder.exists())
