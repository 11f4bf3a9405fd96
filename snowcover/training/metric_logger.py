"""Metrics of a run on their way to MLflow: each value once, whatever was interrupted before."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from snowcover.run_metadata import RunMetadata

Rows = Sequence[tuple[int, Mapping[str, float]]]


class MetricStore(Protocol):
    """What holds a run's metrics."""

    def metrics(self, rows: Rows, /) -> None:
        """Add rows of (step, values) to the run."""

    def last_step(self, metric: str, /) -> int:
        """The highest step that a metric has in the store, -1 for none."""


class MetricLogger:
    """Logs each value once, whatever the store holds from before the run was interrupted."""

    def __init__(self, store: MetricStore, resumed: bool) -> None:
        self._store = store
        self._logged: dict[str, int] = {}  # the highest step of each metric
        self._ask = resumed

    def log(self, rows: Rows) -> None:
        """Log rows of (step, values), of which each metric's steps rise; any of them may have been logged before.

        Raises:
            Exception: the store's own kinds; what it did take will not be logged again.
        """
        try:
            new = [(step, {k: v for k, v in values.items() if step > self._last(k)}) for step, values in rows]
            self._store.metrics([(step, values) for step, values in new if values])
        except Exception:
            self._logged, self._ask = {}, True
            raise
        self._logged.update({name: step for step, values in new for name in values})

    def _last(self, metric: str) -> int:
        if metric not in self._logged:
            self._logged[metric] = self._store.last_step(metric) if self._ask else -1
        return self._logged[metric]


def metric_rows(metadata: RunMetadata) -> list[tuple[int, Mapping[str, float]]]:
    """Steps and epochs of a run, each with its values, as its checkpoint has them."""
    steps = [(step, {"loss": loss, "lr": lr}) for step, loss, lr in metadata.steps]
    epochs = [(int(row["epoch"]), {k: v for k, v in row.items() if k != "epoch"}) for row in metadata.history]
    return [*steps, *epochs]
