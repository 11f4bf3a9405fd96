"""Checks of a batch before anything is sent: conflicting keys, and a table of what will run and cost."""

from collections.abc import Mapping, Sequence

from snowcover.errors import UserError
from snowcover_launch.backends.base import Backend
from snowcover_launch.cost import Prices
from snowcover_launch.job import Job


class ConflictingKeys(UserError):
    """Keys of the launcher that exclude each other."""


def refuse_conflicting_keys(batch: Sequence[Job], backends: Mapping[str, Backend], optimizes: bool) -> None:
    """Raises: ConflictingKeys."""
    launch = batch[0].planned_config.launch
    if any(job.planned_config.launch != launch for job in batch):
        raise ConflictingKeys("All jobs of a sweep are launched in the same way: do not sweep keys of launch.")
    if optimizes and launch.dry_run:
        raise ConflictingKeys("launch.dry_run=true gives no results, which an optimizing sweeper needs.")
    if not launch.wait and optimizes:
        raise ConflictingKeys("An optimizing sweeper needs each job's result: leave launch.wait=true.")
    if not launch.wait and launch.max_parallel is not None:
        raise ConflictingKeys("launch.max_parallel starts the next job when one ends: leave launch.wait=true.")
    for name in sorted({job.backend for job in batch}):
        count, slots = sum(job.backend == name for job in batch), backends[name].slots
        if not launch.wait and not backends[name].in_process and slots is not None and count > slots:
            raise ConflictingKeys(
                f"{count} jobs of hw.backend={name} run one after another, and the command must stay to start the "
                "next: leave launch.wait=true."
            )
    for job in batch:
        if backends[job.backend].in_process and job.planned_config.hw.devices != 1:
            raise ConflictingKeys(f"Job {job.number}: a sweep trains each run here on one device: hw.devices=1.")


def format_plan(batch: Sequence[Job], prices: Prices) -> str:
    """What will run on cloud instances and what it may cost, as a table; empty if nothing does."""
    jobs = [job for job in batch if job.machine]
    if not jobs:
        return ""
    head = ("job", "what", "machine", "spot", "limit", "at most")
    rows = [head, *map(_row, jobs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if paid := [job for job in jobs if job.costs]:
        lines.append(f"at most {_format_total(paid)} (prices of {prices.as_of}, without storage)")
    return "\n".join(f"  {line}" for line in lines)


def _format_total(paid: Sequence[Job]) -> str:
    """What all jobs together may cost, or which prices are missing."""
    known = [job.highest_usd for job in paid if job.highest_usd is not None]
    if len(known) == len(paid):
        return f"{sum(known):.2f} USD in all"
    missing = ", ".join(sorted({machine for job in paid for machine in job.unpriced}))
    rest = (
        f"{sum(known):.2f} USD for {len(known)} of {len(paid)} jobs, and unknown for the others" if known else "unknown"
    )
    return f"{rest}: there is no price for {missing} in this region, unless you give launch.prices=FILE"


def _row(job: Job) -> tuple[str, ...]:
    machine = f"{job.machines} x {job.machine}" if job.machines > 1 else job.machine
    machine = ", else ".join([machine, *(str(other.hw.instance_type) for other in job.alternatives[1:])])
    at_most = "unknown" if job.highest_usd is None else f"{job.highest_usd:.2f} USD"
    if job.adopted:
        at_most = f"nothing: {job.name} " + ("is complete" if job.state.has_ended else "already runs")
    elif job.twin_of is not None:
        at_most = f"nothing: identical to job {job.twin_of}"
    limit = f"{job.planned_config.hw.max_hours:g} h"
    return (str(job.number), job.title, machine, "yes" if job.spot else "no", limit, at_most)
