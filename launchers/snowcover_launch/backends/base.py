"""What every place where jobs run can do: all that a sweep, its poller and `jobs` know of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from snowcover_launch.cost import Prices
from snowcover_launch.job import Job, Report


@dataclass(frozen=True)
class SweepContext:
    """What a backend is told of the sweep whose jobs it gets."""

    name: str
    """six hexadecimal digits that no other sweep has"""
    folder: Path
    """where jobs.json lies"""
    prices: Prices
    hw_of: Callable[[str], Mapping[str, Any]] = lambda _: {}
    """the keys of hw that `hw=NAME` composes; empty where there is no such file"""


@dataclass(frozen=True)
class Found:
    """An equal job of an earlier command."""

    name: str
    report: Report
    facts: Mapping[str, object]
    """fields of `Job` that the earlier one has otherwise: where it lies, on what machine it runs"""

    @property
    def is_complete(self) -> bool:
        return self.report.state == "completed"


class Backend(Protocol):
    """A place where jobs run. One object for each command and place; another place is another file beside this one."""

    in_process: bool
    """`submit` runs the job to its end, in the process and main thread that call it"""
    slots: int | None
    """how many jobs it takes at a time; None: as many as there are"""
    outlives_us: bool
    """its jobs go on when the command that waits for them ends"""

    def check(self, job: Job) -> None:
        """Refuse a job that could not run there. Asks nobody, and completes what the job says of itself.

        Raises: UserError
        """
        ...

    def validate(self, jobs: Sequence[Job]) -> None:
        """Ask once, for nothing, all that would otherwise go wrong after the first job was sent.

        Raises: UserError
        """
        ...

    def find(self, jobs: Sequence[Job]) -> Mapping[Job, Found]:
        """For each job the equal one that is complete or runs, if any.

        A job whose equal has ended without a result goes on in that one's checkpoints.
        """
        ...

    def describe(self, job: Job) -> str:
        """All that would be sent, for launch.dry_run."""
        ...

    def submit(self, job: Job) -> Report:
        """Start a job; asking again for one that has been started changes nothing.

        Raises:
            Unreachable: it may or may not have been started; ask again.
            NoCapacity: later there may be a machine.
            UserError: it can never be started.
        """
        ...

    def poll(self, job: Job) -> Report:
        """Where the job is now.

        Raises:
            NotFound: there is no such job.
            Unreachable: nothing can be learned now; the job goes on.
        """
        ...

    def logs(self, job: Job) -> list[str]:
        """The lines that it printed since the last call.

        Raises: Unreachable
        """
        ...

    def stop(self, job: Job) -> None:
        """Ask a job to save what it has and stop; one that has ended is left as it is.

        Raises: BackendError
        """
        ...

    def retry(self, job: Job) -> float | None:
        """Make a job ready that found no machine, for another machine or for the same one later.

        Returns:
            Seconds to wait before it is submitted again; None: it is not tried any more.
        """
        ...

    def collect(self, job: Job, report: Report) -> str | None:
        """Bring the run of an ended job into the user's MLflow store, once; returns its id there.

        Raises: UserError
        """
        ...

    def fetch(self, job: Job) -> list[Path]:
        """Bring the job's model and output to its folder on this machine; returns the folders that are there now.

        Raises: UserError
        """
        ...
