"""Which tiles train, validate and test, on the map."""

import math
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from snowcover.training.plots.drawing import (
    FIRST,
    SECOND,
    THIRD,
    label_axes,
    new_figure,
    save,
    save_message,
)

SPLITS = {"train": FIRST, "val": SECOND, "test": THIRD}
OTHER_SPLITS = ("#cc79a7", "#56b4e9", "#f0e442", "#000000")
EQUATOR_KM = 40075.017


def draw_split_map(path: Path, tiles: Sequence[tuple[int, int, int, str]]) -> None:
    """Draw which tiles (z, x, y, split) of the Web Mercator grid train, validate and test; north is up.

    A tile that several scenes share is one cell; one in several splits, as may be where whole dates are
    held out, is named and coloured apart.
    """
    if not tiles:
        return save_message(path, "Split", "There are no tiles to show.")
    splits: dict[tuple[int, int, int], set[str]] = {}
    for z, x, y, split in tiles:
        splits.setdefault((z, x, y), set()).add(split)
    named = {tile: " and ".join(sorted(of, reverse=True)) for tile, of in splits.items()}
    colours = SPLITS | dict(zip(sorted({*named.values()} - {*SPLITS}), cycle(OTHER_SPLITS), strict=False))
    zoom = max(z for z, _, _ in named)
    figure, (axes,) = new_figure(8.4, 6.6)
    handles = []
    for name, colour in colours.items():
        cells = [_cell(*tile, zoom) for tile, its in named.items() if its == name]
        axes.add_collection(PatchCollection(cells, facecolor=colour, edgecolor=colour, linewidth=0.3, snap=False))
        handles.append(Patch(color=colour, label=f"{name}: {len(cells):,}"))
    axes.autoscale_view()
    axes.set_aspect("equal")
    axes.invert_yaxis()
    figure.set_figheight(float(np.clip(1.4 + 6 * axes.get_data_ratio(), 3, 7.5)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.ticklabel_format(style="plain", useOffset=False)
    label_axes(
        axes,
        f"Split of {len(named):,} tiles\n{_ground(zoom, axes)}",
        f"Tile x at zoom {zoom}",
        f"Tile y at zoom {zoom}",
    )
    axes.legend(handles=handles, title="Tiles", loc="center left", bbox_to_anchor=(1, 0.5))
    return save(figure, path)


def _cell(z: int, x: int, y: int, zoom: int) -> Rectangle:
    """The square of a tile on the grid of a zoom at least its own, centred on whole numbers there."""
    side = 2 ** (zoom - z)
    inset = 0.03 * side  # so that neighbours can be told apart
    return Rectangle((x * side - 0.5 + inset, y * side - 0.5 + inset), side - 2 * inset, side - 2 * inset)


def _ground(zoom: int, axes: Axes) -> str:
    """How wide a tile is in the middle of the map: its share of the equator, shortened by the latitude."""
    middle = math.pi * (1 - 2 * (sum(axes.get_ylim()) / 2 + 0.5) / 2**zoom)  # radians of Mercator's y
    return f"one tile of zoom {zoom} is {EQUATOR_KM / 2**zoom / math.cosh(middle):.2g} km wide on the ground"
