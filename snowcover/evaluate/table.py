"""All numbers as evaluation.csv, and the summary on the terminal. Pure text."""

import csv
import io
from collections.abc import Sequence
from dataclasses import fields

from snowcover.evaluate import words
from snowcover.evaluate.results import Evaluation, Row
from snowcover.evaluate.selection import select

SHOWN = ("iou", "f1", "precision", "recall", "mcc", "average_precision")


def as_csv(rows: Sequence[Row]) -> bytes:
    """One line per row; undefined values are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [field.name for field in fields(Row)]
    writer.writerow(names)
    writer.writerows([_cell(getattr(row, name)) for name in names] for row in rows)
    return text.getvalue().encode()


def _cell(value: object) -> object:
    return "" if value is None else f"{value:.9g}" if isinstance(value, float) else value


def summary(evaluation: Evaluation) -> str:
    """One line per product: its main scores, the IoU with its interval."""
    selection = select(evaluation)
    shown = selection.quantities(SHOWN)
    head = [words.GROUND[selection.ground], *(words.quantity(name).name for name in shown), "pixels"]
    lines = [head]
    for product in evaluation.products:
        rows = [selection.row(name, product) for name in shown]
        pixels = next((row.pixels for row in rows if row is not None and row.pixels is not None), None)
        lines.append([product, *map(_number, rows), "-" if pixels is None else f"{pixels:,}"])
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join("  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines)


def _number(row: Row | None) -> str:
    if row is None or row.value is None:
        return "-"
    value = f"{row.value:.3f}"
    return value if row.quantity != "iou" or row.low is None else f"{value} ({row.low:.3f} to {row.high:.3f})"
