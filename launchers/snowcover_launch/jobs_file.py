"""jobs.json of a sweep's folder: all that is needed to find its jobs again."""

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from snowcover.errors import UserError

NAME = "jobs.json"


class NoJobs(UserError):
    """There is no record of such jobs here."""


class JobRecord(BaseModel):
    """One job on a rented machine."""

    model_config = ConfigDict(extra="ignore")

    number: int
    name: str
    """in SageMaker"""
    title: str
    """what the sweep sets for it"""
    experiment: str
    folder: str
    """what this machine keeps of it"""
    prefix: str
    """s3:// folder of the job"""
    instance_type: str
    machines: int
    spot: bool
    usd_per_hour: float | None
    """of one machine, as the price table had it"""
    tracking_uri: str
    """the user's MLflow store"""
    own_store: bool
    """the job records in a store of its own, which comes home with its output"""
    tags: dict[str, str]
    """of its MLflow run"""
    stage: Literal["planned", "starting", "running", "ended"] = "planned"
    """starting: asked for, not yet answered: it may run"""
    status: str = ""
    """SageMaker's, when it was last seen"""
    reason: str | None = None
    arn: str | None = None
    objective: float | None = None
    run_id: str | None = None
    """of its run in the user's MLflow store, once it is there"""

    @property
    def machine(self) -> str:
        return self.instance_type

    @property
    def checkpoints(self) -> str:
        return f"{self.prefix}/checkpoints"


class SweepRecord(BaseModel):
    """The jobs of one sweep, and the account that they run in."""

    model_config = ConfigDict(extra="ignore")

    version: Literal[1] = 1
    sweep: str
    region: str
    profile: str | None
    jobs: list[JobRecord]

    def save(self, folder: Path) -> None:
        """Write it whole, in place of the one before."""
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{NAME}.{secrets.token_hex(4)}.part"
        try:
            part.write_text(self.model_dump_json(indent=2))
            os.replace(part, folder / NAME)
        finally:
            part.unlink(missing_ok=True)


def read_record(folder: Path) -> SweepRecord:
    """Raises: NoJobs: it is not there, or damaged."""
    path = folder / NAME
    try:
        return SweepRecord.model_validate_json(path.read_text())
    except FileNotFoundError as error:
        raise NoJobs(f"{folder} is no sweep's folder: it has no {NAME}.") from error
    except (ValidationError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise NoJobs(f"{path} is damaged and cannot be read: its jobs are in SageMaker's console.") from error


def all_records(root: Path) -> Iterator[tuple[Path, SweepRecord]]:
    """The sweeps below a folder, the oldest first."""
    for path in sorted(root.rglob(NAME), key=lambda path: path.stat().st_mtime):
        yield path.parent, read_record(path.parent)
