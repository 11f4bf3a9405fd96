"""Scores by kind of ground as bars, and the recall of snow by its depth as a curve."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from snowcover.evaluate import selection as selecting
from snowcover.evaluate import words
from snowcover.evaluate.figures.drawing import (
    FAINT,
    SHORT_ASPECTS,
    Picture,
    Style,
    add_legend,
    interval,
    limits_of,
    name_axes,
    one_panel,
    picture,
    shortened,
    values,
)
from snowcover.evaluate.results import Row
from snowcover.evaluate.selection import Selection

DEPTH = "snow_depth"
IN_UNIT = re.compile(r"(?P<bin>.*\d) ?(?P<unit>m|°|days?)(?P<end> or more)?")
BARS = 0.84  # share of a bin's width that its bars take
MOST_LETTERS = 64  # of all bins' names together, for horizontal labels


def draw_strata(selection: Selection, style: Style) -> Iterator[Picture]:
    """IoU by each stratum but snow depth."""
    for stratum in selecting.strata(selection.evaluation):
        rows = list(selection.rows("iou", stratum=stratum))
        if stratum == DEPTH or not any(row.value is not None for row in rows):
            continue
        name = words.stratum(stratum)
        yield picture(
            _bars(selection, style, rows, name), f"stratum_{stratum}", "strata", name,
            f"IoU by {name[0].lower() + name[1:]}, with 95 % intervals. Bins of too few pixels are blank.",
        )  # fmt: skip


def _bars(selection: Selection, style: Style, rows: Sequence[Row], name: str) -> Figure:
    bins, products = selecting.bins(rows), selection.evaluation.products
    figure, axes = one_panel(3.3 if len(bins) < 10 else 3.8)  # many bins have long names
    width = BARS / len(products)
    for number, product in enumerate(products):
        own = {row.bin: row for row in rows if row.product == product and row.value is not None}
        places = [place for place, one in enumerate(bins) if one in own]
        found = [own[bins[place]] for place in places]
        below, above = zip(*(interval(row) for row in found), strict=True) if found else ((), ())
        axes.bar(
            [place - BARS / 2 + (number + 0.5) * width for place in places], values(found), width * 0.92,
            yerr=[below, above], color=style.colours[product], label=product,
            error_kw={"elinewidth": 1.1, "ecolor": "#333333", "capsize": 0},
        )  # fmt: skip
    unit = _name_bins(axes, bins)
    axes.set_ylim(0, 1)
    axes.grid(axis="y", color=FAINT, lw=0.7)
    name_axes(axes, name + unit, "IoU")
    add_legend(figure, axes)
    return figure


def draw_depth_recall(selection: Selection, style: Style) -> Iterator[Picture]:
    """The recall of snow by its depth."""
    of_snow = selection.recall_by_depth()
    rows, bins = [row for row in of_snow if row.value is not None], selecting.bins(of_snow)
    if not rows:
        return
    figure, axes = one_panel(3.3)
    count = len(selection.evaluation.products)
    for number, product in enumerate(selection.evaluation.products):
        own = [row for row in rows if row.product == product]
        if not own:
            continue
        shift = 0.08 * (number - (count - 1) / 2)  # so that intervals do not overlap
        below, above = zip(*(interval(row) for row in own), strict=True)
        axes.errorbar(
            [bins.index(str(row.bin)) + shift for row in own], values(own), yerr=[below, above],
            color=style.colours[product], marker=style.markers[product], ms=6, lw=1.8, elinewidth=1.2, capsize=2,
            label=product,
        )  # fmt: skip
    unit = _name_bins(axes, bins)
    axes.set_ylim(max(0.0, limits_of(rows)[0] - 0.05), 1.02)
    axes.grid(color=FAINT, lw=0.7)
    name_axes(axes, f"Snow depth in the reference{unit}", "Share of snow found")
    add_legend(figure, axes)
    yield picture(
        figure, "depth_recall", "depth", "Recall by snow depth",
        "The share of the reference's snow that each map found, by the depth of the snow, with 95 % intervals.",
    )  # fmt: skip


def _name_bins(axes: Axes, bins: Sequence[str]) -> str:
    """Label bins, slanted if the labels would overlap.

    Returns:
        The common unit of all bins, as a suffix for the axis label.
    """
    unit, names = without_unit(bins)
    slanted = max(len(name) + 1 for name in names) * len(names) > MOST_LETTERS
    style: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    axes.set_xticks(range(len(bins)), [shortened(name, 26) for name in names], **style, parse_math=False)
    axes.set_xlim(-0.6, len(bins) - 0.4)
    axes.tick_params(axis="x", length=0)
    return f" ({unit})" if unit else ""


def without_unit(bins: Sequence[str]) -> tuple[str, list[str]]:
    """`2-5 m`, `5 m or more` -> `m`, and `2-5`, `5 or more`; aspects are abbreviated."""
    found = [IN_UNIT.fullmatch(name) for name in bins]
    units = {match["unit"] for match in found if match}
    if None in found or len(units) != 1:
        return "", [SHORT_ASPECTS.get(name, name) for name in bins]
    return units.pop(), [f"{match['bin']}{match['end'] or ''}" for match in found if match]
