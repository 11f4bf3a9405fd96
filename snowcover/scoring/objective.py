"""What a run is chosen by: the IoU of snow on the validation tiles. Pure."""

from collections.abc import Mapping, Sequence

OBJECTIVE = "val_iou"


def best_epoch(history: Sequence[Mapping[str, float]]) -> int | None:
    """Index of the epoch with the highest objective, the first of equals; None where none has one."""
    known = [(row[OBJECTIVE], -index) for index, row in enumerate(history) if OBJECTIVE in row]
    return -max(known)[1] if known else None


def best_value(history: Sequence[Mapping[str, float]]) -> float:
    """The best epoch's objective, which a sweeper raises; NaN where no epoch has one."""
    best = best_epoch(history)
    return float("nan") if best is None else float(history[best][OBJECTIVE])


def patience_over(history: Sequence[Mapping[str, float]], patience_epochs: int | None) -> bool:
    """Whether as many epochs as patience lasts have come since the best one."""
    best = best_epoch(history)
    return patience_epochs is not None and best is not None and len(history) - 1 - best >= patience_epochs


def ends_with_best(history: Sequence[Mapping[str, float]]) -> bool:
    """Whether the last epoch is the one to keep: the best so far, or as good as any where none could be scored."""
    return best_epoch(history) in (None, len(history) - 1)
