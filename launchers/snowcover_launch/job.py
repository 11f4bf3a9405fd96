"""One job from its plan to its end: the only type that stands for it, and the only place that knows its states."""

import math
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from pydantic import BaseModel, ConfigDict, Field

from snowcover_launch.config import JobConfig


class State(StrEnum):
    """Where a job is on its way."""

    PLANNED = "planned"
    SUBMITTING = "submitting"
    """its backend was asked to start it and has not answered yet: it may run, and cost"""
    RUNNING = "running"
    """started: waiting for its machine, training, or saving"""
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    NOT_STARTED = "not started"
    """refused for good, or never asked for"""

    @property
    def has_ended(self) -> bool:
        return not NEXT[self]


ENDS = frozenset({State.COMPLETED, State.FAILED, State.STOPPED, State.NOT_STARTED})
NEXT: dict[State, frozenset[State]] = {
    # Straight to running or an end: an equal job of an earlier command was found.
    State.PLANNED: frozenset({State.SUBMITTING, State.RUNNING}) | ENDS,
    # Back to planned: the backend had no machine, or no answer; its name is its own, so asking again starts no second.
    State.SUBMITTING: frozenset({State.PLANNED, State.RUNNING}) | ENDS,
    # Back to planned: it ended for want of a machine, and is tried again.
    State.RUNNING: frozenset({State.PLANNED}) | ENDS,
    **{end: frozenset() for end in ENDS},
}


class Report(BaseModel):
    """What a backend says of a job at one moment."""

    model_config = ConfigDict(frozen=True)

    state: State
    status: str = ""
    """in the backend's own words"""
    detail: str = ""
    """its finer word for what the job does now, or for how it ended"""
    reason: str | None = None
    """why it failed, in the backend's words"""
    objective: float | None = None
    """of a job that has completed"""
    test_iou: float | None = None
    """of a job that has completed: for the one who compares, and for no sweeper to choose by"""
    works: bool = False
    """whether its machine runs our code now, so that it should print something now and then"""
    no_capacity: bool = False
    """whether it ended because there was no machine for it: it has not run, and costs nothing"""
    id: str = ""
    """the backend's own name for the job, where it has one (an ARN)"""
    tags: dict[str, str] = Field(default_factory=dict)
    """what the job's run in MLflow is tagged with"""
    metrics: dict[str, float] = Field(default_factory=dict)
    """what the job took, as metrics of its run: billed seconds, cost"""
    facts: dict[str, Any] = Field(default_factory=dict)
    """what `jobs show` prints besides"""


class Job(BaseModel):
    """One run that is sent to a backend. All but its config is kept in jobs.json."""

    model_config = ConfigDict(extra="ignore", arbitrary_types_allowed=True)

    number: int
    name: str = ""
    """the backend's and the user's name for it, unique; empty for jobs in the launching process"""
    title: str
    """what the sweep sets for it"""
    backend: str
    experiment: str
    folder: str
    """what this machine keeps of it, as seen from the folder of jobs.json"""
    digest: str = ""
    """equal for jobs that learn the same from the same; empty where the backend cannot tell"""
    prefix: str = ""
    """where its backend keeps its config, checkpoints and results"""
    checkpoints: str = ""
    """where it saves its checkpoints, and goes on from those that an earlier, equal job left there"""
    machine: str = ""
    """type of the machine"""
    machines: int = 1
    spot: bool = False
    usd_per_hour: float | None = None
    """of one machine, as the price table had it"""
    highest_usd: float | None = None
    """the most that it can cost; None where no price is known"""
    unpriced: list[str] = Field(default_factory=list, exclude=True)
    """types of machine that may take it and have no known price"""
    cost_usd: float | None = None
    """what it has cost, once that is known"""
    max_silent_minutes: float | None = None
    """it is stopped when its machine prints nothing for that long"""
    tracking_uri: str
    """the user's MLflow store, without its password"""
    own_store: bool = False
    """the job records in a store of its own, which is imported into the user's when it ends"""
    tags: dict[str, str] = Field(default_factory=dict)
    """of its MLflow run"""
    attempt: int = 0
    """how often it was started for want of a machine, before this time"""
    adopted: bool = False
    """it was started by another command, whose job it stays: this one neither stops it nor pays for it"""
    twin_of: int | None = None
    """number of the job of this sweep that is equal to it, and runs for both"""
    state: State = State.PLANNED
    status: str = ""
    """the backend's word for its state, when it was last seen"""
    reason: str | None = None
    id: str = ""
    objective: float | None = None
    test_iou: float | None = None
    run_id: str | None = None
    """of its run in the user's MLflow store, once it is there"""

    overrides: list[str] = Field(default_factory=list)
    """everything that was changed of the defaults, as it may be kept and shown"""
    config: JobConfig | None = Field(default=None, exclude=True, repr=False)
    alternatives: list[JobConfig] = Field(default_factory=list, exclude=True, repr=False)
    """its config for each machine that may take it, in order; `config` is the one that is tried"""
    digests: list[str] = Field(default_factory=list, exclude=True, repr=False)
    """of each of these, once its backend can tell"""
    composed: DictConfig | None = Field(default=None, exclude=True, repr=False)
    """with Hydra's own node"""
    composed_of_run: DictConfig | None = Field(default=None, exclude=True, repr=False)
    """without it; its keys can still be resolved"""
    as_found: Report | None = Field(default=None, exclude=True, repr=False)
    """what was learned of the equal job that it became: nobody needs ask again"""

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
        """Whether its backend may know it."""
        return self.state in (State.SUBMITTING, State.RUNNING) or bool(self.id)

    @property
    def result(self) -> float | None:
        """Its objective where that can be compared with others': a NaN is none."""
        return self.objective if self.objective is not None and math.isfinite(self.objective) else None

    @property
    def costs(self) -> bool:
        """Whether this command pays for it."""
        return bool(self.machine) and not self.adopted and self.twin_of is None

    def adopt(self, name: str, report: Report, facts: Mapping[str, object]) -> None:
        """Become an equal job of an earlier command; `facts` are the fields that it has otherwise."""
        self.name, self.adopted, self.as_found = name, True, report
        for field, value in facts.items():
            setattr(self, field, value)
        self.move(report.state, report)

    def move(self, state: State, report: Report | None = None, reason: str | None = None) -> None:
        """Enter the next state, with what is known of it. Called by `adopt` and by JobsFile, which keeps it on disk."""
        assert state in NEXT[self.state], f"{self.state} -> {state}"
        self.state = state
        self.learn(report)
        if reason is not None:
            self.reason = reason

    def learn(self, report: Report | None) -> None:
        """Take over what the backend says of it."""
        if report is not None:
            self.status, self.reason = report.status, report.reason
            self.id = report.id or self.id
            self.cost_usd = report.metrics.get("job_cost_usd", self.cost_usd)
            self.objective = self.objective if report.objective is None else report.objective
            self.test_iou = self.test_iou if report.test_iou is None else report.test_iou

    def folder_below(self, sweep: Path) -> Path:
        """Where this machine keeps what belongs to it; `sweep` is the folder of jobs.json."""
        return sweep / self.folder
