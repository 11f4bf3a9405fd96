"""The pictures that a run leaves behind, each one PNG file, written whole or not at all.

Figures are built without pyplot: its global state does not stand several runs in one process. The colours
are those of Okabe and Ito (https://jfly.uni-koeln.de/color/) and cividis, fit for colour-blind readers.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import cycle
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PatchCollection
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray
from PIL import Image

from snowcover import storage
from snowcover.scoring.calibration import Reliability

Pixels = NDArray[np.generic]
Reals = NDArray[np.floating]

BARE, SNOW, MISSED_SNOW, FALSE_SNOW, UNOBSERVED = 0, 1, 2, 3, 255  # the first two and the last as in a mask
MASK_NAMES = {SNOW: "Snow", BARE: "No snow", UNOBSERVED: "Unobserved"}
ERROR_NAMES = {
    SNOW: "True snow",
    BARE: "True bare",
    UNOBSERVED: "Unobserved",
    MISSED_SNOW: "Missed snow (FN)",
    FALSE_SNOW: "False snow (FP)",
}
GREY = "#bdbdbd"  # nothing is known here: nodata, unobserved
COLOURS = {BARE: "#3d3d3d", SNOW: "#56b4e9", MISSED_SNOW: "#d55e00", FALSE_SNOW: "#f0e442", UNOBSERVED: GREY}
FIRST, SECOND, BEST = "#0072b2", "#e69f00", "#d55e00"
SIDES = {"train": FIRST, "val": SECOND, "test": "#009e73"}
OTHER_SIDES = ("#cc79a7", "#56b4e9", "#f0e442", "#000000")
PROBABILITY = matplotlib.colormaps["cividis"].with_extremes(bad=GREY)

DPI = 100
PANEL, GAP, HEAD, ROW_TITLE, FOOT = 288, 14, 60, 46, 92  # pixels of the tile picture
MAX_ROWS = 8
EQUATOR_KM = 40075.017


@dataclass(frozen=True)
class TilePicture:
    """One row of the tile picture."""

    name: str
    """Scene and z/x/y."""
    image: Pixels
    """[C, H, W] raw values; a pixel that is 0 in all bands is nodata."""
    mask: NDArray[np.uint8]
    """[H, W]: 1 snow, 0 no snow, 255 unobserved."""
    probability: Reals
    """[H, W] of snow, 0 to 1."""
    threshold: float = 0.5
    """A pixel with at least this probability is predicted as snow."""


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


def error_classes(mask: NDArray[np.uint8], probability: Reals, threshold: float = 0.5) -> NDArray[np.uint8]:
    """Compare mask and prediction pixel by pixel: [H, W] of the codes at the top of this file."""
    predicted = probability >= threshold
    of_snow, of_bare = np.where(predicted, SNOW, MISSED_SNOW), np.where(predicted, FALSE_SNOW, BARE)
    return np.select([mask == UNOBSERVED, mask == SNOW], [UNOBSERVED, of_snow], of_bare).astype(np.uint8)


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


def tiles(path: Path, samples: Sequence[TilePicture], bands: Sequence[str]) -> None:
    """Draw 1 to 8 tiles as rows: true colour, false colour, mask, probability and errors.

    Each band is stretched from its 2nd to its 98th percentile over the row's observed pixels, alike in both
    colour panels. Without bands named red, green, blue (and nir) the first three (and the last) stand in.

    Raises:
        ValueError: for another number of tiles.
    """
    if not 1 <= len(samples) <= MAX_ROWS:
        raise ValueError(f"The tile picture has 1 to {MAX_ROWS} rows, got {len(samples)} tiles.")
    width, height = 5 * PANEL + 6 * GAP, HEAD + len(samples) * (ROW_TITLE + PANEL) + FOOT
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    composites = _composites(bands)
    for row, sample in enumerate(samples):
        _draw_row(figure, HEAD + row * (ROW_TITLE + PANEL), sample, [channels for _, channels in composites])
    headings = [*(name for name, _ in composites), "Mask (reference)", "Probability of snow", "Errors"]
    for column, title in enumerate(headings):
        heading = _panel(figure, column, 0, HEAD)
        heading.text(0.5, 0, title, ha="center", va="bottom", fontsize=14, parse_math=False)
    _draw_foot(figure, height - FOOT)
    _save(figure, path)


def confusion(path: Path, tp: int, fp: int, fn: int, tn: int, title: str = "Confusion matrix") -> None:
    """Draw the 2 x 2 counts of observed pixels as shares of their reference row and of all pixels."""
    counts = np.array([[tp, fn], [fp, tn]], dtype=np.float64)  # [reference, predicted]
    if counts.sum() == 0:
        return _sentence(path, title, "No pixel was observed, so there is nothing to compare.")
    rows = counts.sum(axis=1, keepdims=True)
    shares = np.ma.masked_array(counts / np.maximum(rows, 1), np.broadcast_to(rows == 0, counts.shape))
    figure, (axes,) = _figure(7, 5.8)
    image = axes.imshow(shares, cmap=PROBABILITY, vmin=0, vmax=1)
    names = np.array([["TP", "FN"], ["FP", "TN"]])
    for (row, column), count in np.ndenumerate(counts):
        _draw_cell(axes, (column, row), str(names[row, column]), count, rows[row, 0], counts.sum())
    axes.set_xticks([0, 1], ["Snow", "No snow"])
    axes.set_yticks([0, 1], ["Snow", "No snow"], rotation=90, va="center")
    _label(axes, f"{title}\n{counts.sum():,.0f} observed pixels", "Predicted", "Reference")
    bar = figure.colorbar(image, ax=axes, format=PercentFormatter(1))
    bar.set_label("Share of the reference row", fontsize=12)
    return _save(figure, path)


def precision_recall(path: Path, snow_counts: Pixels, bare_counts: Pixels, title: str = "Snow") -> None:
    """Draw precision against recall, and F1 and IoU against the threshold, from histograms as in `curve`.

    Raises:
        ValueError: if the histograms are not of the same bins, or 0.5 is no edge of a bin.
    """
    if len(snow_counts) % 2:
        raise ValueError(f"0.5 must be an edge of a bin: take an even number of bins, got {len(snow_counts)}.")
    scores = curve(snow_counts, bare_counts)
    snow, bare = float(snow_counts.sum()), float(bare_counts.sum())
    if not snow:
        return _sentence(path, title, "No observed pixel is snow in the reference, so there is no recall to draw.")
    if not bare:
        return _sentence(path, title, "Every observed pixel is snow in the reference, so precision is always 1.")
    figure, (left, right) = _figure(12.4, 6.4, columns=2)
    _iso_f1_lines(left)
    left.plot(scores.recall, scores.precision, color=FIRST, lw=2, drawstyle="steps-post")
    prevalence = snow / (snow + bare)
    left.axhline(prevalence, color="black", lw=1, ls=":", label=f"calling every pixel snow: precision {prevalence:.2f}")
    _label(left, f"{title}: average precision {scores.average_precision:.3f}", "Recall", "Precision")
    right.plot(scores.thresholds, scores.f1, color=FIRST, lw=2, label="F1")
    right.plot(scores.thresholds, scores.iou, color=SECOND, lw=2, ls="--", label="IoU of snow")
    _label(right, "F1 and IoU by threshold", "Threshold on the probability of snow", "Score")
    _mark(left, right, scores, int(np.argmax(scores.f1)), "best F1", {"marker": "*", "ms": 17, "color": BEST})
    if 0.5 in scores.thresholds:
        half = int(np.searchsorted(scores.thresholds, 0.5))
        _mark(left, right, scores, half, "default", {"marker": "o", "ms": 8, "color": "black"})
    else:
        left.plot([], [], ls="", label="no pixel is called snow at the default threshold 0.50")
    for axes in (left, right):
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), fontsize=11, frameon=False)
    return _save(figure, path)


def reliability(
    path: Path, before: Reliability, after: Reliability, temperature: float, title: str = "Reliability"
) -> None:
    """Draw the share of snow among the pixels of each probability, before and after calibration."""
    if not after.pixels.any():
        return _sentence(path, title, "No pixel was observed, so no probability came true or did not.")
    figure, (upper, lower) = _figure(7.4, 7.6, heights=(3.2, 1))
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
    _label(upper, f"{title}: do the probabilities mean what they say?", "", "Share that is snow in the reference")
    _label(lower, "", "Probability of snow", "Pixels")
    lower.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    upper.set(xlim=(0, 1), ylim=(0, 1.02))
    figure.legend(fontsize=11, loc="outside lower center", frameon=False)
    return _save(figure, path)


def learning_curves(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Draw loss, IoU and learning rate by epoch; what an epoch did not record is passed over.

    Args:
        path: of the PNG.
        history: one mapping an epoch: "epoch", and any of train_loss, val_loss, train_iou, val_iou, lr.
    """
    if not history:
        return _sentence(path, "Learning curves", "No epoch has ended yet.")
    figure, (loss, iou, rate) = _figure(9, 7.6, heights=(3, 3, 1.2))
    _draw_series(loss, history, {"train_loss": "train", "val_loss": "val"})
    _draw_series(iou, history, {"train_iou": "train", "val_iou": "val"})
    _draw_series(rate, history, {"lr": ""})
    _mark_best(iou, *_series(history, "val_iou"))
    _label(loss, "Loss by epoch", "", "Loss")
    _label(iou, "IoU of snow by epoch", "", "IoU")
    _label(rate, "", "Epoch", "Learning rate")
    for axes in (loss, iou):
        if axes.lines:
            axes.legend(fontsize=11)
    rate.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    epochs = [entry["epoch"] for entry in history]
    rate.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
    rate.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return _save(figure, path)


