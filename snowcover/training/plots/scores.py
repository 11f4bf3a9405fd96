"""What a network's probabilities are worth on the test tiles: confusion matrix, precision and recall, reliability."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from snowcover.scoring.calibration import Reliability
from snowcover.training.plots.drawing import (
    BEST,
    FIRST,
    GREY,
    PROBABILITY,
    SECOND,
    Pixels,
    Reals,
    label_axes,
    new_figure,
    save,
    save_message,
)


@dataclass(frozen=True)
class Curve:
    """Scores [T] of predicting snow at or above each of the rising thresholds [T]."""

    thresholds: Reals
    precision: Reals
    recall: Reals

    @property
    def f1(self) -> Reals:
        """[T]; 0 where no snow pixel is found."""
        total = self.precision + self.recall
        return np.divide(2 * self.precision * self.recall, total, out=np.zeros_like(total), where=total > 0)

    @property
    def iou(self) -> Reals:
        """[T], of snow: F1 / (2 - F1)."""
        return self.f1 / (2 - self.f1)

    @property
    def average_precision(self) -> float:
        """Precision weighted by the recall that each threshold adds, without interpolation."""
        return float(np.sum(self.precision * -np.diff(self.recall, append=0.0)))


def curve(snow_counts: Pixels, bare_counts: Pixels) -> Curve:
    """Precision and recall from histograms [bins] of the probability, over equal bins from 0 to 1.

    The thresholds are the lower edges of the bins. Those at which nothing is predicted as snow have no
    precision and are left out; without any snow in the reference recall is undefined, and the curve is empty.

    Raises:
        ValueError: if the histograms are not of the same bins.
    """
    if snow_counts.ndim != 1 or snow_counts.shape != bare_counts.shape:
        raise ValueError(
            f"Two histograms over the same bins are needed, got {snow_counts.shape} and {bare_counts.shape}."
        )
    tp, fp = (np.cumsum(counts[::-1].astype(np.float64))[::-1] for counts in (snow_counts, bare_counts))
    defined = (tp + fp > 0) & (tp[:1] > 0)  # tp[0], at threshold 0, is all the snow there is
    tp, fp = tp[defined], fp[defined]
    return Curve(np.flatnonzero(defined) / len(defined), tp / (tp + fp), tp / tp[:1])


def draw_confusion(path: Path, tp: int, fp: int, fn: int, tn: int, title: str = "Confusion matrix") -> None:
    """Draw the 2 x 2 counts of observed pixels as shares of their reference row and of all pixels."""
    counts = np.array([[tp, fn], [fp, tn]], dtype=np.float64)  # [reference, predicted]
    if counts.sum() == 0:
        return save_message(path, title, "No pixel was observed, so there is nothing to compare.")
    rows = counts.sum(axis=1, keepdims=True)
    shares = np.ma.masked_array(counts / np.maximum(rows, 1), np.broadcast_to(rows == 0, counts.shape))
    figure, (axes,) = new_figure(7, 5.8)
    image = axes.imshow(shares, cmap=PROBABILITY, vmin=0, vmax=1)
    names = np.array([["TP", "FN"], ["FP", "TN"]])
    for (row, column), count in np.ndenumerate(counts):
        _draw_cell(axes, (column, row), str(names[row, column]), count, rows[row, 0], counts.sum())
    axes.set_xticks([0, 1], ["Snow", "No snow"])
    axes.set_yticks([0, 1], ["Snow", "No snow"], rotation=90, va="center")
    label_axes(axes, f"{title}\n{counts.sum():,.0f} observed pixels", "Predicted", "Reference")
    bar = figure.colorbar(image, ax=axes, format=PercentFormatter(1))
    bar.set_label("Share of the reference row", fontsize=12)
    return save(figure, path)


def draw_precision_recall(path: Path, snow_counts: Pixels, bare_counts: Pixels, title: str = "Snow") -> None:
    """Draw precision against recall, and F1 and IoU against the threshold, from histograms as in `curve`.

    Raises:
        ValueError: if the histograms are not of the same bins, or 0.5 is no edge of a bin.
    """
    if len(snow_counts) % 2:
        raise ValueError(f"0.5 must be an edge of a bin: take an even number of bins, got {len(snow_counts)}.")
    scores = curve(snow_counts, bare_counts)
    snow, bare = float(snow_counts.sum()), float(bare_counts.sum())
    if not snow:
        return save_message(path, title, "No observed pixel is snow in the reference, so there is no recall to draw.")
    if not bare:
        return save_message(path, title, "Every observed pixel is snow in the reference, so precision is always 1.")
    figure, (left, right) = new_figure(12.4, 6.4, columns=2)
    _iso_f1_lines(left)
    left.plot(scores.recall, scores.precision, color=FIRST, lw=2, drawstyle="steps-post")
    prevalence = snow / (snow + bare)
    left.axhline(prevalence, color="black", lw=1, ls=":", label=f"calling every pixel snow: precision {prevalence:.2f}")
    label_axes(left, f"{title}: average precision {scores.average_precision:.3f}", "Recall", "Precision")
    right.plot(scores.thresholds, scores.f1, color=FIRST, lw=2, label="F1")
    right.plot(scores.thresholds, scores.iou, color=SECOND, lw=2, ls="--", label="IoU of snow")
    label_axes(right, "F1 and IoU by threshold", "Threshold on the probability of snow", "Score")
    _mark(left, right, scores, int(np.argmax(scores.f1)), "best F1", {"marker": "*", "ms": 17, "color": BEST})
    if 0.5 in scores.thresholds:
        half = int(np.searchsorted(scores.thresholds, 0.5))
        _mark(left, right, scores, half, "default", {"marker": "o", "ms": 8, "color": "black"})
    else:
        left.plot([], [], ls="", label="no pixel is called snow at the default threshold 0.50")
    for axes in (left, right):
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), fontsize=11, frameon=False)
    return save(figure, path)


def draw_reliability(
    path: Path, before: Reliability, after: Reliability, temperature: float, title: str = "Reliability"
) -> None:
    """Draw the share of snow among the pixels of each probability, before and after calibration."""
    if not after.pixels.any():
        return save_message(path, title, "No pixel was observed, so no probability came true or did not.")
    figure, (upper, lower) = new_figure(7.4, 7.6, heights=(3.2, 1))
    upper.plot([0, 1], [0, 1], color="black", lw=1, ls="--", label="means what it says")
    edges = np.linspace(0, 1, len(after.pixels) + 1)
    for name, found, colour, marker in (
        ("as the network says it", before, SECOND, "s"),
        (f"calibrated (temperature {temperature:.3g})", after, FIRST, "o"),
    ):
        known = found.pixels > 0
        error = np.average(np.abs(found.mean_probability - found.observed_share)[known], weights=found.pixels[known])
        label = f"{name}: off by {error:.3f} on average"
        upper.plot(found.mean_probability[known], found.observed_share[known], color=colour, marker=marker, label=label)
        lower.stairs(found.pixels / found.pixels.sum(), edges, color=colour, lw=2)
    label_axes(upper, f"{title}: do the probabilities mean what they say?", "", "Share that is snow in the reference")
    label_axes(lower, "", "Probability of snow", "Pixels")
    lower.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    upper.set(xlim=(0, 1), ylim=(0, 1.02))
    figure.legend(fontsize=11, loc="outside lower center", frameon=False)
    return save(figure, path)


def _draw_cell(axes: Axes, at: tuple[int, int], name: str, count: float, row: float, all_pixels: float) -> None:
    """Write one cell of the confusion matrix: a count, of how many in its reference row and of all."""
    share = count / row if row else None
    colour = "white" if share is not None and share < 0.5 else "black"
    head = "no such pixels" if share is None else f"{share:.1%}"
    axes.text(*at, head, ha="center", va="bottom", fontsize=14 if share is None else 20, color=colour)
    tail = f"{name}: {count:,.0f}\n{count / all_pixels:.1%} of all pixels"
    axes.text(at[0], at[1] + 0.06, tail, ha="center", va="top", fontsize=12, color=colour, linespacing=1.3)


def _iso_f1_lines(axes: Axes) -> None:
    """Faint lines of equal F1, named at the right edge."""
    for f1 in (0.2, 0.4, 0.6, 0.8, 0.9):
        recall = np.linspace(f1 / (2 - f1), 1, 100)
        axes.plot(recall, f1 * recall / (2 * recall - f1), color=GREY, lw=1, zorder=0)
        axes.text(1.01, f1 / (2 - f1), f"F1 {f1}", color="#707070", fontsize=10, va="center")


def _mark(left: Axes, right: Axes, scores: Curve, index: int, name: str, style: Mapping[str, Any]) -> None:
    """Mark one threshold in both panels."""
    threshold, f1 = scores.thresholds[index], scores.f1[index]
    precision, recall = scores.precision[index], scores.recall[index]
    style = {"ls": "", "mec": "white", "zorder": 3, "clip_on": False, **style}
    text = f"{name}, threshold {threshold:.2f}: precision {precision:.3f}, recall {recall:.3f}"
    left.plot(recall, precision, label=text, **style)
    right.plot(
        threshold,
        f1,
        label=f"{name}, threshold {threshold:.2f}: F1 {f1:.3f}, IoU {scores.iou[index]:.3f}",
        **style,
    )
    right.axvline(threshold, color=style["color"], lw=1, ls=":", zorder=0)
