"""The limit on what all batches of a sweep may cost together."""

from collections.abc import Sequence

from snowcover.errors import UserError
from snowcover_launch.job import Job


class TooExpensive(UserError):
    """The jobs of a sweep may cost more than the user allows."""


class Spending:
    """The jobs that a sweep pays for: an optimizing sweeper sends batch after batch."""

    def __init__(self) -> None:
        self._jobs: list[Job] = []

    def admit(self, batch: Sequence[Job], limit_usd: float | None) -> None:
        """Raises: TooExpensive: the sweep may cost more than the limit, or a price is unknown."""
        new = [job for job in batch if job.costs]
        if limit_usd is not None:
            self._refuse_beyond(limit_usd, new)
        self._jobs += new

    def _refuse_beyond(self, limit_usd: float, new: Sequence[Job]) -> None:
        if unknown := sorted(
            {each for job in new if job.highest_usd is None for each in job.unpriced or [job.machine]}
        ):
            raise TooExpensive(
                f"launch.max_cost_usd={limit_usd:g} cannot be checked: the price table lacks {', '.join(unknown)} in "
                "this region; add it to a table of your own and give launch.prices=FILE."
            )
        before = sum(_cost_or_limit(job) for job in self._jobs)
        total = before + sum(_cost_or_limit(job) for job in new)
        if new and total > limit_usd:
            earlier = f", with {before:.2f} USD for the sweep's {len(self._jobs)} earlier jobs," if before else ""
            raise TooExpensive(
                f"These {len(new)} jobs{earlier} may cost up to {total:.2f} USD, more than "
                f"launch.max_cost_usd={limit_usd:g}: lower hw.max_hours, start fewer jobs, or raise the limit."
            )


def _cost_or_limit(job: Job) -> float:
    """What a job has cost, if known, else the most it can cost."""
    known = job.cost_usd if job.cost_usd is not None else job.highest_usd
    return known or 0.0
