"""Whether a probability of 0.7 means that 7 of 10 such pixels are snow."""

from collections.abc import Iterator

import numpy as np

from snowcover.evaluate.figures.drawing import (
    FAINT,
    INK,
    PX_PER_IN,
    SHARPNESS,
    WIDE_IN,
    Picture,
    Style,
    add_legend,
    name_axes,
    picture,
    style_axes,
)
from snowcover.evaluate.selection import Selection


def draw_reliability(selection: Selection, style: Style) -> Iterator[Picture]:
    """One diagram for all products with probabilities, above a histogram of the probabilities."""
    from matplotlib.figure import Figure

    found = {name: curve for name, curve in selection.evaluation.reliability.items() if curve.pixels.any()}
    if not found:
        return
    figure = Figure(figsize=(WIDE_IN, 4.9), dpi=PX_PER_IN * SHARPNESS, layout="constrained", facecolor="white")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.4, 1))
    upper.plot([0, 1], [0, 1], color=INK, lw=0.9, ls="--", zorder=1)
    for name, curve in found.items():
        known = curve.pixels > 0
        x, y = curve.mean_probability[known], curve.observed_share[known]
        colour = style.colours[name]
        upper.plot(x, y, color=colour, marker=style.markers[name], ms=5.5, lw=1.8, label=name)
        edges = np.linspace(0, 1, len(curve.pixels) + 1)
        lower.stairs(curve.pixels / curve.pixels.sum(), edges, color=colour, lw=1.8)
    for axes in (upper, lower):
        style_axes(axes)
        axes.grid(color=FAINT, lw=0.7)
    upper.set(xlim=(0, 1), ylim=(0, 1))
    lower.set_ylim(bottom=0)
    name_axes(upper, "", "Share that is snow")
    name_axes(lower, "Probability of snow in the map", "Pixels")
    lower.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    add_legend(figure, upper)
    yield picture(
        figure, "reliability", "probabilities", "Reliability",
        "The share of snow in the reference among the pixels of each predicted probability. On the dashed line the map "
        "is calibrated; below it the map overestimates snow. Underneath: a histogram of the probabilities.",
    )  # fmt: skip
