"""Jobs of earlier commands that are identical to those of a batch, from listings and from this machine's records."""

from collections.abc import Sequence
from pathlib import Path

from snowcover_launch.aws.session import Account
from snowcover_launch.backends.base import ExistingJob
from snowcover_launch.backends.sagemaker import claims, request
from snowcover_launch.backends.sagemaker.claims import Attempt
from snowcover_launch.job import Job, Report
from snowcover_launch.jobs_file import complete_jobs

FACTS = ("prefix", "checkpoints", "machine", "machines", "spot", "usd_per_hour", "own_store")


class EarlierJobs:
    """All attempts at the jobs of a batch, on any of their machines."""

    def __init__(self, account: Account, sweep: Path, jobs: Sequence[Job]) -> None:
        """`sweep` is the sweep's folder; jobs.json of its neighbours is used, too.

        Raises:
            AwsError
        """
        wanted: dict[str, set[str]] = {}
        for job in jobs:
            wanted.setdefault(request.experiment_prefix(job.planned_config), set()).update(job.digests)
        self._attempts: dict[str, list[Attempt]] = {}
        for prefix, digests in wanted.items():
            self._attempts |= claims.find_attempts(account, prefix, digests)
        self._complete_jobs = complete_jobs(sweep) if self._attempts else {}

    def last_number(self, digest: str) -> int:
        """The number of the last attempt at a job; 0 if there is none."""
        return claims.next_number(self._attempts.get(digest, [])) - 1

    def attempts(self, job: Job) -> list[Attempt]:
        """The complete ones first, then by preferred machine, the newest first."""
        found = [
            (not attempt.is_complete, position, -attempt.number, attempt)
            for position, digest in enumerate(job.digests)
            for attempt in self._attempts.get(digest, [])
        ]
        return [each[-1] for each in sorted(found, key=lambda each: each[:-1])]

    def locally_known(self, attempt: Attempt) -> ExistingJob | None:
        """A complete job that this machine has all information about, so that AWS need not be asked."""
        job = self._complete_jobs.get(attempt.name) if attempt.is_complete else None
        if job is None:
            return None
        metrics = {} if job.cost_usd is None else {"job_cost_usd": job.cost_usd}
        report = Report(
            state=job.state, status=job.status, objective=job.objective, test_iou=job.test_iou, id=job.id,
            metrics=metrics,
        )  # fmt: skip
        return ExistingJob(job.name, report, {name: getattr(job, name) for name in FACTS})
