"""What the terminal shows of jobs on rented machines."""

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from snowcover_launch.poller import Watcher
from snowcover_launch.tracked_job import Followed

log = logging.getLogger(__name__)


class Lines:
    """A line for each change and each epoch; for a single job all that it prints."""

    def __init__(self, single: bool) -> None:
        self._single = single

    def changed(self, job: Followed) -> None:
        log.info(_line(job))

    def printed(self, job: Followed, lines: Sequence[str]) -> None:
        for line in lines:
            if self._single:
                log.info("  | %s", line)
            elif line.startswith("epoch="):
                log.info("  %d  %s", job.record.number, line)

    def trouble(self, sentence: str | None) -> None:
        log.warning(sentence or "AWS answers again.")

    def tell(self, sentence: str) -> None:
        log.info(sentence)


class LiveTable:
    """One line for each job, written over again and again."""

    def __init__(self, followed: Sequence[Followed], print_line: Callable[[str], None]) -> None:
        self._followed = followed
        self._print = print_line
        self._trouble: str | None = None

    def changed(self, job: Followed) -> None:
        """The table is drawn anew anyway."""

    def printed(self, job: Followed, lines: Sequence[str]) -> None:
        """The lines are in the job's folder."""

    def trouble(self, sentence: str | None) -> None:
        self._trouble = sentence

    def tell(self, sentence: str) -> None:
        self._print(sentence)  # above the table

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        table.add_column()
        table.add_column(overflow="ellipsis", no_wrap=True)
        for _ in range(3):
            table.add_column(no_wrap=True)
        for job in self._followed:
            table.add_row(f"  {job.record.number}", job.record.title, _status(job), _elapsed(job), job.epoch)
        return Group(table, self._trouble) if self._trouble else table


@contextmanager
def watching(followed: Sequence[Followed], alone: bool) -> Iterator[Watcher]:
    """A live table where somebody watches and nothing else prints, else lines."""
    if len(followed) > 1 and alone and sys.stdout.isatty():
        from rich.console import Console
        from rich.live import Live

        console = Console(markup=False, highlight=False)
        table = LiveTable(followed, console.print)
        with Live(table, console=console, refresh_per_second=2):
            yield table
    else:
        yield Lines(single=len(followed) == 1)


def _line(job: Followed) -> str:
    return f"  {job.record.number}  {job.record.name}  {_status(job)}  {_elapsed(job)}".rstrip()


def _status(job: Followed) -> str:
    """SageMaker's finer word for what a job does, where there is one."""
    status = job.record.status or "waiting"
    return job.state.secondary if job.state and status == "InProgress" and job.state.secondary else status


def _elapsed(job: Followed) -> str:
    if job.record.stage == "planned":
        return ""
    minutes, seconds = divmod(int((job.ended_at or time.monotonic()) - job.began), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}" if minutes >= 60 else f"{minutes}:{seconds:02d}"
