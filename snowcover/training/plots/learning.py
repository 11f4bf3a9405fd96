"""Loss, IoU and learning rate by epoch."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from snowcover.scoring.objective import OBJECTIVE
from snowcover.training.plots.drawing import BEST, FIRST, SECOND, Reals, label_axes, new_figure, save, save_message


def draw_learning_curves(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Draw loss, IoU and learning rate by epoch; what an epoch did not record is passed over.

    Args:
        path: of the PNG.
        history: one mapping an epoch: "epoch", and any of train_loss, val_loss, train_iou, val_iou, lr.
    """
    if not history:
        return save_message(path, "Learning curves", "No epoch has ended yet.")
    figure, (loss, iou, rate) = new_figure(9, 7.6, heights=(3, 3, 1.2))
    _draw_series(loss, history, {"train_loss": "train", "val_loss": "val"})
    _draw_series(iou, history, {"train_iou": "train", OBJECTIVE: "val"})
    _draw_series(rate, history, {"lr": ""})
    _mark_best(iou, *_series(history, OBJECTIVE))
    label_axes(loss, "Loss by epoch", "", "Loss")
    label_axes(iou, "IoU of snow by epoch", "", "IoU")
    label_axes(rate, "", "Epoch", "Learning rate")
    for axes in (loss, iou):
        if axes.lines:
            axes.legend(fontsize=11)
    rate.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    epochs = [entry["epoch"] for entry in history]
    rate.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
    rate.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return save(figure, path)


def _series(history: Sequence[Mapping[str, float]], key: str) -> tuple[Reals, Reals]:
    """Epochs and values [N] of one key, by rising epoch; an infinite value is nan, a gap in the line."""
    pairs = {entry["epoch"]: entry[key] for entry in history if key in entry}
    values = np.array([pairs[epoch] for epoch in sorted(pairs)], np.float64)
    return np.array(sorted(pairs), np.float64), np.where(np.isfinite(values), values, np.nan)


def _draw_series(axes: Axes, history: Sequence[Mapping[str, float]], names: Mapping[str, str]) -> None:
    for (key, name), colour, marker in zip(names.items(), (FIRST, SECOND), "os", strict=False):
        epochs, values = _series(history, key)
        if np.isfinite(values).any():
            axes.plot(epochs, values, color=colour, lw=2, marker=marker, ms=4, label=name)
    if not axes.lines:
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", va="center", fontsize=12)
        axes.set_yticks([])


def _mark_best(axes: Axes, epochs: Reals, values: Reals) -> None:
    if np.isfinite(values).any():
        best = int(np.nanargmax(values))
        label = f"best val: {values[best]:.3f} at epoch {epochs[best]:.0f}"
        axes.plot(epochs[best], values[best], ls="", marker="*", ms=16, color=BEST, mec="white", label=label)
