"""The report of an evaluation: one HTML page that needs no other file."""

from snowcover.evaluate.report.page import render

__all__ = ["render"]
