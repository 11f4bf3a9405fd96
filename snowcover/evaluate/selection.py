"""Selects the rows of an evaluation that a table or figure shows. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from snowcover.evaluate.results import Evaluation, Ground, Row
from snowcover.evaluate.words import STRATA


@dataclass(frozen=True)
class Selection:
    """The main rows: on unseen ground if there is any, on the same pixels for all products, at the first depth
    threshold."""

    evaluation: Evaluation
    ground: Ground
    depth_threshold_m: float | None

    def rows(self, quantity: str | None = None, **where: Any) -> Iterator[Row]:
        """Rows of the whole scored ground or, with `where`, of a stratum, cell size and so on."""
        wanted = {
            "ground": self.ground, "pixels_of": "common", "depth_threshold_m": self.depth_threshold_m, "versus": None,
            "stratum": None, "cell_m": None, **where,
        }  # fmt: skip
        for row in self.evaluation.rows:
            if (quantity is None or row.quantity == quantity) and _is(row, wanted):
                yield row

    def row(self, quantity: str, product: str, **where: Any) -> Row | None:
        """The first such row of a product; None without one."""
        return next((row for row in self.rows(quantity, **where) if row.product == product), None)

    def recall_by_depth(self) -> list[Row]:
        """Recall in the bins of snow depth that reach above the threshold."""
        least_m = self.depth_threshold_m or 0.0
        rows = self.rows("recall", stratum="snow_depth")
        return [row for row in rows if row.bin_high is None or row.bin_high > least_m]

    def snow_lines(self, versus: str | None = None) -> list[Row]:
        """Snow lines of all aspects together, as a bin of its own, and of each aspect."""
        all_aspects = self.rows("snow_line_m", versus=versus)
        whole = [replace(row, stratum="aspect", bin="all aspects") for row in all_aspects]
        return [*whole, *self.rows("snow_line_m", stratum="aspect", versus=versus)]

    def quantities(self, of: Iterable[str], **where: Any) -> list[str]:
        """The quantities that have a value for any product."""
        known = {row.quantity for row in self.rows(**where) if row.value is not None}
        return [name for name in of if name in known]


ANY = object()
"""a wildcard for `where`"""


def _is(row: Row, wanted: dict[str, object]) -> bool:
    return all(value is ANY or getattr(row, name) == value for name, value in wanted.items())


def select(evaluation: Evaluation) -> Selection:
    """The main rows of an evaluation."""
    grounds = {row.ground for row in evaluation.rows if row.value is not None}
    ground: Ground = next((name for name in ("unseen", "all", "trained") if name in grounds), "all")
    thresholds = depth_thresholds(evaluation)
    return Selection(evaluation, ground, thresholds[0] if thresholds else None)


def depth_thresholds(evaluation: Evaluation) -> list[float]:
    """Depth thresholds in the order of the command, the main one first."""
    found = (row.depth_threshold_m for row in evaluation.rows if row.depth_threshold_m is not None)
    return list(dict.fromkeys(found))


def strata(evaluation: Evaluation) -> list[str]:
    """The strata of an evaluation, known ones in their usual order first."""
    found = {row.stratum for row in evaluation.rows if row.stratum is not None}
    return [name for name in STRATA if name in found] + sorted(found - STRATA.keys())


def bins(rows: Sequence[Row]) -> list[str]:
    """The bins of rows, in order of appearance."""
    return list(dict.fromkeys(row.bin for row in rows if row.bin is not None))
