"""One job while a command waits for it: when it is polled next, and what it has printed."""

import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from snowcover.epoch_line import progress_of
from snowcover_launch.errors import JobFailed
from snowcover_launch.job import Job, Report

MIN_POLL_INTERVAL_S, MAX_POLL_INTERVAL_S, POLL_BACKOFF = 1.0, 20.0, 1.5
LOG_FILE = "job.log"
LAST_LINES = 3
WAYS_OUT = {
    "MaxRuntimeExceeded": "it used up hw.max_hours: the same command with a higher one resumes from its last epoch",
    "MaxWaitTimeExceeded": "raise hw.max_wait_hours, or set hw.spot=false",
}


class TrackedJob:
    """A job, its polling schedule, and the end of its log."""

    def __init__(self, job: Job, folder: Path) -> None:
        """`folder` holds the job's files on this machine."""
        self.job, self.folder = job, folder
        self.report: Report | None = None
        self.epoch = ""
        self.started_at = self.last_output_at = time.monotonic()
        self.ended_at: float | None = None
        self.next_poll_at = 0.0
        self._interval_s = MIN_POLL_INTERVAL_S
        self.tail: deque[str] = deque(maxlen=LAST_LINES)

    def schedule_next_poll(self, changed: bool, shortest_s: float) -> None:
        """Soon after a change, at growing intervals while nothing changes."""
        self._interval_s = MIN_POLL_INTERVAL_S if changed else min(self._interval_s * POLL_BACKOFF, MAX_POLL_INTERVAL_S)
        self.next_poll_at = time.monotonic() + max(self._interval_s, shortest_s)

    def update(self, report: Report) -> bool:
        """Record what the backend reports. Returns whether that is new."""
        before, self.report = self.report, report
        if not report.works:
            self.last_output_at = time.monotonic()
        if report.state.has_ended:
            self.ended_at = time.monotonic()
        return before is None or (before.status, before.detail) != (report.status, report.detail)

    def add_output(self, lines: Sequence[str]) -> None:
        """Append what the job printed to the log in its folder."""
        if not lines:
            return
        self.last_output_at = time.monotonic()
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / LOG_FILE).open("a") as file:
            file.writelines(f"{line}\n" for line in lines)
        self.tail.extend(line for line in lines if line.strip())
        for line in lines:
            self.epoch = progress_of(line) or self.epoch

    @property
    def is_silent(self) -> bool:
        """Whether its machine is working and has printed nothing for longer than allowed."""
        limit = self.job.max_silent_minutes
        works = self.report is not None and self.report.works
        return limit is not None and works and time.monotonic() - self.last_output_at > limit * 60

    @property
    def failure(self) -> JobFailed:
        """Why it has no result, with the last lines that it printed."""
        job, detail = self.job, self.report.detail if self.report else ""
        if job.reason and (self.report is None or job.state == "not started"):
            return JobFailed(job.reason)
        detail = "" if detail == job.status else detail
        reason = " ".join((job.reason or "").split()) or WAYS_OUT.get(detail, "")
        last = " | ".join(self.tail)
        return JobFailed(
            f"The job {job.name} ended {job.status or job.state}{f' ({detail})' if detail else ''}"
            + (f": {reason}" if reason else "")
            + (f" [last lines: {last}]" if last and job.state == "failed" else "")
            + f"; its log: {self.folder / LOG_FILE}."
        )
