"""Preview of a map: the scene in true colour next to the mapped snow, with a scale bar."""

import io
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from rasterio.enums import Resampling

from snowcover.labels import BARE, SNOW, UNOBSERVED
from snowcover.predict.area import pixel_size_m
from snowcover.predict.mapping import OutputGrid
from snowcover.predict.raster_files import COLOURS, Totals
from snowcover.predict.scale_bar import scale_bar_label, scale_bar_m
from snowcover.predict.thumbnail import size_px
from snowcover.prepare.reprojection import Array

logging.getLogger("matplotlib").setLevel(logging.ERROR)  # users need not know of its font caches

DPI = 100
PANEL_IN = 6.0  # the longer side of a panel
SHORTEST_IN = 1.5  # of a panel, however narrow the scene
MARGIN_IN, GAP_IN, HEAD_IN, FOOT_IN = 0.25, 0.2, 0.95, 0.62
STRETCH_PERCENT = (1, 99)
GAMMA = 0.8  # snow is so bright that ground next to it would be black
GREY = np.array([0.84, 0.84, 0.85])  # for unobserved pixels
SNOW_COLOUR = np.array(COLOURS[SNOW][:3]) / 255
BAR_SHARE = 0.3  # of a panel's width that the scale bar takes at most


@dataclass(frozen=True)
class PictureGrid:
    """A map's grid with fewer and larger pixels."""

    width: int
    height: int
    transform: Affine
    pixel_m: tuple[float, float]
    """width and height on the ground"""


def picture_grid(grid: OutputGrid) -> PictureGrid:
    """The map's grid at the preview's resolution."""
    width, height = size_px(grid.width, grid.height)
    across, down = grid.width / width, grid.height / height
    pixel_width_m, pixel_height_m = pixel_size_m(grid)
    return PictureGrid(
        width, height, grid.transform * Affine.scale(across, down), (pixel_width_m * across, pixel_height_m * down)
    )


def read_classes(path: Path, grid: PictureGrid) -> Array:
    """A map's classes at the preview's resolution, [h, w] uint8, by the most frequent class."""
    with rasterio.open(path) as file:
        return file.read(1, out_shape=(grid.height, grid.width), resampling=Resampling.mode)


def png(name: str, colours: Array, classes: Array, grid: PictureGrid, totals: Totals) -> bytes:
    """The picture; the same map gives the same bytes.

    Args:
        colours: the scene as stored, [h, w, 1 or 3], NaN beyond it.
        classes: [h, w].
    """
    scene = stretched(colours, classes != UNOBSERVED)
    width_in, height_in = _panel_size(grid)
    total_in = max(2 * width_in + GAP_IN, 6.2) + 2 * MARGIN_IN, height_in + HEAD_IN + FOOT_IN
    figure = Figure(figsize=total_in, dpi=DPI, facecolor="white")
    left_in = (total_in[0] - 2 * width_in - GAP_IN) / 2
    for number, (title, picture) in enumerate((("Scene", scene), ("Snow", snow_over(scene, classes)))):
        place = (left_in + number * (width_in + GAP_IN)) / total_in[0], FOOT_IN / total_in[1]
        axes = figure.add_axes((*place, width_in / total_in[0], height_in / total_in[1]))
        axes.imshow(picture, aspect="auto", interpolation="antialiased")
        axes.set_title(title, fontsize=10, loc="left", pad=4)
        axes.set_axis_off()
        if number == 0:
            _add_scale_bar(axes, grid)
    figure.text(left_in / total_in[0], 1 - 0.32 / total_in[1], name, fontsize=13, weight="bold")
    figure.text(left_in / total_in[0], 1 - 0.58 / total_in[1], summary(totals), fontsize=10.5, color="#333333")
    figure.legend(handles=_legend(), loc="lower center", ncols=3, fontsize=9, frameon=False, borderaxespad=0.6)
    content = io.BytesIO()
    FigureCanvasAgg(figure).print_png(content, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return content.getvalue()


def summary(totals: Totals) -> str:
    """`41 % of 61.3 km² is snow`."""
    if totals.snow_share is None:
        return "nothing was observed"
    return f"{totals.snow_share:.0%} of the {totals.observed_km2:,.3g} km² observed is snow: {totals.snow_km2:,.3g} km²"


def stretched(colours: Array, observed: Array) -> Array:
    """[h, w, 3] from 0 to 1, stretched to the range of observed values; grey elsewhere."""
    whole = np.repeat(colours, 3, axis=2) if colours.shape[2] == 1 else colours
    known = observed & np.isfinite(whole).all(axis=2)
    picture = np.tile(GREY, (*whole.shape[:2], 1))
    if known.any():
        # One range for all bands: a range per band would remove the blue of ice and the colour of rock.
        low, high = np.percentile(whole[known], STRETCH_PERCENT)
        shown = np.clip((whole[known] - low) / (high - low if high > low else 1), 0, 1)
        picture[known] = shown**GAMMA
    return picture


def snow_over(scene: Array, classes: Array) -> Array:
    """Snow and bare ground in their colours, shaded by the scene, over a pale scene."""
    grey = scene.mean(axis=2, keepdims=True)
    picture = 0.45 + 0.5 * grey * np.ones(3)
    snow = classes == SNOW
    picture[snow] = SNOW_COLOUR * (0.72 + 0.38 * grey[snow])
    picture[classes == UNOBSERVED] = GREY
    ground = classes == BARE
    picture[ground] = np.array(COLOURS[BARE][:3]) / 255 * (0.62 + 0.5 * grey[ground])
    return np.clip(picture, 0, 1)


def _panel_size(grid: PictureGrid) -> tuple[float, float]:
    """Width and height in inches, in the ground's own proportions."""
    width_m, height_m = grid.width * grid.pixel_m[0], grid.height * grid.pixel_m[1]
    if not (width_m > 0 and height_m > 0):  # a grid whose middle is not on Earth
        width_m, height_m = grid.width, grid.height
    unit = PANEL_IN / max(width_m, height_m)
    return max(width_m * unit, SHORTEST_IN), max(height_m * unit, SHORTEST_IN)


def _add_scale_bar(axes: Axes, grid: PictureGrid) -> None:
    width_m = grid.width * grid.pixel_m[0]
    if not width_m > 0:
        return
    length_m = scale_bar_m(width_m * BAR_SHARE)
    share = length_m / width_m
    axes.add_patch(
        Rectangle(
            (0.03, 0.03), share + 0.04, 0.085, facecolor="white", alpha=0.82, linewidth=0, transform=axes.transAxes
        )
    )
    axes.add_patch(Rectangle((0.05, 0.05), share, 0.012, facecolor="black", linewidth=0, transform=axes.transAxes))
    label = scale_bar_label(length_m)
    axes.text(0.05 + share / 2, 0.07, label, ha="center", va="bottom", fontsize=9, transform=axes.transAxes)


def _legend() -> list[Patch]:
    shown = {"snow": SNOW_COLOUR, "no snow": np.array(COLOURS[BARE][:3]) / 255, "unobserved": GREY}
    return [Patch(facecolor=tuple(colour), edgecolor="#555555", label=label) for label, colour in shown.items()]


def fill_gaps(picture: Array, other: Array) -> Array:
    """A picture [h, w, 3], with gaps filled from another scene's picture."""
    first, second = (np.repeat(grey, 3, axis=2) if grey.shape[2] == 1 else grey for grey in (picture, other))
    return np.where(_is_empty(first)[..., None], second, first)


def _is_empty(picture: Array) -> Array:
    return ~np.isfinite(picture).all(axis=2) | (picture == 0).all(axis=2)
