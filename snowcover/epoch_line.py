"""The line that a training prints for each epoch, and how it is read again: by the launcher, and by SageMaker. Pure."""

import re
from collections.abc import Mapping

from snowcover.scoring.objective import OBJECTIVE

PREFIX = "epoch="
SCORES = ("train_loss", "train_iou", "val_loss", OBJECTIVE)
SPEED = "tiles_per_second"
_READ = re.compile(rf"{PREFIX}(?P<epoch>\d+)/(?P<epochs>\d+)(?:.* {OBJECTIVE}=(?P<objective>[0-9.]+))?")


def epoch_number(index: int) -> int:
    """What a user reads of an epoch: counted from 1 wherever one is shown, and from 0 in the code alone."""
    return index + 1


def format_epoch(row: Mapping[str, float], max_epochs: int | None) -> str:
    """One epoch's scores in a line: `epoch=3/60 train_loss=0.4 ... tiles_per_second=5.50`."""
    values = " ".join(f"{name}={row[name]:.4f}" for name in SCORES if name in row)
    return f"{PREFIX}{epoch_number(int(row['epoch']))}/{max_epochs} {values} {SPEED}={row[SPEED]:.2f}"


def progress_of(line: str) -> str | None:
    """`epoch 3/60, val_iou 0.87` of such a line; None of any other."""
    match = _READ.search(line)
    if match is None:
        return None
    score = f", {OBJECTIVE} {match['objective']}" if match["objective"] else ""
    return f"epoch {match['epoch']}/{match['epochs']}{score}"


def metric_patterns() -> dict[str, str]:
    """Regular expression of each number in such a line, as SageMaker's metric definitions take them."""
    scores = {name: rf"{name}=([0-9.eE+-]+)" for name in (*SCORES, SPEED)}
    return {"epoch": rf"{PREFIX}([0-9]+)/", **scores}
