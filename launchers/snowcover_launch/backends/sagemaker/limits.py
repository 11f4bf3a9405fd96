"""Checks a request against AWS's own model of it before it is sent: patterns, lengths, required members."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from snowcover.errors import UserError

# AWS's patterns are for Java; Python equivalents of those that Python reads differently. Other patterns that Python
# cannot read are not checked.
IN_PYTHON = {r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)": r"[\w\s.:/=+\-@]*"}


class BeyondLimits(UserError):
    """AWS would refuse the request."""


# The config's keys for AWS's names.
KEYS = {
    "TrainingJobName": "experiment_name",
    "RoleArn": "aws.role_arn",
    "AlgorithmSpecification.TrainingImage": "aws.image_uri",
    "AlgorithmSpecification.AlgorithmName": "aws.algorithm_arn",
    "InputDataConfig": "aws.bucket or aws.prefix",
    "OutputDataConfig.KmsKeyId": "aws.kms_key",
    "OutputDataConfig.S3OutputPath": "aws.bucket or aws.prefix",
    "CheckpointConfig.S3Uri": "aws.bucket or aws.prefix",
    "ResourceConfig.InstanceType": "hw.instance_type",
    "ResourceConfig.InstanceCount": "hw.instance_count",
    "ResourceConfig.VolumeSizeInGB": "hw.volume_gb",
    "ResourceConfig.VolumeKmsKeyId": "aws.kms_key",
    "ResourceConfig.KeepAlivePeriodInSeconds": "hw.keep_alive_minutes",
    "RetryStrategy": "hw.retries",
    "StoppingCondition": "hw.max_hours or hw.max_wait_hours",
    "Environment": "aws.environment",
    "Tags": "aws.tags",
    "VpcConfig.Subnets": "aws.subnets",
    "VpcConfig.SecurityGroupIds": "aws.security_group_ids",
}


def check_limits(request: Mapping[str, Any], operation: str = "CreateTrainingJob") -> None:
    """Check a request of SageMaker's `operation` against botocore's model of it.

    Raises:
        BeyondLimits: names each value that AWS would refuse, and the key that sets it.
    """
    from snowcover_launch.aws.session import service_model

    shape = service_model("sagemaker").operation_model(operation).input_shape
    problems = [*_problems(request, shape, ""), *_of_tags(request)]
    if problems:
        raise BeyondLimits(f"AWS would refuse the request: {'; '.join(problems)}.")


def _problems(value: Any, shape: Any, path: str) -> Iterator[str]:
    if shape.type_name == "structure":
        for name in shape.required_members:
            if value.get(name) is None:
                yield f"{_key(path, name)} must be given"
        for name, inner in value.items():
            if name not in shape.members:
                yield f"{path}{name} is not part of the request"
            elif inner is not None:
                yield from _problems(inner, shape.members[name], f"{path}.{name}" if path else name)
        return
    yield from _size(value, shape, path)
    if shape.type_name == "list":
        for inner in value:
            yield from _problems(inner, shape.member, path)
    elif shape.type_name == "map":
        for key, inner in value.items():
            yield from _problems(key, shape.key, path)
            yield from _problems(inner, shape.value, path)
    elif shape.type_name == "string":
        if shape.enum and value not in shape.enum:
            yield f"{_key(path)}={value!r} is not one of the allowed values"
        pattern = shape.metadata.get("pattern")
        python_pattern = IN_PYTHON.get(pattern, pattern if "\\p" not in (pattern or "") else None)
        if python_pattern and not re.fullmatch(python_pattern, value):
            yield f"{_key(path)}={value!r} does not match {pattern}"


def _size(value: Any, shape: Any, path: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    size = value if isinstance(value, (int, float)) else len(value)
    what = "" if isinstance(value, (int, float)) else " characters" if isinstance(value, str) else " entries"
    shown = f"{_key(path)}={str(value)[:60]!r}" if isinstance(value, (str, int, float)) else _key(path)
    if least is not None and size < least:
        yield f"{shown} has {size}{what}, at least {least} are needed" if what else f"{shown} is less than {least}"
    if most is not None and size > most:
        yield f"{shown} has {size}{what}, at most {most} are allowed" if what else f"{shown} is more than {most}"


def _of_tags(request: Mapping[str, Any]) -> Iterator[str]:
    for tag in request.get("Tags", []):
        if tag["Key"].lower().startswith("aws:"):
            yield f"aws.tags: {tag['Key']} begins with aws:, which AWS reserves"


def _key(path: str, name: str = "") -> str:
    """The config's key for a path in the request, if there is one, and the path."""
    full = ".".join(part for part in (path, name) if part)
    named = next((key for place, key in KEYS.items() if full == place or full.startswith(f"{place}.")), None)
    return f"{named} ({full})" if named else full
