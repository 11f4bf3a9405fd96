"""The report of an evaluation: one HTML page that needs no other file, beside its figures and its table."""

from snowcover.evaluate.report.files import FIGURES, REPORT, TABLE, report_files
from snowcover.evaluate.report.page import render

__all__ = ["FIGURES", "REPORT", "TABLE", "render", "report_files"]
