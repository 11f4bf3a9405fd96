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
    """A line for each change and each epoch; for a single job all that it prints."""

    def __init__(self, single: bool) -> None:
        self._single = single

    def changed(self, one: TrackedJob) -> None:
        log.info(_line(one))

    def printed(self, one: TrackedJob, lines: Sequence[str]) -> None:
        for line in lines:
            if self._single:
                log.info("  | %s", line)
            elif line.startswith(epoch_line.PREFIX):
                log.info("  %d  %s", one.job.number, line)

    def trouble(self, sentence: str | None) -> None:
        log.warning(sentence or "It answers again.")

    def tell(self, sentence: str) -> None:
        log.info(sentence)


class LiveTable:
    """One line for each job, written over again and again."""

    def __init__(self, tracked: Sequence[TrackedJob], print_line: Callable[[str], None]) -> None:
        self._tracked = tracked
        self._print = print_line
        self._trouble: str | None = None

    def changed(self, one: TrackedJob) -> None:
        """The table is drawn anew anyway."""

    def printed(self, one: TrackedJob, lines: Sequence[str]) -> None:
        """The lines are in the job's folder."""

    def trouble(self, sentence: str | None) -> None:
        self._trouble = safe(sentence) if sentence else None

    def tell(self, sentence: str) -> None:
        self._print(safe(sentence))  # above the table

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        table.add_column()
        table.add_column(overflow="ellipsis", no_wrap=True)
        for _ in range(3):
            table.add_column(no_wrap=True)
        for one in self._tracked:
            table.add_row(*map(safe, (f"  {one.job.number}", one.job.title, _status(one), _elapsed(one), one.epoch)))
        return Group(table, self._trouble) if self._trouble else table


@contextmanager
def watching(tracked: Sequence[TrackedJob], alone: bool) -> Iterator[Watcher]:
    """A live table where somebody watches and nothing else prints, else lines."""
    if len(tracked) > 1 and alone and sys.stdout.isatty():
        from rich.console import Console
        from rich.live import Live

        console = Console(markup=False, highlight=False)
        table = LiveTable(tracked, console.print)
        with Live(table, console=console, refresh_per_second=2):
            yield table
    else:
        yield Lines(single=len(tracked) == 1)


def _line(one: TrackedJob) -> str:
    return f"  {one.job.number}  {one.job.name}  {_status(one)}  {_elapsed(one)}".rstrip()


def _status(one: TrackedJob) -> str:
    """The backend's finer word for what a job does, where there is one."""
    status = one.job.status or ("waiting" if one.job.state is State.PLANNED else str(one.job.state))
    is_running = one.job.state is State.RUNNING
    return one.report.detail if is_running and one.report and one.report.detail else status


def _elapsed(one: TrackedJob) -> str:
    if one.job.state is State.PLANNED:
        return ""
    minutes, seconds = divmod(int((one.ended_at or time.monotonic()) - one.began), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}" if minutes >= 60 else f"{minutes}:{seconds:02d}"
