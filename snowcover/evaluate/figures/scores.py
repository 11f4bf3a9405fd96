"""Scores with their intervals, and the differences between products."""

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes

from snowcover.evaluate import words
from snowcover.evaluate.figures.drawing import (
    FAINT,
    INK,
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
from snowcover.evaluate.selection import ANY, Selection

SHOWN_DIFFERENCES = ("iou", "f1", "precision", "recall")


def draw_scores(selection: Selection, style: Style) -> Iterator[Picture]:
    """All scores of all products on one axis."""
    names = selection.quantities(words.SCORES)
    products = selection.evaluation.products
    rows = [row for name in names for row in selection.rows(name) if row.value is not None]
    if not rows:
        return
    figure, axes = one_panel(1.3 + len(names) * max(0.42, 0.13 * len(products) + 0.16))
    for number, product in enumerate(products):
        shift = _spread(number, len(products))
        for line, name in enumerate(names):
            row = selection.row(name, product)
            if row is not None and row.value is not None:
                _point(axes, row, line + shift, style, label=product if line == 0 else None)
    _lines(axes, [words.quantity(name).name for name in names])
    axes.set_xlim(*limits_of(rows))
    name_axes(axes, "Score; 1 is a perfect map")
    add_legend(figure, axes)
    yield picture(
        figure, "scores", "scores", "Scores",
        f"Each score on {words.GROUND[selection.ground]}; lines are 95 % intervals.",
    )  # fmt: skip


def draw_differences(selection: Selection, style: Style) -> Iterator[Picture]:
    """How much better each product is than another on the same pixels, for the most common scores."""
    rows = [row for name in SHOWN_DIFFERENCES for row in selection.rows(name, versus=ANY) if row.versus is not None]
    rows = [row for row in rows if row.value is not None]
    pairs = list(dict.fromkeys((row.product, row.versus) for row in rows))
    for number, (product, versus) in enumerate(pairs, start=1):
        own = [row for row in rows if (row.product, row.versus) == (product, versus)]
        figure, axes = one_panel(1.0 + len(own) * 0.42)
        axes.axvline(0, color=INK, lw=1, zorder=1)
        for line, row in enumerate(own):
            _point(axes, row, line, style)
        _lines(axes, [words.quantity(row.quantity).name for row in own])
        low, high = limits_of(own)
        room = 0.06 * (max(high, 0.0) - min(low, 0.0))
        axes.set_xlim(min(low, -room), max(high, room))
        name_axes(axes, "Difference; right of 0 the first is higher")
        yield picture(
            figure, f"difference_{number}", "differences", f"{product} minus {versus}",
            f"Scores of {product} minus those of {versus} on the same pixels, with 95 % intervals of the difference.",
        )  # fmt: skip


def _point(axes: Axes, row: Row, at: float, style: Style, label: str | None = None) -> None:
    below, above = interval(row)
    colour = style.colours[row.product]
    axes.errorbar(
        values([row]), [at], xerr=[[below], [above]], color=colour, marker=style.markers[row.product], ms=6.5, lw=0,
        elinewidth=2, capsize=2.5, label=label, zorder=3,
    )  # fmt: skip


def _lines(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [shortened(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=FAINT, lw=0.7)
    for line in range(1, len(names)):
        axes.axhline(line - 0.5, color=FAINT, lw=0.7)


def _spread(number: int, count: int) -> float:
    """Offset of the number-th point within its line, between -0.3 and 0.3."""
    step = min(0.22, 0.6 / max(1, count - 1))
    return step * (number - (count - 1) / 2)
