"""The sentences of the report. Pure."""

from collections.abc import Iterator

from snowcover.evaluate import words
from snowcover.evaluate.results import Row
from snowcover.evaluate.selection import ANY, Selection

SAME_PIXELS = (
    "All products are compared in the grid of the reference. A map with smaller pixels is averaged by area over each "
    "of its pixels; a map with larger pixels is used as it is. A pixel counts only where the reference and "
    "every product were observed, so that all products are scored on the same pixels."
)
INTERVALS = (
    "The errors of neighbouring pixels are correlated: counted independently, they would make a score look too "
    "certain. The ground is divided into blocks, whole blocks are drawn with replacement, and the middle 95 % of the "
    "scores of all draws is the interval. A difference between two products is computed in each draw, on the same "
    "blocks for both."
)
UNSEEN = (
    "Unseen ground is ground that no product's network was trained on. Scores on trained ground are higher than what a "
    "map of new ground can be expected to reach."
)
BLANKS = (
    "An undefined score, such as the precision of a map without snow, is left blank, and so is a bin with too few "
    "pixels."
)
ADJUSTED = (
    "The adjusted area corrects the mapped area for the map's errors, after Olofsson et al. 2014, Remote "
    "Sensing of Environment 148, 42-57."
)


def title(selection: Selection) -> str:
    """The page's title, with the names of all products."""
    return f"Snow map evaluation: {listed(list(selection.evaluation.products))}"


def summary(selection: Selection) -> Iterator[str]:
    """One sentence per product, and one for each other product against the first."""
    for product in selection.evaluation.products:
        row = selection.row("iou", product)
        if row is None or row.value is None:
            yield f"{product}: no IoU, because neither map nor reference has snow."
            continue
        yield f"{product}: IoU {_with_interval(row)}{_found(selection, product)}"
    main = selection.evaluation.products[0]  # all pairs would be too many to read
    for row in selection.rows("iou", versus=ANY):
        if row.versus is not None and main in (row.product, row.versus):
            yield from _difference(row)


def _found(selection: Selection, product: str) -> str:
    rows = (selection.row(name, product) for name in ("recall", "precision"))
    recall, precision = (row.value if row is not None else None for row in rows)
    if recall is None or precision is None:
        return "."
    return f"; it found {100 * recall:.0f} % of the snow, and {100 * precision:.0f} % of what it maps as snow is snow."


def _with_interval(row: Row) -> str:
    digits = words.quantity(row.quantity).digits
    value = words.number(row.value, digits)
    if row.low is None or row.high is None:
        return value
    return f"{value} ({words.number(row.low, digits)} to {words.number(row.high, digits)})"


def _difference(row: Row) -> Iterator[str]:
    """Which product is better, if the interval allows a decision."""
    if row.value is None or row.low is None or row.high is None:
        return
    first, second = (row.product, row.versus) if row.value >= 0 else (row.versus, row.product)
    low, high = sorted((abs(row.low), abs(row.high)))
    if row.low <= 0 <= row.high:
        yield (
            f"{row.product} and {row.versus} do not differ significantly in IoU: the difference is "
            f"{_with_interval(row)}, and its interval contains 0."
        )
        return
    yield (
        f"{first} is better than {second}: its IoU is higher by {words.number(abs(row.value))} "
        f"({words.number(low)} to {words.number(high)}) on the same pixels."
    )


def methods(selection: Selection) -> Iterator[str]:
    """How the numbers were computed, a paragraph each."""
    yield SAME_PIXELS
    if any(row.low is not None for row in selection.evaluation.rows):
        yield INTERVALS
    if selection.ground == "unseen":
        yield UNSEEN
    yield BLANKS
    if next(selection.rows("area_adjusted_km2", pixels_of=ANY), None) is not None:
        yield ADJUSTED


def listed(names: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1] if names else "") if part)
