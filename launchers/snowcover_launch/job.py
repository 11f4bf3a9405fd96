"""One job from plan to end: the only type that represents a job, and the only place that knows its states."""

import math
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from pydantic import BaseModel, ConfigDict, Field

from snowcover_launch.config import JobConfig


class State(StrEnum):
    """The state of a job."""

    PLANNED = "planned"
    SUBMITTING = "submitting"
    """its backend was asked to start it and has not answered yet: it may already run, and cost money"""
    RUNNING = "running"
    """started: waits for its machine, trains, or saves"""
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    NOT_STARTED = "not started"
    """refused, or never submitted"""

    @property
    def has_ended(self) -> bool:
        return not NEXT[self]


ENDS = frozenset({State.COMPLETED, State.FAILED, State.STOPPED, State.NOT_STARTED})
NEXT: dict[State, frozenset[State]] = {
    # Straight to running or an end: an identical job of an earlier command was found.
    State.PLANNED: frozenset({State.SUBMITTING, State.RUNNING}) | ENDS,
    # Back to planned: the backend had no machine or did not answer. Names are unique, so a retry starts no second job.
    State.SUBMITTING: frozenset({State.PLANNED, State.RUNNING}) | ENDS,
    # Back to planned: it ended because no machine was available, and is retried.
    State.RUNNING: frozenset({State.PLANNED}) | ENDS,
    **{end: frozenset() for end in ENDS},
}


class Report(BaseModel):
    """The status of a job, as its backend reports it."""

    model_config = ConfigDict(frozen=True)

    state: State
    status: str = ""
    """in the backend's own words"""
    detail: str = ""
    """the backend's more detailed status: what the job does now, or how it ended"""
    reason: str | None = None
    """why it failed, in the backend's words"""
    objective: float | None = None
    """of a job that has completed"""
    test_iou: float | None = None
    """of a job that has completed; shown for comparison, never used to choose by"""
    works: bool = False
    """whether its machine is running our code now, so that output can be expected"""
    no_capacity: bool = False
    """whether it ended because no machine was available: it has not run, and costs nothing"""
    id: str = ""
    """the backend's own name for the job, where it has one (an ARN)"""
    tags: dict[str, str] = Field(default_factory=dict)
    """what the job's run in MLflow is tagged with"""
    metrics: dict[str, float] = Field(default_factory=dict)
    """of its run: billed seconds, cost"""
    facts: dict[str, Any] = Field(default_factory=dict)
    """further rows of `jobs show`"""


class Job(BaseModel):
    """One run that is sent to a backend. Everything but its config is saved in jobs.json."""

    model_config = ConfigDict(extra="ignore", arbitrary_types_allowed=True)

    number: int
    name: str = ""
    """its unique name, for the backend and the user; empty for jobs in the launching process"""
    title: str
    """what the sweep sets for it"""
    backend: str
    experiment: str
    folder: str
    """its files on this machine, relative to the folder of jobs.json"""
    digest: str = ""
    """identifies what the job learns from what: equal for identical jobs; empty if the backend cannot tell"""
    prefix: str = ""
    """where its backend stores its config, checkpoints and results"""
    checkpoints: str = ""
    """where it saves its checkpoints, and resumes from those of an earlier, identical job"""
    machine: str = ""
    """instance type"""
    machines: int = 1
    spot: bool = False
    usd_per_hour: float | None = None
    """of one machine, from the price table"""
    highest_usd: float | None = None
    """the most it can cost; None if no price is known"""
    unpriced: list[str] = Field(default_factory=list, exclude=True)
    """instance types it may run on that have no known price"""
    cost_usd: float | None = None
    """what it has cost, once known"""
    max_silent_minutes: float | None = None
    """it is stopped if it prints nothing for this long"""
    tracking_uri: str
    """the user's MLflow store, without its password"""
    own_store: bool = False
    """the job records in a store of its own, which is imported into the user's when it ends"""
    tags: dict[str, str] = Field(default_factory=dict)
    """of its MLflow run"""
    attempt: int = 0
    """how many earlier attempts ended because no machine was available"""
    adopted: bool = False
    """it was started by another command: this one neither stops it nor pays for it"""
    twin_of: int | None = None
    """number of the identical job of this sweep that runs for both"""
    state: State = State.PLANNED
    status: str = ""
    """the backend's word for its state, when it was last polled"""
    reason: str | None = None
    id: str = ""
    objective: float | None = None
    test_iou: float | None = None
    run_id: str | None = None
    """of its run in the user's MLflow store, once recorded there"""

    overrides: list[str] = Field(default_factory=list)
    """all changes to the defaults, without secrets"""
    config: JobConfig | None = Field(default=None, exclude=True, repr=False)
    alternatives: list[JobConfig] = Field(default_factory=list, exclude=True, repr=False)
    """its config for each machine it may run on, in order; `config` is the current one"""
    digests: list[str] = Field(default_factory=list, exclude=True, repr=False)
    """of each alternative, once its backend can tell"""
    composed: DictConfig | None = Field(default=None, exclude=True, repr=False)
    """with Hydra's own node"""
    composed_of_run: DictConfig | None = Field(default=None, exclude=True, repr=False)
    """without Hydra's node; its interpolations can still be resolved"""
    as_found: Report | None = Field(default=None, exclude=True, repr=False)
    """report on the identical job it adopted, so that it need not be polled again"""

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    @property
    def planned_config(self) -> JobConfig:
        assert self.config is not None, "a job that was read from jobs.json has no config"
        return self.config

    @property
    def may_run(self) -> bool:
        """Whether its backend may know the job."""
        return self.state in (State.SUBMITTING, State.RUNNING) or bool(self.id)

    @property
    def result(self) -> float | None:
        """Its objective if it can be compared with others: not NaN."""
        return self.objective if self.objective is not None and math.isfinite(self.objective) else None

    @property
    def costs(self) -> bool:
        """Whether this command pays for it."""
        return bool(self.machine) and not self.adopted and self.twin_of is None

    def adopt(self, name: str, report: Report, facts: Mapping[str, object]) -> None:
        """Take over an identical job of an earlier command; `facts` are the fields in which it differs."""
        self.name, self.adopted, self.as_found = name, True, report
        for field, value in facts.items():
            setattr(self, field, value)
        self.move(report.state, report)

    def move(self, state: State, report: Report | None = None, reason: str | None = None) -> None:
        """Enter the next state. Called by `adopt`, and by JobsFile, which saves it to disk."""
        assert state in NEXT[self.state], f"{self.state} -> {state}"
        self.state = state
        self.apply(report)
        if reason is not None:
            self.reason = reason

    def apply(self, report: Report | None) -> None:
        """Take over the values of a report."""
        if report is not None:
            self.status, self.reason = report.status, report.reason
            self.id = report.id or self.id
            self.cost_usd = report.metrics.get("job_cost_usd", self.cost_usd)
            self.objective = self.objective if report.objective is None else report.objective
            self.test_iou = self.test_iou if report.test_iou is None else report.test_iou

    def folder_below(self, sweep: Path) -> Path:
        """The job's folder on this machine; `sweep` is the folder of jobs.json."""
        return sweep / self.folder
