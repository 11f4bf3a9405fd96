"""jobs.json of a sweep's folder: everything needed to find its jobs again."""

import json
import logging
import os
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from snowcover.errors import UserError
from snowcover.secrets import masked_values
from snowcover_launch.job import Job, Report, State

log = logging.getLogger(__name__)

NAME = "jobs.json"
VERSION: Literal[2] = 2


class NoJobs(UserError):
    """No record of such jobs was found."""


class JobsFile(BaseModel):
    """The jobs of one sweep and the account they run in. Every change of a job's state is saved through this class."""

    model_config = ConfigDict(extra="ignore")

    version: Literal[2] = VERSION
    sweep: str
    region: str | None = None
    profile: str | None = None
    jobs: list[Job]
    folder: Path = Field(exclude=True)
    _saving: Any = PrivateAttr(default_factory=threading.Lock)  # local and remote jobs change in two threads

    def move(self, job: Job, state: State, report: Report | None = None, reason: str | None = None) -> None:
        """Move a job to its next state, and save that."""
        job.move(state, report, reason)
        self.save()

    def save(self) -> None:
        """Write the file atomically; does nothing if all jobs run in the launching process."""
        with self._saving:
            jobs = [_masked(job.model_dump_json()) for job in self.jobs if job.name]
            if jobs:
                header = masked_values(self.model_dump(mode="json", exclude={"jobs"}))
                self._write(json.dumps({**header, "jobs": jobs}, indent=2))

    def _write(self, text: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f".{NAME}.{secrets.token_hex(4)}.part"
        try:
            part.write_text(text)
            os.replace(part, self.folder / NAME)
        finally:
            part.unlink(missing_ok=True)

    def folder_of(self, job: Job) -> Path:
        """The folder on this machine that gets a job's results."""
        return job.folder_below(self.folder)

    def add(self, jobs: Sequence[Job]) -> None:
        """Add the jobs of a batch to those of earlier batches."""
        new = {job.number for job in jobs}
        self.jobs = [job for job in self.jobs if job.number not in new] + list(jobs)
        self.save()


@lru_cache(maxsize=4096)
def _masked(job: str) -> Any:
    """A job as it is saved. Cached: most jobs are unchanged since the last save, and masking is much slower than
    writing."""
    return masked_values(json.loads(job))


def read_jobs(folder: Path) -> JobsFile:
    """Raises: NoJobs: the file does not exist, or is damaged."""
    path = folder / NAME
    try:
        values = json.loads(path.read_text())
        if isinstance(values, dict) and values.get("version") == 1:
            values = _of_version_1(values, folder)
        return JobsFile.model_validate({**values, "folder": folder})
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NoJobs(f"{folder} is not the folder of a sweep: it has no {NAME}.") from error
    except OSError as error:
        raise NoJobs(f"{path} cannot be read ({error.strerror}): make it readable.") from error
    except (ValidationError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise NoJobs(f"{path} is damaged and cannot be read: its jobs are in SageMaker's console.") from error


def all_jobs(root: Path) -> Iterator[JobsFile]:
    """The sweeps below a folder, the oldest first; damaged ones are logged and skipped."""
    for path in sorted(root.rglob(NAME), key=lambda path: path.stat().st_mtime):
        try:
            yield read_jobs(path.parent)
        except NoJobs as error:
            log.warning("  %s", error)


def complete_jobs(sweep: Path) -> dict[str, Job]:
    """Jobs by name that are complete and whose runs were imported, of this sweep and its neighbours."""
    found: dict[str, Job] = {}
    for path in sweep.parent.glob(f"*/{NAME}"):
        with suppress(NoJobs):
            jobs = [job for job in read_jobs(path.parent).jobs if job.state is State.COMPLETED]
            found |= {job.name: job for job in jobs if job.run_id and job.objective is not None}
    return found


STATES_OF_1 = {
    "Completed": State.COMPLETED, "Failed": State.FAILED, "Stopped": State.STOPPED, "NotStarted": State.NOT_STARTED,
}  # fmt: skip
STAGES_OF_1 = {"planned": State.PLANNED, "starting": State.SUBMITTING, "running": State.RUNNING}


def _of_version_1(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Converts version 1, before jobs had backends: all ran on SageMaker, folders were absolute."""
    jobs = []
    for old in values["jobs"]:
        ended = STATES_OF_1.get(old.get("status", ""), State.FAILED)
        jobs.append(
            old
            | {
                "backend": "sagemaker",
                "state": STAGES_OF_1.get(old.get("stage", "planned"), ended),
                "folder": _below(old["folder"], folder),
                "machine": old["instance_type"],
                "checkpoints": f"{old['prefix']}/checkpoints",
                "id": old.get("arn") or "",
            }
        )
    return values | {"version": VERSION, "jobs": jobs}


def _below(job: str, sweep: Path) -> str:
    """A job's folder relative to the sweep's, even if that was moved since."""
    parts = Path(job).parts
    index = max((i for i, part in enumerate(parts[:-1]) if part == sweep.resolve().name), default=len(parts) - 2)
    return str(Path(*parts[index + 1 :]))
