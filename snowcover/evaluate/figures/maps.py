"""A product next to the reference and their differences, with one scale bar and one legend."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from snowcover.evaluate.figures.drawing import FONT, PX_PER_IN, SHARPNESS, Picture, picture, png, shortened
from snowcover.evaluate.results import Evaluation, Overview
from snowcover.predict.scale_bar import scale_bar_label, scale_bar_m

Image = NDArray[np.floating]

NO_SNOW, SNOW, UNOBSERVED = "#c6b28b", "#2978cc", "#e9e9ec"  # the first two as in previews
RIGHT_NO_SNOW, RIGHT_SNOW, MISSED, FALSE = "#ddd5c4", "#a9cdec", "#d55e00", "#332288"
PALE = 0.72  # how much unscored ground is faded to white
PANEL_IN, GAP_IN, EDGE_IN, HEAD_IN, FOOT_IN = 3.4, 0.14, 0.06, 0.36, 0.62
NARROW_IN = 3.6
TALLEST = 1.5  # aspect ratio; longer strips are drawn narrower
BAR_SHARE = 0.35  # of a panel's width that the scale bar takes at most


def draw_maps(evaluation: Evaluation) -> Iterator[Picture]:
    """One figure per product; none without an overview."""
    overview = evaluation.overview
    if overview is None:
        return
    for number, (name, share) in enumerate(overview.products.items(), start=1):
        panels = {
            shortened(name, 28): share_image(share),
            "Reference": share_image(overview.reference),
            "Errors": error_image(share, overview),
        }
        caption = (
            f"Left {name}, in the middle the reference: blue is snow, brown is none, mixed colours are pixels of both. "
            "Right, where they differ: orange is missed snow, dark blue is false snow. Pale ground was not scored, "
            "light grey was not observed."
        )
        wide = picture(_figure(panels, overview, across=3), f"map_{number}", "maps", name, caption)
        yield replace(wide, narrow_png=png(_figure(panels, overview, across=1)))


def share_image(share: NDArray[np.float32]) -> Image:
    """Snow share [H, W], NaN unobserved -> colours [H, W, 3] between no snow and snow."""
    known = np.nan_to_num(share)[..., None]
    colours = np.array(to_rgb(NO_SNOW)) * (1 - known) + np.array(to_rgb(SNOW)) * known
    return np.where(np.isnan(share)[..., None], to_rgb(UNOBSERVED), colours)


def error_image(share: NDArray[np.float32], overview: Overview) -> Image:
    """Colours [H, W, 3] of hits and errors; a pixel is snow if at least half of it is."""
    mapped, reference = share >= 0.5, overview.reference >= 0.5
    image = np.empty((*share.shape, 3))
    for where, colour in (
        (~mapped & ~reference, RIGHT_NO_SNOW),
        (mapped & reference, RIGHT_SNOW),
        (~mapped & reference, MISSED),
        (mapped & ~reference, FALSE),
    ):
        image[where] = to_rgb(colour)
    image[~overview.counted] = image[~overview.counted] * (1 - PALE) + PALE
    image[np.isnan(share) | np.isnan(overview.reference)] = to_rgb(UNOBSERVED)
    return image


def _figure(panels: dict[str, Image], overview: Overview, across: int) -> Figure:
    """The panels in a row or in a column, at one scale."""
    height, width = overview.reference.shape
    panel_in = PANEL_IN if across > 1 else NARROW_IN
    unit = panel_in / max(width, height / TALLEST)
    size = width * unit, height * unit
    down = -(-len(panels) // across)
    foot = FOOT_IN + (0.36 if across == 1 else 0)
    whole = across * (panel_in + GAP_IN) - GAP_IN + 2 * EDGE_IN, down * (size[1] + HEAD_IN) + foot
    figure = Figure(figsize=whole, dpi=PX_PER_IN * SHARPNESS, facecolor="white")
    for number, (title, image) in enumerate(panels.items()):
        row, column = divmod(number, across)
        left = EDGE_IN + column * (panel_in + GAP_IN) + (panel_in - size[0]) / 2
        bottom = whole[1] - (row + 1) * (size[1] + HEAD_IN)
        axes = figure.add_axes((left / whole[0], bottom / whole[1], size[0] / whole[0], size[1] / whole[1]))
        axes.imshow(image, aspect="auto", interpolation="antialiased")
        axes.set_title(title, fontsize=FONT["label"], loc="left", pad=5, parse_math=False)
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_color("#bbbbbb")
        if number == 0:
            _add_scale_bar(axes, overview.pixel_m, width)
    _add_legends(figure, whole, across)
    return figure


def _add_scale_bar(axes: Axes, pixel_m: float, width: int) -> None:
    if not width * pixel_m > 0:
        return
    length_m = scale_bar_m(width * pixel_m * BAR_SHARE)
    share = length_m / (width * pixel_m)
    box: dict[str, Any] = {"transform": axes.transAxes, "linewidth": 0}
    axes.add_patch(Rectangle((0.025, 0.025), share + 0.05, 0.12, facecolor="white", alpha=0.85, **box))
    axes.add_patch(Rectangle((0.05, 0.05), share, 0.014, facecolor="black", **box))
    axes.text(
        0.05 + share / 2,
        0.075,
        scale_bar_label(length_m),
        ha="center",
        va="bottom",
        fontsize=9.5,
        transform=axes.transAxes,
    )


def _add_legends(figure: Figure, whole: tuple[float, float], across: int) -> None:
    shown = {"snow": SNOW, "no snow": NO_SNOW, "unobserved": UNOBSERVED}
    errors = {
        "snow in both": RIGHT_SNOW,
        "no snow in both": RIGHT_NO_SNOW,
        "snow missed": MISSED,
        "false snow": FALSE,
    }
    places = ((0.0, 0.0, 3), (2 / 3, 0.0, 2)) if across > 1 else ((0.0, 0.5, 3), (0.0, 0.2, 2))
    for named, (left, lift_in, columns) in zip((shown, errors), places, strict=True):
        handles = [Patch(facecolor=colour, edgecolor="#777777", lw=0.6, label=label) for label, colour in named.items()]
        top_in = FOOT_IN - 0.04 if across > 1 else lift_in + 0.44
        figure.add_artist(
            figure.legend(
                handles=handles, loc="upper left", bbox_to_anchor=(left, top_in / whole[1]), ncols=columns,
                fontsize=9.5 if across > 1 else 10.5, frameon=False, columnspacing=1.2, handlelength=1.2, borderpad=0.2,
                handletextpad=0.5,
            )
        )  # fmt: skip
