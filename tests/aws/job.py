"""One training job as in SageMaker: its status transitions and what Describe returns."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

ENDED = ("Completed", "Failed", "Stopped")
MESSAGES = {
    "Starting": "Starting the training job",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Interrupted": "Training job interrupted",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job wait time exceeded MaxWaitTimeInSeconds provided",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
}
NO_CAPACITY = (
    "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML instance type."
)
SPOT_SHARE = 0.3  # billed share of a spot job's training time: AWS's "up to 90 %" saving is 60 to 70 in practice
ECHOED = (  # members of the request that Describe repeats
    "HyperParameters",
    "AlgorithmSpecification",
    "RoleArn",
    "InputDataConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "VpcConfig",
    "StoppingCondition",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
    "CheckpointConfig",
    "Environment",
    "RetryStrategy",
)


def now() -> datetime:
    """Rounded to milliseconds, like AWS's times."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@dataclass
class Job:
    """One training job; `request` is that of CreateTrainingJob, with the current tags."""

    request: dict[str, Any]
    arn: str
    region: str
    status: str = "InProgress"
    created: datetime = field(default_factory=now)
    modified: datetime = field(default_factory=now)
    transitions: list[dict[str, Any]] = field(default_factory=list)
    started: datetime | None = None
    ended: datetime | None = None
    failure_reason: str | None = None
    training_s: float = 0.0
    """Time in Downloading, Training and Uploading, over all attempts."""
    billable_s: int | None = None
    """of one machine, as in AWS: to be multiplied by the number of machines"""
    metrics: list[dict[str, Any]] = field(default_factory=list)
    attempts: int = 1
    reused_by: str | None = None
    """The job that took over its warm pool."""
    artifacts: str = ""
    """Address of its model; also of a failed job, which uploads what it has."""
    stop: threading.Event = field(default_factory=threading.Event)
    on_described: Callable[[], None] = lambda: None
    """Called whenever the job's status was described: without a machine, this advances time."""
    lock: Any = field(default_factory=threading.RLock)

    @property
    def name(self) -> str:
        """TrainingJobName."""
        return str(self.request["TrainingJobName"])

    @property
    def secondary(self) -> str:
        """SecondaryStatus."""
        return str(self.transitions[-1]["Status"])

    @property
    def is_spot(self) -> bool:
        """Whether it runs on spot instances."""
        return bool(self.request.get("EnableManagedSpotTraining"))

    @property
    def instances(self) -> int:
        """How many machines it takes."""
        return int(self.request["ResourceConfig"]["InstanceCount"])

    def fail_without_capacity(self) -> None:
        """Ends when it is described next: on demand as failed, on spot when its waiting time is over."""
        if self.is_spot:
            self.step("Starting", "Insufficient capacity error from EC2 while launching instances, retrying!")
            self.on_described = lambda: self.end("Stopped", "MaxWaitTimeExceeded")
        else:
            self.on_described = lambda: self.end("Failed", failure_reason=NO_CAPACITY)

    @property
    def may_retry(self) -> bool:
        """Whether RetryStrategy has an attempt left for a failure of AWS itself."""
        return self.attempts <= self.request.get("RetryStrategy", {}).get("MaximumRetryAttempts", 0)

    def retry(self) -> None:
        """Restarts after a failure of AWS itself."""
        self.attempts += 1
        self.step("Starting")

    def warm_pool(self) -> dict[str, Any] | None:
        """WarmPoolStatus; None for a job without a warm pool."""
        keep_s = self.request["ResourceConfig"].get("KeepAlivePeriodInSeconds", 0)
        if not keep_s or (self.status in ENDED and self.started is None):
            return None
        if self.ended is None:
            return {"Status": "InUse"}
        idle_s = min(keep_s, round((now() - self.ended).total_seconds()))
        answer: dict[str, Any] = {"ResourceRetainedBillableTimeInSeconds": idle_s}
        if self.reused_by is not None:
            return {"Status": "Reused", "ReusedByJob": self.reused_by}
        return {"Status": "Terminated" if idle_s >= keep_s else "Available", **answer}

    def step(self, secondary: str, message: str | None = None) -> None:
        """Enters a secondary status, or updates its message; no effect once the job has ended."""
        with self.lock:
            if self.status in ENDED:
                return
            self.modified = moment = now()
            message = MESSAGES[secondary] if message is None else message
            if self.transitions and self.secondary == secondary:
                self.transitions[-1]["StatusMessage"] = message
                return
            if self.transitions:
                self.transitions[-1]["EndTime"] = moment
            self.transitions.append({"Status": secondary, "StartTime": moment, "StatusMessage": message})
            if secondary in ("Downloading", "Training") and self.started is None:
                self.started = moment
            if secondary == "Stopping":
                self.status = "Stopping"

    def end(self, status: str, secondary: str | None = None, failure_reason: str | None = None) -> None:
        """Ends it as Completed, Failed or Stopped."""
        with self.lock:
            self.step(secondary or status, failure_reason)
            self.failure_reason = failure_reason[:1024] if failure_reason else None
            self.ended = self.transitions[-1]["EndTime"] = self.modified
            if self.started is not None:
                self.training_s = self.training_s or (self.ended - self.started).total_seconds()
                share = SPOT_SHARE if self.is_spot else 1
                self.billable_s = self.billable_s or max(1, round(self.training_s * share))
            self.status = status  # last: readers of the status may then read the rest

    def describe(self) -> dict[str, Any]:
        """The response to DescribeTrainingJob."""
        answer = {name: self.request[name] for name in ECHOED if name in self.request}
        answer |= {
            "TrainingJobName": self.name,
            "TrainingJobArn": self.arn,
            "TrainingJobStatus": self.status,
            "SecondaryStatus": self.secondary,
            "SecondaryStatusTransitions": [dict(transition) for transition in self.transitions],
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
            "FinalMetricDataList": self.metrics,
        }
        times = {"TrainingStartTime": self.started, "TrainingEndTime": self.ended, "FailureReason": self.failure_reason}
        answer |= {name: value for name, value in times.items() if value is not None}
        if (pool := self.warm_pool()) is not None:
            answer["WarmPoolStatus"] = pool
        if self.artifacts:
            answer["ModelArtifacts"] = {"S3ModelArtifacts": self.artifacts}
        if self.status in ENDED and self.started is not None:
            seconds = max(1, round(self.training_s))
            answer |= {"TrainingTimeInSeconds": seconds, "BillableTimeInSeconds": self.billable_s}
        return answer

    def summary(self) -> dict[str, Any]:
        """Its entry in the response to ListTrainingJobs."""
        answer = self.describe()
        names = ("TrainingJobName", "TrainingJobArn", "CreationTime", "TrainingEndTime", "LastModifiedTime")
        return {name: answer[name] for name in (*names, "TrainingJobStatus", "SecondaryStatus") if name in answer}
