"""The elevation at which half of the ground is snow, by aspect."""

from collections.abc import Iterator

from snowcover.evaluate import selection as selecting
from snowcover.evaluate.figures.drawing import (
    FAINT,
    SHORT_ASPECTS,
    Picture,
    Style,
    add_legend,
    interval,
    name_axes,
    one_panel,
    picture,
    values,
)
from snowcover.evaluate.selection import Selection
from snowcover.evaluate.words import REFERENCE


def draw_snow_line(selection: Selection, style: Style) -> Iterator[Picture]:
    """Map against reference, aspect by aspect."""
    rows = list(selection.rows("snow_line_m", stratum="aspect"))
    known = [row for row in rows if row.value is not None]
    if not known:
        return
    aspects = selecting.bins(rows)
    figure, axes = one_panel(3.4)
    names = [name for name in (REFERENCE, *selection.evaluation.products) if any(row.product == name for row in known)]
    for number, name in enumerate(names):
        own = [row for row in known if row.product == name]
        shift = 0 if name == REFERENCE else 0.13 * (number - len(names) / 2)
        below, above = zip(*(interval(row) for row in own), strict=True)
        axes.errorbar(
            [aspects.index(str(row.bin)) + shift for row in own], values(own), yerr=[below, above], lw=0,
            color=style.colours[name], marker=style.markers[name], ms=26 if name == REFERENCE else 6, elinewidth=1.4,
            mew=2.2 if name == REFERENCE else 1, label=name, zorder=2 if name == REFERENCE else 3,
        )  # fmt: skip
    axes.set_xticks(range(len(aspects)), [SHORT_ASPECTS.get(name, name) for name in aspects])
    axes.set_xlim(-0.6, len(aspects) - 0.4)
    axes.grid(axis="y", color=FAINT, lw=0.7)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    name_axes(axes, "Aspect: the direction that a slope faces", "Snow line (m)")
    add_legend(figure, axes)
    yield picture(
        figure, "snow_line", "snow_line", "Snow line by aspect",
        "The elevation at which half of the ground is snow, for slopes facing each direction, with 95 % intervals.",
    )  # fmt: skip
