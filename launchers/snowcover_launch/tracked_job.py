"""One job while it is followed: what is known of it, what it printed, what came of it."""

import json
import logging
import re
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from snowcover.errors import UserError
from snowcover_launch.aws import bucket
from snowcover_launch.aws.errors import AwsError, NoCredentials, Unreachable
from snowcover_launch.aws.logs import JobLog
from snowcover_launch.aws.session import Account
from snowcover_launch.aws.training_jobs import JobState
from snowcover_launch.jobs_file import JobRecord

log = logging.getLogger(__name__)

SOONEST_S, LATEST_S, SLOWER = 1.0, 20.0, 1.5
LOG_FILE = "job.log"
EPOCH = re.compile(r"epoch=(\d+)/(\d+)(?:.* val_iou=([0-9.]+))?")
LAST_LINES = 3


class JobFailed(UserError):
    """A job ended without a result."""


class Followed:
    """One job while it is followed."""

    def __init__(self, account: Account, record: JobRecord, start: Callable[[], JobState] | None = None) -> None:
        """`start` is what starts it; None for one that was started before."""
        self.record = record
        self.start = start
        self.state: JobState | None = None
        self.error: UserError | None = None
        """why it could not be started"""
        self.epoch: str = ""
        self.began = time.monotonic()
        self.ended_at: float | None = None
        self.due = 0.0
        self._pause_s = SOONEST_S
        self._log: JobLog | None = JobLog(account, record.name)
        self.tail: deque[str] = deque(maxlen=LAST_LINES)

    def rest(self, changed: bool, shortest_s: float) -> None:
        """Set the next look: soon after a change, ever later while nothing happens."""
        self._pause_s = SOONEST_S if changed else min(self._pause_s * SLOWER, LATEST_S)
        self.due = time.monotonic() + max(self._pause_s, shortest_s)

    def new_lines(self) -> list[str]:
        """What it printed since the last look; kept in the job's folder.

        Raises: Unreachable, NoCredentials
        """
        lines = self._logged()
        if not lines:
            return []
        folder = Path(self.record.folder)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOG_FILE).open("a") as file:
            file.writelines(f"{line}\n" for line in lines)
        self.tail.extend(line for line in lines if line.strip())
        for line in lines:
            if found := EPOCH.search(line):
                epoch, of, iou = found.groups()
                self.epoch = f"epoch {epoch}/{of}" + (f", val_iou {iou}" if iou else "")
        return lines

    def _logged(self) -> list[str]:
        try:
            return self._log.new_lines() if self._log else []
        except (Unreachable, NoCredentials):
            raise
        except AwsError as error:  # no right to read logs is no reason to lose sight of the job
            log.warning("%s Its scores will come all the same.", error)
            self._log = None
            return []


def result_of(account: Account, record: JobRecord) -> dict[str, Any] | None:
    """The result.json that a job wrote under its prefix."""
    content = bucket.read(account, f"{record.prefix}/result.json")
    if content is None:
        return None
    result: dict[str, Any] = json.loads(content)
    return result


def failure_of(job: Followed) -> JobFailed:
    """Why a job has no result, with the last lines that it printed."""
    if job.error is not None:
        return JobFailed(str(job.error))
    state, record = job.state, job.record
    status = state.status if state else record.status
    secondary = state.secondary if state and state.secondary not in ("", status) else ""
    reason = (state.reason if state else record.reason) or ""
    ways_out = {
        "MaxRuntimeExceeded": "raise hw.max_hours",
        "MaxWaitTimeExceeded": "raise hw.max_wait_hours, or set hw.spot=false",
    }
    said = " ".join(reason.split()) or ways_out.get(secondary, "")
    last = " | ".join(job.tail)
    return JobFailed(
        f"The job {record.name} ended {status}{f' ({secondary})' if secondary else ''}"
        + (f": {said}" if said else "")
        + (f" [last lines: {last}]" if last and status == "Failed" else "")
        + f"; its log: {Path(record.folder) / LOG_FILE}."
    )
