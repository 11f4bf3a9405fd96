"""The report of an evaluation: one self-contained HTML page."""

from snowcover.evaluate.report.page import render

__all__ = ["render"]
