"""What the terminal shows of jobs that run elsewhere."""

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from snowcover import epoch_line
from snowcover.terminal import safe
from snowcover_launch.job import State
from snowcover_launch.poller import Watcher
from snowcover_launch.tracked_job import TrackedJob

log = logging.getLogger(__name__)


class Lines:
    """Logs a line for each change and each epoch; for a single job, all its output."""

    def __init__(self, single: bool) -> None:
        self._single = single

    def changed(self, tracked: TrackedJob) -> None:
        log.info(_line(tracked))

    def printed(self, tracked: TrackedJob, lines: Sequence[str]) -> None:
        for line in lines:
            if self._single:
                log.info("  | %s", line)
            elif line.startswith(epoch_line.PREFIX):
                log.info("  %d  %s", tracked.job.number, line)

    def polling_problem(self, message: str | None) -> None:
        log.warning(message or "Polling works again.")

    def show(self, message: str) -> None:
        log.info(message)


class LiveTable:
    """A table with one line per job, redrawn in place."""

    def __init__(self, tracked_jobs: Sequence[TrackedJob], print_line: Callable[[str], None]) -> None:
        self._tracked = tracked_jobs
        self._print = print_line
        self._problem: str | None = None

    def changed(self, tracked: TrackedJob) -> None:
        """The table is redrawn anyway."""

    def printed(self, tracked: TrackedJob, lines: Sequence[str]) -> None:
        """The lines are in the job's folder."""

    def polling_problem(self, message: str | None) -> None:
        self._problem = safe(message) if message else None

    def show(self, message: str) -> None:
        self._print(safe(message))  # above the table

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        table.add_column()
        table.add_column(overflow="ellipsis", no_wrap=True)
        for _ in range(3):
            table.add_column(no_wrap=True)
        for tracked in self._tracked:
            row = f"  {tracked.job.number}", tracked.job.title, _status(tracked), _elapsed(tracked), tracked.epoch
            table.add_row(*map(safe, row))
        return Group(table, self._problem) if self._problem else table


@contextmanager
def watching(tracked_jobs: Sequence[TrackedJob], alone: bool) -> Iterator[Watcher]:
    """A live table on an interactive terminal if nothing else prints, else log lines."""
    if len(tracked_jobs) > 1 and alone and sys.stdout.isatty():
        from rich.console import Console
        from rich.live import Live

        console = Console(markup=False, highlight=False)
        table = LiveTable(tracked_jobs, console.print)
        with Live(table, console=console, refresh_per_second=2):
            yield table
    else:
        yield Lines(single=len(tracked_jobs) == 1)


def _line(tracked: TrackedJob) -> str:
    return f"  {tracked.job.number}  {tracked.job.name}  {_status(tracked)}  {_elapsed(tracked)}".rstrip()


def _status(tracked: TrackedJob) -> str:
    """What a job is doing, in as much detail as its backend gives."""
    status = tracked.job.status or ("waiting" if tracked.job.state is State.PLANNED else str(tracked.job.state))
    is_running = tracked.job.state is State.RUNNING
    return tracked.report.detail if is_running and tracked.report and tracked.report.detail else status


def _elapsed(tracked: TrackedJob) -> str:
    if tracked.job.state is State.PLANNED:
        return ""
    minutes, seconds = divmod(int((tracked.ended_at or time.monotonic()) - tracked.started_at), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}" if minutes >= 60 else f"{minutes}:{seconds:02d}"
