"""The files of a report."""

from collections.abc import Iterator, Sequence

from snowcover.evaluate.figures import Picture
from snowcover.evaluate.report.page import render
from snowcover.evaluate.results import Evaluation

REPORT, TABLE, FIGURES = "report.html", "evaluation.csv", "figures"


def report_files(evaluation: Evaluation, pictures: Sequence[Picture], table: str) -> Iterator[tuple[str, bytes]]:
    """Each file's path within the report's folder, and what it holds; the page comes last, and completes the report.

    Args:
        table: the text of evaluation.csv.
    """
    for picture in pictures:
        yield f"{FIGURES}/{picture.name}.png", picture.png
    yield TABLE, table.encode()
    yield REPORT, render(evaluation, pictures).encode()
