"""What came of a sweep's jobs: the best first, and mean and spread of those that differ in their seed alone. Pure."""

import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from snowcover_launch.job import Job

_SEED = re.compile(r"(?:^|(?<= ))seed=\S+ ?")
ALL = "all"  # what jobs have in common where the seed alone was swept


@dataclass(frozen=True)
class OverSeeds:
    """Jobs that differ in their seed alone."""

    title: str
    seeds: int
    mean: float
    sd: float
    """standard deviation between seeds, with n - 1"""


def ranked(jobs: Iterable[Job]) -> list[Job]:
    """The best first, those without a result last."""
    return sorted(jobs, key=lambda job: (job.result is None, -(job.result or 0)))


def over_seeds(jobs: Iterable[Job]) -> list[OverSeeds]:
    """Those of which at least two seeds have a result, the best mean first."""
    groups: dict[str, list[float]] = {}
    for job in jobs:
        if job.result is not None and _SEED.search(job.title):
            groups.setdefault(_SEED.sub("", job.title).strip() or ALL, []).append(job.result)
    found = [
        OverSeeds(title, len(values), statistics.fmean(values), statistics.stdev(values))
        for title, values in groups.items()
        if len(values) > 1
    ]
    return sorted(found, key=lambda one: -one.mean)


def text(jobs: Sequence[Job]) -> str:
    """For a terminal."""
    lines = ["  val_iou  job", *(f"  {_result(job):<7}  {job.number}  {job.title}" for job in ranked(jobs))]
    if groups := over_seeds(jobs):
        lines += ["  mean     sd      seeds"]
        lines += [f"  {one.mean:.4f}   {one.sd:.4f}  {one.seeds:<5}  {one.title}" for one in groups]
    return "\n".join(lines)


def markdown(jobs: Sequence[Job]) -> str:
    """For the description of the parent run in MLflow."""
    lines = ["| val_iou | job | |", "| --- | --- | --- |"]
    lines += [f"| {_result(job)} | {job.number} | {_cell(job.title)} |" for job in ranked(jobs)]
    if groups := over_seeds(jobs):
        lines += ["", "| mean val_iou | sd | seeds | |", "| --- | --- | --- | --- |"]
        lines += [f"| {one.mean:.4f} | {one.sd:.4f} | {one.seeds} | {_cell(one.title)} |" for one in groups]
    return "\n".join(lines)


def _result(job: Job) -> str:
    return "-" if job.result is None else f"{job.result:.4f}"


def _cell(title: str) -> str:
    return f"`{title}`".replace("|", "\\|")
