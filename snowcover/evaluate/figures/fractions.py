"""Fractional snow cover of a product against the reference's, as hexagonal bins."""

from collections.abc import Iterator

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from snowcover.evaluate.figures.drawing import INK, Picture, name_axes, one_panel, picture
from snowcover.evaluate.results import FractionHistogram
from snowcover.evaluate.selection import Selection
from snowcover.evaluate.words import FRACTIONS, number

Reals = NDArray[np.floating]

COLOURS = ListedColormap(colormaps["Blues"](np.linspace(0.15, 1, 256)))  # without white for the rarest
PANEL_IN = 3.55
HEXAGONS = 22  # across
PARTS = 5  # each bin is spread over PARTS x PARTS points, else hexagons would show a moiré pattern


def draw_fractions(selection: Selection) -> Iterator[Picture]:
    """One figure per product and cell size."""
    order = {name: index for index, name in enumerate(selection.evaluation.products)}
    found = sorted(selection.evaluation.fractions.items(), key=lambda item: (order.get(item[0][0], 99), item[0][1]))
    for (product, cell_m), histogram in found:
        if not histogram.cells.any():
            continue
        title = f"{product}, cells of {cell_m:g} m"
        yield picture(
            _figure(selection, product, cell_m, histogram), f"fsca_{order.get(product, 99) + 1}_{cell_m:g}m",
            "fractions", title,
            f"Snow fraction of {product} against the reference's in {histogram.cells.sum():,} cells of {cell_m:g} m; "
            "on the line both are the same.",
        )  # fmt: skip


def _figure(selection: Selection, product: str, cell_m: float, histogram: FractionHistogram) -> Figure:
    figure, axes = one_panel(PANEL_IN + 0.62, PANEL_IN)
    x, y, cells = _points(histogram)
    axes.plot([0, 1], [0, 1], color=INK, lw=0.9, ls="--", zorder=3)
    drawn = axes.hexbin(
        x, y, C=cells, reduce_C_function=np.sum, gridsize=HEXAGONS, extent=(0, 1, 0, 1), cmap=COLOURS,
        linewidths=0.1,
    )  # fmt: skip
    in_hexagons = np.maximum(np.asarray(drawn.get_array()), 1)
    drawn.set_array(in_hexagons)
    drawn.set_norm(LogNorm(1, max(10.0, float(in_hexagons.max()))))
    bar = figure.colorbar(drawn, ax=axes, location="bottom", shrink=0.9, aspect=32, pad=0.02)
    bar.ax.minorticks_off()  # laying out their labels is slow
    bar.ax.tick_params(labelsize=9)
    bar.set_label("Cells", fontsize=9.5)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
    axes.set_xticks([0, 0.5, 1])
    axes.set_yticks([0, 0.5, 1])
    name_axes(axes, "Snow fraction of the reference", "Snow fraction of the map")
    axes.set_title(_scores(selection, product, cell_m), fontsize=9.5, loc="left", parse_math=False)
    return figure


def _scores(selection: Selection, product: str, cell_m: float) -> str:
    found = [(name, selection.row(name, product, cell_m=cell_m)) for name in FRACTIONS]
    return "   ".join(f"{FRACTIONS[name].name} {number(row.value, 2)}" for name, row in found if row is not None)


def _points(histogram: FractionHistogram) -> tuple[Reals, Reals, Reals]:
    """Fractions of reference and product [N], and the number of cells of each point."""
    fine = np.repeat(np.repeat(histogram.cells / PARTS**2, PARTS, axis=0), PARTS, axis=1)
    reference, product = np.nonzero(fine)
    side = np.array(fine.shape)
    return (reference + 0.5) / side[0], (product + 0.5) / side[1], fine[reference, product]