def split_map(path: Path, tiles: Sequence[tuple[int, int, int, str]]) -> None:
    """Draw which tiles (z, x, y, side) of the Web Mercator grid train, validate and test; north is up.

    A tile that several scenes share is one cell; one that stands on several sides, as it may where whole
    dates are held out, is named and coloured apart.
    """
    if not tiles:
        return _sentence(path, "Split", "There are no tiles to show.")
    sides: dict[tuple[int, int, int], set[str]] = {}
    for z, x, y, side in tiles:
        sides.setdefault((z, x, y), set()).add(side)
    named = {tile: " and ".join(sorted(of, reverse=True)) for tile, of in sides.items()}
    colours = SIDES | dict(zip(sorted({*named.values()} - {*SIDES}), cycle(OTHER_SIDES), strict=False))
    zoom = max(z for z, _, _ in named)
    figure, (axes,) = _figure(8.4, 6.6)
    handles = []
    for name, colour in colours.items():
        cells = [_cell(*tile, zoom) for tile, side in named.items() if side == name]
        axes.add_collection(PatchCollection(cells, facecolor=colour, edgecolor=colour, linewidth=0.3, snap=False))
        handles.append(Patch(color=colour, label=f"{name}: {len(cells):,}"))
    axes.autoscale_view()
    axes.set_aspect("equal")
    axes.invert_yaxis()
    figure.set_figheight(float(np.clip(1.4 + 6 * axes.get_data_ratio(), 3, 7.5)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.ticklabel_format(style="plain", useOffset=False)
    _label(
        axes,
        f"Split of {len(named):,} tiles\n{_ground(zoom, axes)}",
        f"Tile x at zoom {zoom}",
        f"Tile y at zoom {zoom}",
    )
    axes.legend(handles=handles, title="Tiles", loc="center left", bbox_to_anchor=(1, 0.5))
    return _save(figure, path)


def _composites(bands: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Heading and channels (three for colour, one for grey) of the two colour panels."""
    last = len(bands) - 1
    first = ("Pseudo-colour", [0, 1, 2]) if last >= 2 else ("One band", [0])
    chosen = [
        (name, [bands.index(band) for band in wanted]) if set(wanted) <= set(bands) else fallback
        for name, wanted, fallback in (
            ("True colour", ("red", "green", "blue"), first),
            ("False colour", ("nir", "red", "green"), ("One band", [last])),
        )
    ]
    return [(f"{name}\n{', '.join(bands[channel] for channel in of)}", of) for name, of in chosen]


def _stretch(image: Pixels, observed: NDArray[np.bool_]) -> Reals:
    """[C, H, W], 0 to 1 between the 2nd and the 98th percentile of each band's observed pixels [H, W]."""
    values = image[:, observed].astype(np.float32)  # [C, N]
    if not values.size:
        return np.zeros(image.shape, np.float32)
    low, high = (limit[:, None, None] for limit in np.percentile(values, (2, 98), axis=1))
    ramp = np.clip((image - low) / np.maximum(high - low, 1e-12), 0, 1)
    flat = 0.5 + np.sign(image - low) / 2  # such as saturated snow: mid-grey, where a ramp would paint it black
    stretched: Reals = np.where(high > low, ramp, flat)
    return stretched


def _draw_row(figure: Figure, top: int, sample: TilePicture, composites: Sequence[Sequence[int]]) -> None:
    observed = np.any(sample.image != 0, axis=0) & np.all(np.isfinite(sample.image), axis=0)  # [H, W]
    mask = np.where(observed, sample.mask, UNOBSERVED).astype(np.uint8)
    classes = error_classes(mask, sample.probability, sample.threshold)
    heading = _panel(figure, 0, top, ROW_TITLE)
    title = f"{sample.name}:  {_iou(classes)} at threshold {sample.threshold:g}"
    heading.text(0, 0.12, title, fontsize=13, va="bottom", parse_math=False)
    panels = [_panel(figure, column, top + ROW_TITLE, PANEL) for column in range(5)]
    stretched = _stretch(sample.image, observed)
    for axes, channels in zip(panels, composites, strict=False):
        colour = np.moveaxis(stretched[np.resize(channels, 3)], 0, -1)  # [H, W, 3]
        axes.imshow(np.where(observed[..., None], colour, to_rgb(GREY)))
    panels[2].imshow(_paint(mask), interpolation="nearest")
    panels[3].imshow(np.ma.masked_where(~observed, sample.probability), cmap=PROBABILITY, vmin=0, vmax=1)
    panels[4].imshow(_paint(classes), interpolation="nearest")


def _draw_foot(figure: Figure, top: int) -> None:
    """The keys, each under the column it explains."""
    note = (
        "Colours: each band is stretched from its 2nd to its 98th\npercentile in the row. Grey: nodata or unobserved."
    )
    _panel(figure, 0, top + 12, FOOT).text(0, 1, note, fontsize=11, va="top")
    for column, names in (2, MASK_NAMES), (4, ERROR_NAMES):
        handles = [
            Patch(facecolor=COLOURS[code], edgecolor="black", lw=0.5, label=name) for code, name in names.items()
        ]
        keys = _panel(figure, column, top + 10, FOOT)
        keys.legend(handles=handles, loc="upper left", ncols=2, fontsize=11, frameon=False, borderaxespad=0,
                    borderpad=0, columnspacing=0.6, handlelength=1.2, handletextpad=0.5)  # fmt: skip
    bar = _panel(figure, 3, top + 14, 16)
    bar.set_axis_on()
    figure.colorbar(ScalarMappable(Normalize(0, 1), PROBABILITY), cax=bar, orientation="horizontal")
    bar.tick_params(labelsize=11)
    bar.get_xticklabels()[0].set_horizontalalignment("left")
    bar.get_xticklabels()[-1].set_horizontalalignment("right")


def _panel(figure: Figure, column: int, top: int, tall: int) -> Axes:
    """Bare axes in a column of the tile picture, `top` and `tall` in pixels."""
    width, height = figure.get_size_inches() * DPI
    left = GAP + column * (PANEL + GAP)
    axes = figure.add_axes((left / width, 1 - (top + tall) / height, PANEL / width, tall / height))
    axes.set_axis_off()
    return axes


def _paint(classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Codes [H, W] to colours [H, W, 3]."""
    palette = np.zeros((256, 3), np.uint8)
    for code, colour in COLOURS.items():
        palette[code] = np.rint(np.array(to_rgb(colour)) * 255)
    return palette[classes]


def _iou(classes: NDArray[np.uint8]) -> str:
    snow, missed, false = (np.count_nonzero(classes == code) for code in (SNOW, MISSED_SNOW, FALSE_SNOW))
    union = snow + missed + false
    return f"IoU {snow / union:.3f}" if union else "no snow in mask or prediction, so no IoU,"


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


def _cell(z: int, x: int, y: int, zoom: int) -> Rectangle:
    """The square of a tile on the grid of a zoom at least its own, centred on whole numbers there."""
    side = 2 ** (zoom - z)
    inset = 0.03 * side  # so that neighbours are told apart
    return Rectangle((x * side - 0.5 + inset, y * side - 0.5 + inset), side - 2 * inset, side - 2 * inset)


def _ground(zoom: int, axes: Axes) -> str:
    """How wide a tile is in the middle of the map: its share of the equator, shortened by the latitude."""
    middle = math.pi * (1 - 2 * (sum(axes.get_ylim()) / 2 + 0.5) / 2**zoom)  # radians of Mercator's y
    return f"one tile of zoom {zoom} is {EQUATOR_KM / 2**zoom / math.cosh(middle):.2g} km wide on the ground"


def _figure(wide: float, high: float, columns: int = 1, heights: Sequence[float] = (1,)) -> tuple[Figure, list[Axes]]:
    """A figure of inches, and its axes; those above each other share the horizontal axis."""
    figure = Figure(figsize=(wide, high), dpi=DPI, layout="constrained")
    grid = figure.subplots(len(heights), columns, squeeze=False, sharex="col", height_ratios=heights)
    return figure, list(grid.flat)


def _label(axes: Axes, title: str, x: str, y: str) -> None:
    lines = [line for given in title.splitlines() for line in wrap(given, 52)]
    axes.set_title("\n".join(lines), fontsize=14, parse_math=False)
    axes.set_xlabel(x, fontsize=12)
    axes.set_ylabel(y, fontsize=12)
    axes.tick_params(labelsize=11)


def _sentence(path: Path, title: str, sentence: str) -> None:
    """A picture that says why there is nothing to draw."""
    figure, (axes,) = _figure(8, 3)
    axes.set_axis_off()
    axes.text(0.5, 0.5, sentence, ha="center", va="center", fontsize=13, wrap=True)
    _label(axes, title, "", "")
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]  # [H, W, 3]; opaque, so alpha would only make it larger
    png = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(png, format="png")
    storage.write(str(path), png.getvalue())
