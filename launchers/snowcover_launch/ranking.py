"""The results of a sweep: jobs ranked, and mean and spread over jobs that differ only in their seed. Pure."""

import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from snowcover_launch.job import Job

_SEED = re.compile(r"(?:^|(?<= ))seed=\S+ ?")
ALL = "all"  # title of the group if only the seed was swept


@dataclass(frozen=True)
class OverSeeds:
    """Jobs that differ only in their seed."""

    title: str
    val: "Spread"
    """of val_iou, by which settings are chosen"""
    test: "Spread | None"
    """of test_iou, which is only shown; None if fewer than two jobs have one"""

    @property
    def seeds(self) -> int:
        return self.val.count


@dataclass(frozen=True)
class Spread:
    """How a score differs between seeds."""

    mean: float
    sd: float
    """standard deviation, with n - 1"""
    count: int

    def __str__(self) -> str:
        return f"{self.mean:.4f} ± {self.sd:.4f}"


def ranked(jobs: Iterable[Job]) -> list[Job]:
    """The best first, those without a result last."""
    return sorted(jobs, key=lambda job: (job.result is None, -(job.result or 0)))


def over_seeds(jobs: Iterable[Job]) -> list[OverSeeds]:
    """Groups in which at least two seeds have a result, the best mean first."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        if job.result is not None and _SEED.search(job.title):
            groups.setdefault(_SEED.sub("", job.title).strip() or ALL, []).append(job)
    spreads = [
        OverSeeds(title, val, _spread(job.test_iou for job in alike))
        for title, alike in groups.items()
        if (val := _spread(job.result for job in alike)) is not None
    ]
    return sorted(spreads, key=lambda group: -group.val.mean)


def _spread(scores: Iterable[float | None]) -> Spread | None:
    known = [score for score in scores if score is not None]
    return Spread(statistics.fmean(known), statistics.stdev(known), len(known)) if len(known) > 1 else None


def text(jobs: Sequence[Job]) -> str:
    """For a terminal."""
    lines = ["  val_iou  test_iou  job"]
    lines += [
        f"  {_score(job.result):<7}  {_score(job.test_iou):<8}  {job.number}  {job.title}" for job in ranked(jobs)
    ]
    if groups := over_seeds(jobs):
        lines += [f"  {'val_iou':<15}  {'test_iou':<15}  seeds"]
        lines += [
            f"  {group.val!s:<15}  {group.test or '-'!s:<15}  {group.seeds:<5}  {group.title}" for group in groups
        ]
    return "\n".join(lines)


def markdown(jobs: Sequence[Job]) -> str:
    """For the description of the parent run in MLflow."""
    lines = ["| val_iou | test_iou | job | |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {_score(job.result)} | {_score(job.test_iou)} | {job.number} | {_cell(job.title)} |" for job in ranked(jobs)
    ]
    if groups := over_seeds(jobs):
        lines += ["", "| mean val_iou ± sd | mean test_iou ± sd | seeds | |", "| --- | --- | --- | --- |"]
        lines += [f"| {group.val} | {group.test or '-'} | {group.seeds} | {_cell(group.title)} |" for group in groups]
    return "\n".join(lines)


def _score(score: float | None) -> str:
    return "-" if score is None else f"{score:.4f}"


def _cell(title: str) -> str:
    return f"`{title}`".replace("|", "\\|")
