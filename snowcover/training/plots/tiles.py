"""Test tiles as a picture: image, reference mask, probability and errors, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from snowcover.labels import BARE, SNOW, UNOBSERVED
from snowcover.training.plots.drawing import DPI, GREY, PROBABILITY, Pixels, Reals, save

MISSED_SNOW, FALSE_SNOW = 2, 3  # next to the values of a mask
MASK_NAMES = {SNOW: "Snow", BARE: "No snow", UNOBSERVED: "Unobserved"}
ERROR_NAMES = {
    SNOW: "True snow",
    BARE: "True bare",
    UNOBSERVED: "Unobserved",
    MISSED_SNOW: "Missed snow (FN)",
    FALSE_SNOW: "False snow (FP)",
}
COLOURS = {BARE: "#3d3d3d", SNOW: "#56b4e9", MISSED_SNOW: "#d55e00", FALSE_SNOW: "#f0e442", UNOBSERVED: GREY}
PANEL, GAP, HEAD, ROW_TITLE, FOOT = 288, 14, 60, 46, 92  # pixels
MAX_ROWS = 8


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


def error_classes(mask: NDArray[np.uint8], probability: Reals, threshold: float = 0.5) -> NDArray[np.uint8]:
    """Compare mask and prediction pixel by pixel: [H, W] of the codes at the top of this file."""
    predicted = probability >= threshold
    of_snow, of_bare = np.where(predicted, SNOW, MISSED_SNOW), np.where(predicted, FALSE_SNOW, BARE)
    return np.select([mask == UNOBSERVED, mask == SNOW], [UNOBSERVED, of_snow], of_bare).astype(np.uint8)


def draw_tiles(path: Path, samples: Sequence[TilePicture], bands: Sequence[str]) -> None:
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
    save(figure, path)


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
