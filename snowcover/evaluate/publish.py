"""Writes the files of a report; the page comes last, so that a report with a page is complete."""

from collections.abc import Mapping

from snowcover import storage
from snowcover.errors import UserError
from snowcover.evaluate.figures import draw_figures
from snowcover.evaluate.report import render
from snowcover.evaluate.results import Evaluation
from snowcover.evaluate.table import as_csv
from snowcover.storage import StorageError

PAGE, TABLE, FIGURES = "report.html", "evaluation.csv", "figures"


class ReportExists(UserError):
    """`out` holds a report."""


class CannotWriteReport(UserError):
    """`out` cannot be written to."""


def refuse_existing(out: str, overwrite: bool) -> None:
    """Raises: ReportExists"""
    if overwrite:
        return
    existing = {file.uri.removeprefix(f"{out}/") for file in storage.list_files(f"{out}/")}
    if found := sorted({PAGE, TABLE} & existing):
        raise ReportExists(
            f"{out} holds a report ({found[0]}): choose another out, or set overwrite=true to replace it."
        )


def report_files(evaluation: Evaluation) -> dict[str, bytes]:
    """Path within the report's folder -> content, the page last."""
    pictures = draw_figures(evaluation)
    return {
        TABLE: as_csv(evaluation.rows),
        **{f"{FIGURES}/{picture.name}.png": picture.png for picture in pictures},
        PAGE: render(evaluation, pictures).encode(),
    }


def publish(files: Mapping[str, bytes], out: str) -> None:
    """Write a report; files of an earlier one are removed.

    Raises: CannotWriteReport
    """
    try:
        existing = {file.uri.removeprefix(f"{out}/") for file in storage.list_files(f"{out}/")}
        for path in sorted(path for path in existing if path == PAGE or _is_old_figure(path, files)):
            storage.delete(f"{out}/{path}")
        for path, content in files.items():
            storage.write(f"{out}/{path}", content)
    except StorageError as error:
        raise CannotWriteReport(f"out={out}: {str(error).rstrip('.')}.") from error


def _is_old_figure(path: str, files: Mapping[str, bytes]) -> bool:
    return path.startswith(f"{FIGURES}/") and path.endswith(".png") and path not in files
