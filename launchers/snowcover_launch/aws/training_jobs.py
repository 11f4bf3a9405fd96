"""Training jobs: started exactly once, described, stopped, with SageMaker's SDK."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError
from sagemaker.core.resources import TrainingJob
from sagemaker.core.utils.code_injection.codec import transform
from sagemaker.core.utils.utils import Unassigned

from snowcover_launch.aws.errors import AccessDenied, AwsError, NameInUse, NotFound, aws_errors
from snowcover_launch.aws.session import Account

ENDED = ("Completed", "Failed", "Stopped")

for _noisy in [name for name in logging.root.manager.loggerDict if name.startswith("sagemaker")]:
    logging.getLogger(_noisy).setLevel(logging.WARNING)  # they log each call


@dataclass(frozen=True)
class JobState:
    """A job, from DescribeTrainingJob."""

    name: str
    arn: str
    status: str
    """InProgress, Completed, Failed, Stopping or Stopped"""
    secondary: str
    """Starting, Downloading, Training, Interrupted, Uploading, MaxRuntimeExceeded..."""
    reason: str | None
    """why it failed, in SageMaker's words"""
    started: datetime | None
    ended: datetime | None
    training_s: int | None
    billable_s: int | None
    """of one machine; AWS bills this for each machine"""
    model: str | None
    """s3:// uri of model.tar.gz"""
    spot: bool | None = None
    """as the job was created, whatever the current config says; None if AWS was not asked"""
    instance_type: str | None = None
    instance_count: int | None = None
    checkpoints: str | None = None
    """s3:// folder of its checkpoints"""
    warm_pool_s: int | None = None
    """that each machine has waited for the next job since, also billed; None if it keeps none, or if unknown"""
    already_existed: bool = False
    """`start` found that it existed: from an earlier attempt of ours, or from another command"""

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED


def start(account: Account, request: Mapping[str, Any]) -> JobState:
    """Start a job, or find that one of this name already exists: AWS accepts each name once.

    Its tags show whether it is ours, after a lost response, or of another command that wants the same job.

    Raises:
        AwsError: QuotaExceeded, AccessDenied, NoCredentials, Unreachable (it may or may not have started: retry)...
    """
    name = request["TrainingJobName"]
    arguments = transform(dict(request), "CreateTrainingJobRequest")
    arguments["tags"] = [{"key": tag["Key"], "value": tag["Value"]} for tag in request.get("Tags", [])]
    try:
        with aws_errors(f"start the job {name}"):
            job = _created(name, arguments, account)
    except NameInUse:
        return replace(describe(account, name), already_existed=True)
    except AccessDenied as error:  # AWS does not say which condition of a policy fails
        machine, seconds = request["ResourceConfig"], request["StoppingCondition"].get("MaxRuntimeInSeconds")
        raise AccessDenied(
            f"{error} That template limits jobs to its InstanceTypes and MaxJobSeconds: this one asks for "
            f"{machine.get('InstanceType')} for {seconds} s."
        ) from error
    return job if isinstance(job, JobState) else _state(job)


def _created(name: str, arguments: Mapping[str, Any], account: Account) -> Any:
    try:
        return TrainingJob.create(**arguments, session=account.session, region=account.region)
    except ClientError as error:
        if error.operation_name != "DescribeTrainingJob":
            raise
        # The SDK describes the job it has created. If that fails, the job runs nevertheless.
        return JobState(name, "", "InProgress", "Starting", None, None, None, None, None, None)


def describe(account: Account, name: str) -> JobState:
    """Raises: NotFound: there is no such job; AwsError."""
    try:
        with aws_errors(f"describe the job {name}"):
            return _state(TrainingJob.get(name, session=account.session, region=account.region))
    except AwsError as error:
        if "Requested resource not found" in str(error):
            raise NotFound(f"There is no job {name} in {account.region}: see `jobs list`.") from error
        raise


def has_tag(account: Account, state: JobState, key: str, value: str) -> bool:
    """Whether the job was created with this tag.

    Raises:
        AwsError
    """
    with aws_errors(f"read the tags of the job {state.name}"):
        pages = account.client("sagemaker").get_paginator("list_tags").paginate(ResourceArn=state.arn)
        tags = {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}
    return tags.get(key) == value


def stop(account: Account, name: str) -> None:
    """Ask a job to stop; it saves its state first. Has no effect on a job that has ended."""
    with aws_errors(f"stop the job {name}"):
        client = account.client("sagemaker")
        if describe(account, name).status == "InProgress":
            client.stop_training_job(TrainingJobName=name)


def _state(job: Any) -> JobState:
    def given(value: Any) -> Any:
        return None if isinstance(value, Unassigned) else value

    artifacts, resources = given(job.model_artifacts), given(job.resource_config)
    checkpoints, warm_pool = given(job.checkpoint_config), given(job.warm_pool_status)
    return JobState(
        name=job.training_job_name,
        arn=given(job.training_job_arn) or "",
        status=given(job.training_job_status) or "InProgress",
        secondary=given(job.secondary_status) or "",
        reason=given(job.failure_reason),
        started=given(job.training_start_time),
        ended=given(job.training_end_time),
        training_s=given(job.training_time_in_seconds),
        billable_s=given(job.billable_time_in_seconds),
        model=given(artifacts.s3_model_artifacts) if artifacts is not None else None,
        checkpoints=given(checkpoints.s3_uri) if checkpoints is not None else None,
        spot=bool(given(job.enable_managed_spot_training)),
        instance_type=given(resources.instance_type) if resources is not None else None,
        instance_count=given(resources.instance_count) if resources is not None else None,
        warm_pool_s=given(warm_pool.resource_retained_billable_time_in_seconds) if warm_pool is not None else None,
    )
