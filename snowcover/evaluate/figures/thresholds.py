"""How much the score depends on the depth that counts as snow."""

from collections.abc import Iterator

from snowcover.evaluate import selection as selecting
from snowcover.evaluate.figures.drawing import (
    FAINT,
    Picture,
    Style,
    add_legend,
    interval,
    limits_of,
    name_axes,
    one_panel,
    picture,
    values,
)
from snowcover.evaluate.selection import ANY, Selection


def draw_thresholds(selection: Selection, style: Style) -> Iterator[Picture]:
    """IoU by depth threshold, if there are several."""
    rows = [row for row in selection.rows("iou", depth_threshold_m=ANY) if row.value is not None]
    if len(selecting.depth_thresholds(selection.evaluation)) < 2 or not rows:
        return
    figure, axes = one_panel(3.2)
    for product in selection.evaluation.products:
        own = [(row.depth_threshold_m or 0.0, row) for row in rows if row.product == product]
        own.sort(key=lambda item: item[0])
        if not own:
            continue
        below, above = zip(*(interval(row) for _, row in own), strict=True)
        axes.errorbar(
            [threshold for threshold, _ in own], values(row for _, row in own), yerr=[below, above], lw=1.8, ms=6,
            color=style.colours[product], marker=style.markers[product], elinewidth=1.2, capsize=2, label=product,
        )  # fmt: skip
    axes.set_ylim(*limits_of(rows))
    axes.grid(color=FAINT, lw=0.7)
    name_axes(axes, "Depth that counts as snow in the reference (m)", "IoU")
    add_legend(figure, axes)
    yield picture(
        figure, "depth_thresholds", "thresholds", "IoU by depth threshold",
        "IoU where snow in the reference is what has at least this depth, with 95 % intervals.",
    )  # fmt: skip
