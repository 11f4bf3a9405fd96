"""The parent runs of a sweep in MLflow, under which its jobs' runs are found."""

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
        """`needed` is false for a command that is no sweep: its one run stands alone."""
        self._sweep = sweep
        self._title = title
        self._needed = needed
        self._runs: dict[tuple[str, str], str] = {}
        self._ended: list[Job] = []

    @contextmanager
    def open(self) -> Iterator[TagsOf]:
        """What gives each job the tags of its run; at the end the parents end as the block does."""
        try:
            yield self._tags
        except BaseException as error:
            self._close("KILLED" if isinstance(error, (Stopped, KeyboardInterrupt)) else "FAILED")
            raise
        self._close("FINISHED")

    def rank(self, batch: Sequence[Job]) -> None:
        """Keep on each parent the best objective of its jobs, those of earlier batches too, and their ranking."""
        from snowcover import tracking

        self._ended += batch
        for place, run_id in self._runs.items():
            jobs = [job for job in self._ended if _place(job) == place]
            if known := [job.result for job in jobs if job.result is not None]:
                metrics = {"best_val_iou": max(known), **_of_seeds(jobs)}
                tracking.note(place[0], run_id, {}, metrics, ranking.markdown(jobs))

    def _tags(self, job: Job) -> dict[str, str]:
        # In a container the user is root, and MLflow would say that root made the run.
        tags = {"sweep": self._sweep, "mlflow.user": getpass.getuser()}
        if not self._needed:
            return tags
        from snowcover import tracking

        place = _place(job)
        if place not in self._runs:
            uri, experiment = place
            self._runs[place] = tracking.open_sweep(uri, experiment, self._title, tags)
        return {**tags, "mlflow.parentRunId": self._runs[place]}

    def _close(self, status: Literal["FINISHED", "FAILED", "KILLED"]) -> None:
        from snowcover import tracking

        for (uri, _), run_id in self._runs.items():
            tracking.close_sweep(uri, run_id, status)


def _of_seeds(jobs: Sequence[Job]) -> dict[str, float]:
    """Mean and spread where nothing but the seed was swept: of several settings there is no one mean."""
    groups = ranking.over_seeds(jobs)
    if len(groups) != 1 or groups[0].seeds != sum(job.result is not None for job in jobs):
        return {}
    scores = {"val_iou": groups[0].val, "test_iou": groups[0].test}
    known = {name: spread for name, spread in scores.items() if spread is not None}
    return {f"{what}_{name}": getattr(spread, what) for name, spread in known.items() for what in ("mean", "sd")}


def _place(job: Job) -> tuple[str, str]:
    return job.planned_config.tracking.uri, job.experiment
