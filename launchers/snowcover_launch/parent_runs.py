"""The parent runs of a sweep in MLflow; its jobs' runs are their children."""

import getpass
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from snowcover.errors import Stopped
from snowcover_launch import ranking
from snowcover_launch.job import Job

TagsOf = Callable[[Job], dict[str, str]]


class ParentRuns:
    """One parent run for each MLflow store and experiment that the sweep's jobs record in.

    An optimizing sweeper launches batch after batch: all of them get the same parents.
    """

    def __init__(self, sweep: str, title: str, needed: bool) -> None:
        """`needed` is false for a command that is no sweep: its one run has no parent."""
        self._sweep = sweep
        self._title = title
        self._needed = needed
        self._runs: dict[tuple[str, str], str] = {}
        self._ended: list[Job] = []

    @contextmanager
    def open(self) -> Iterator[TagsOf]:
        """Yields a function that gives each job the tags of its run. The parents end as the block does."""
        try:
            yield self._tags
        except BaseException as error:
            self._close("KILLED" if isinstance(error, (Stopped, KeyboardInterrupt)) else "FAILED")
            raise
        self._close("FINISHED")

    def rank(self, batch: Sequence[Job]) -> None:
        """Record on each parent the best objective and the ranking of its jobs, including those of earlier batches."""
        from snowcover import tracking

        self._ended += batch
        for key, run_id in self._runs.items():
            jobs = [job for job in self._ended if _store_and_experiment(job) == key]
            if known := [job.result for job in jobs if job.result is not None]:
                metrics = {"best_val_iou": max(known), **_of_seeds(jobs)}
                tracking.note(key[0], run_id, {}, metrics, ranking.markdown(jobs))

    def _tags(self, job: Job) -> dict[str, str]:
        # In a container the user is root, whom MLflow would record as the user of the run.
        tags = {"sweep": self._sweep, "mlflow.user": getpass.getuser()}
        if not self._needed:
            return tags
        from snowcover import tracking

        key = _store_and_experiment(job)
        if key not in self._runs:
            uri, experiment = key
            self._runs[key] = tracking.open_sweep(uri, experiment, self._title, tags)
        return {**tags, "mlflow.parentRunId": self._runs[key]}

    def _close(self, status: Literal["FINISHED", "FAILED", "KILLED"]) -> None:
        from snowcover import tracking

        for (uri, _), run_id in self._runs.items():
            tracking.close_sweep(uri, run_id, status)


def _of_seeds(jobs: Sequence[Job]) -> dict[str, float]:
    """Mean and spread if only the seed was swept; several settings have no common mean."""
    groups = ranking.over_seeds(jobs)
    if len(groups) != 1 or groups[0].seeds != sum(job.result is not None for job in jobs):
        return {}
    scores = {"val_iou": groups[0].val, "test_iou": groups[0].test}
    known = {name: spread for name, spread in scores.items() if spread is not None}
    return {
        f"{statistic}_{name}": getattr(spread, statistic)
        for name, spread in known.items()
        for statistic in ("mean", "sd")
    }


def _store_and_experiment(job: Job) -> tuple[str, str]:
    return job.planned_config.tracking.uri, job.experiment
