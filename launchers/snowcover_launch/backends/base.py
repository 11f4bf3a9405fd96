"""The protocol of a backend: all that a sweep, its poller and `jobs` know about where jobs run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from snowcover_launch.cost import Prices
from snowcover_launch.job import Job, Report


@dataclass(frozen=True)
class SweepContext:
    """What a backend needs to know about the sweep whose jobs it runs."""

    name: str
    """six hexadecimal digits, unique"""
    folder: Path
    """the folder of jobs.json"""
    prices: Prices
    hw_of: Callable[[str], Mapping[str, Any]] = lambda _: {}
    """the keys of hw that `hw=NAME` composes; empty if there is no such file"""


@dataclass(frozen=True)
class ExistingJob:
    """An identical job of an earlier command."""

    name: str
    report: Report
    facts: Mapping[str, object]
    """fields of `Job` in which it differs: its location, its machine"""

    @property
    def is_complete(self) -> bool:
        return self.report.state == "completed"


class Backend(Protocol):
    """Runs jobs. One object for each command and backend; a new backend is a new file next to this one."""

    in_process: bool
    """`submit` runs the job to its end, in the calling process and main thread"""
    slots: int | None
    """how many jobs it runs at a time; None: no limit"""
    outlives_us: bool
    """its jobs continue when the command that waits for them ends"""

    def check(self, job: Job) -> None:
        """Refuse a job that could not run, and complete the fields of the job. Makes no requests.

        Raises: UserError
        """
        ...

    def validate(self, jobs: Sequence[Job]) -> None:
        """Check with requests, at no cost, what would otherwise fail after the first job was sent.

        Raises: UserError
        """
        ...

    def find(self, jobs: Sequence[Job]) -> Mapping[Job, ExistingJob]:
        """For each job the identical one that is complete or running, if any.

        A job whose identical predecessor ended without a result resumes from its checkpoints.
        """
        ...

    def describe(self, job: Job) -> str:
        """Everything that would be sent, for launch.dry_run."""
        ...

    def submit(self, job: Job) -> Report:
        """Start a job; has no effect if it has been started already.

        Raises:
            Unreachable: it may or may not have been started; retry.
            NoCapacity: a machine may become available later.
            UserError: it can never be started.
        """
        ...

    def poll(self, job: Job) -> Report:
        """The current status of the job.

        Raises:
            NotFound: there is no such job.
            Unreachable: its status is unknown now; the job continues.
        """
        ...

    def logs(self, job: Job) -> list[str]:
        """The lines the job printed since the last call.

        Raises: Unreachable
        """
        ...

    def stop(self, job: Job) -> None:
        """Ask a job to save its state and stop; has no effect on a job that has ended.

        Raises: BackendError
        """
        ...

    def retry(self, job: Job) -> float | None:
        """Prepare a job that got no machine for another attempt, on another machine or on the same one later.

        Returns:
            Seconds to wait before it is submitted again; None: no further attempt.
        """
        ...

    def collect(self, job: Job, report: Report) -> str | None:
        """Import the run of an ended job into the user's MLflow store, once; returns its id there.

        Raises: UserError
        """
        ...

    def fetch(self, job: Job) -> list[Path]:
        """Download the job's model and output to its folder on this machine; returns the folders that exist now.

        Raises: UserError
        """
        ...
