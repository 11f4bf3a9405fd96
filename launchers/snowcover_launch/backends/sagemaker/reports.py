"""Reports on a training job: its state and result, where it ran and what it cost."""

from snowcover_launch.aws.errors import is_capacity_error
from snowcover_launch.aws.session import Account
from snowcover_launch.aws.training_jobs import JobState
from snowcover_launch.backends.sagemaker import request, results
from snowcover_launch.cost import Cost, Prices
from snowcover_launch.job import Job, Report, State
from snowcover_launch.results import test_iou

STATES = {
    "InProgress": State.RUNNING, "Stopping": State.RUNNING, "Completed": State.COMPLETED, "Failed": State.FAILED,
    "Stopped": State.STOPPED,
}  # fmt: skip


def report(account: Account, job: Job, state: JobState, prefix: str, prices: Prices) -> Report:
    """The report from DescribeTrainingJob, with the result of a completed job.

    Args:
        prefix: s3:// folder of its objects.

    Raises:
        AwsError
    """
    ended, reason, result = STATES[state.status], state.reason, None
    if ended is State.COMPLETED:
        result = results.read_result(account, request.result_uri(prefix))
    if ended is State.COMPLETED and result is None:
        ended, reason = State.FAILED, f"it left no readable result in {request.result_uri(prefix)}"
    tags = _tags(job, state, account.region)
    return Report(
        state=ended, status=state.status, detail=state.secondary, reason=reason,
        objective=result and float(result["objective"]), test_iou=test_iou(result), id=state.arn,
        works=state.secondary == "Training", no_capacity=is_capacity_error(state.reason), tags=tags,
        metrics=metrics_of(job, state, _usd_per_hour(job, state, account.region, prices)),
        facts={"started": state.started, "ended": state.ended, "console": tags["job.console"]},
    )  # fmt: skip


def facts_of_earlier(job: Job, state: JobState, prefix: str, region: str, prices: Prices) -> dict[str, object]:
    """Fields of `Job` for an earlier job, as it was started, which may differ from the current config."""
    return {
        "prefix": prefix,
        "checkpoints": state.checkpoints or f"{prefix}/checkpoints",
        "machine": state.instance_type or "",
        "machines": state.instance_count or 1,
        "spot": bool(state.spot),
        "usd_per_hour": _usd_per_hour(job, state, region, prices),
    }


def _usd_per_hour(job: Job, state: JobState, region: str, prices: Prices) -> float | None:
    """Of one machine of the job, which may differ from its config."""
    if state.instance_type in (None, job.machine):
        return job.usd_per_hour
    return prices.of(region, state.instance_type)


def _tags(job: Job, state: JobState, region: str) -> dict[str, str]:
    """Where a run ran: according to AWS where known, else to the job."""
    return {
        "job": state.name,
        "job.arn": state.arn,
        "job.console": console_link(state.name, region),
        "job.instance_type": state.instance_type or job.machine,
        "job.instance_count": str(state.instance_count or job.machines),
        "job.spot": str(_spot(job, state)).lower(),
    }


def metrics_of(job: Job, state: JobState, usd_per_hour: float | None) -> dict[str, float]:
    """Billed seconds and cost."""
    if state.billable_s is None:
        return {}
    machines, waited_s = state.instance_count or job.machines, state.warm_pool_s or 0
    metrics = {"job_billable_seconds": float(state.billable_s * machines)}
    if waited_s:
        metrics["job_warm_pool_seconds"] = float(waited_s * machines)
    cost = Cost(usd_per_hour, machines, 0).of_seconds(state.billable_s + waited_s)
    if cost is not None:
        metrics["job_cost_usd"] = cost
    if _spot(job, state) and state.training_s:
        metrics["job_spot_saving"] = 1 - state.billable_s / state.training_s  # DescribeTrainingJob's own formula
    return metrics


def _spot(job: Job, state: JobState) -> bool:
    return job.spot if state.spot is None else state.spot


def console_link(name: str, region: str) -> str:
    """Address of a training job's page in the AWS console."""
    return f"https://{region}.console.aws.amazon.com/sagemaker/home?region={region}#/jobs/{name}"
