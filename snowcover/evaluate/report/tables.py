"""The tables of the report, made from rows of the evaluation. Pure."""

from collections.abc import Iterable, Iterator, Sequence

from snowcover.evaluate import selection as selecting
from snowcover.evaluate import words
from snowcover.evaluate.report.html import Html, join, table, tag
from snowcover.evaluate.results import Row
from snowcover.evaluate.selection import ANY, Selection

GROUND_SCORES = ("iou", "f1", "precision", "recall")


def value_cell(row: Row | None) -> Html:
    """A value above its interval."""
    if row is None:
        return join(["–"])  # noqa: RUF001 - an en dash for no value
    about = words.quantity(row.quantity)
    value = words.number(row.value, about.digits)
    if row.value is None or row.low is None or row.high is None:
        return join([value])
    low, high = (words.number(end, about.digits) for end in (row.low, row.high))
    ends = f"{low} to\N{NO-BREAK SPACE}{high}"
    return join([value, tag("span", ends, class_="interval")])


def by_product(selection: Selection, quantities: Iterable[str], caption: str, pixels_of: str = "common") -> Html:
    """One line per quantity, one column per product; empty if none has a value."""
    names = selection.quantities(quantities, pixels_of=pixels_of)
    if not names:
        return Html()
    products = _products_with(selection, names, pixels_of)
    lines = [
        [_name(name), *(value_cell(selection.row(name, product, pixels_of=pixels_of)) for product in products)]
        for name in names
    ]
    lines.extend(_pixels(selection, names[0], products, pixels_of))
    return table(["", *products], lines, caption)


def _products_with(selection: Selection, names: Sequence[str], pixels_of: str) -> list[str]:
    known = {
        row.product for name in names for row in selection.rows(name, pixels_of=pixels_of) if row.value is not None
    }
    return [product for product in selection.evaluation.products if product in known]


def _name(quantity: str) -> str:
    about = words.quantity(quantity)
    return f"{about.name} ({about.unit})" if about.unit else about.name


def _pixels(selection: Selection, quantity: str, products: Iterable[str], pixels_of: str) -> Iterator[list[str]]:
    """The line of pixel counts; none if they were not counted, as for whole maps."""
    rows = [selection.row(quantity, product, pixels_of=pixels_of) for product in products]
    pixels = [row.pixels if row else None for row in rows]
    if any(count is not None for count in pixels):
        yield ["Pixels", *(words.number(count, 0) for count in pixels)]


def differences(selection: Selection, quantities: Sequence[str]) -> Html:
    """One line per score, one column per pair of products."""
    rows = [row for name in quantities for row in selection.rows(name, versus=ANY) if row.versus is not None]
    pairs = list(dict.fromkeys((row.product, row.versus) for row in rows))
    if not pairs:
        return Html()
    found = {(row.quantity, row.product, row.versus): row for row in rows}
    names = [name for name in quantities if any(row.quantity == name for row in rows)]
    lines = [[_name(name), *(value_cell(found.get((name, *pair))) for pair in pairs)] for name in names]
    head = ["", *(f"{product} minus {versus}" for product, versus in pairs)]
    return table(head, lines, "Differences on the same pixels, with 95 % intervals")


def by_bin(rows: Sequence[Row], products: Sequence[str]) -> Html:
    """One line per bin, one column per product, and the pixels; rows: at least one, of one quantity and stratum."""
    quantity, stratum = rows[0].quantity, str(rows[0].stratum)
    found = {(row.bin, row.product): row for row in rows}
    lines = []
    for name in selecting.bins(rows):
        own = [found.get((name, product)) for product in products]
        pixels = max((row.pixels for row in own if row is not None and row.pixels is not None), default=None)
        lines.append(
            [name.replace(" ", "\N{NO-BREAK SPACE}"), *(value_cell(row) for row in own), words.number(pixels, 0)]
        )
    caption = f"{words.quantity(quantity).name} by {words.stratum(stratum).lower()}"
    return table([words.stratum(stratum), *products, "Pixels"], lines, caption)


def by_ground(selection: Selection) -> Html:
    """The main scores on each kind of ground; empty if there is only one kind."""
    rows = [row for name in GROUND_SCORES for row in selection.rows(name, ground=ANY) if row.value is not None]
    grounds = [ground for ground in words.GROUND if any(row.ground == ground for row in rows)]
    if len(grounds) < 2:
        return Html()
    found = {(row.quantity, row.product, row.ground): row for row in rows}
    products = [name for name in selection.evaluation.products if any(row.product == name for row in rows)]
    lines = [
        [f"{words.quantity(name).name}, {words.GROUND[ground]}",
         *(value_cell(found.get((name, product, ground))) for product in products)]
        for name in GROUND_SCORES for ground in grounds
    ]  # fmt: skip
    return table(["", *products], lines, "Scores by ground")


def by_cell(selection: Selection) -> Html:
    """Fractional snow cover: one line per product and cell size."""
    rows = [row for name in words.FRACTIONS for row in selection.rows(name, cell_m=ANY) if row.cell_m is not None]
    found = {(row.quantity, row.product, row.cell_m): row for row in rows if row.value is not None}
    places = {(row.product, row.cell_m): row.pixels for row in found.values()}
    order = {name: number for number, name in enumerate(selection.evaluation.products)}
    lines = [
        [f"{product}, {cell_m:g} m", *(value_cell(found.get((name, product, cell_m))) for name in words.FRACTIONS),
         words.number(places[product, cell_m], 0)]
        for product, cell_m in sorted(places, key=lambda place: (order.get(place[0], 99), place[1]))
    ]  # fmt: skip
    if not lines:
        return Html()
    head = ["Product and cells", *(about.name for about in words.FRACTIONS.values()), "Cells"]
    return table(head, lines, "Fractions of snow, map against reference")


def by_threshold(selection: Selection) -> Html:
    """IoU by depth threshold; empty if there is only one."""
    thresholds = sorted(selecting.depth_thresholds(selection.evaluation))
    if len(thresholds) < 2:
        return Html()
    products = selection.evaluation.products
    lines = [
        [
            f"{threshold:g} m",
            *(value_cell(selection.row("iou", name, depth_threshold_m=threshold)) for name in products),
        ]
        for threshold in thresholds
    ]
    return table(["Depth of at least", *products], lines, "IoU by the depth that counts as snow")
