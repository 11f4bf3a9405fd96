"""SageMaker Algorithms: the image, its input channel and its metrics under one name."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sagemaker.core.resources import Algorithm
from sagemaker.core.utils.code_injection.codec import transform

from snowcover_launch.aws.errors import AwsError, NotFound, aws_errors
from snowcover_launch.aws.session import Account

POLL_S = 1.0
TIMEOUT_S = 600


@dataclass(frozen=True)
class AlgorithmState:
    """An algorithm, from DescribeAlgorithm."""

    name: str
    arn: str
    status: str
    """Pending, InProgress, Completed, Failed or Deleting"""
    image: str
    instance_types: tuple[str, ...]
    reason: str


def create(account: Account, request: Mapping[str, Any]) -> None:
    """Register an algorithm with SageMaker; `request` is a CreateAlgorithm request, with AWS's names."""
    with aws_errors(f"register the algorithm {request['AlgorithmName']}"):
        arguments = transform(dict(request), "CreateAlgorithmInput")
        Algorithm.create(**arguments, session=account.session, region=account.region)


def describe(account: Account, name: str) -> AlgorithmState:
    """Raises: NotFound: there is no algorithm of that name; AwsError."""
    try:
        with aws_errors(f"describe the algorithm {name}"):
            answer = account.client("sagemaker").describe_algorithm(AlgorithmName=name)
    except AwsError as error:
        if "does not exist" in str(error):
            raise NotFound(f"There is no algorithm {name} in {account.region}.") from error
        raise
    training, problems = answer["TrainingSpecification"], answer["AlgorithmStatusDetails"]
    steps = [*problems.get("ValidationStatuses", []), *problems.get("ImageScanStatuses", [])]
    return AlgorithmState(
        name=answer["AlgorithmName"],
        arn=answer["AlgorithmArn"],
        status=answer["AlgorithmStatus"],
        image=training["TrainingImage"],
        instance_types=tuple(training["SupportedTrainingInstanceTypes"]),
        reason="; ".join(step["FailureReason"] for step in steps if step.get("FailureReason")),
    )


def wait_until_completed(account: Account, name: str) -> AlgorithmState:
    """Wait until an algorithm is ready.

    Raises:
        AwsError: it failed, or is not ready after TIMEOUT_S.
    """
    end = time.monotonic() + TIMEOUT_S
    while True:
        state = describe(account, name)
        if state.status == "Completed":
            return state
        if state.status in ("Failed", "Deleting") or time.monotonic() > end:
            reason = state.reason or "AWS gives no reason"
            raise AwsError(f"The algorithm {name} is {state.status} ({reason}): register it again under another name.")
        time.sleep(POLL_S)
