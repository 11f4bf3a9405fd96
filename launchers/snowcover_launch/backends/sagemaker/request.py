"""What is sent for a job: its names, its staged config, the CreateTrainingJob request. Pure."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from snowcover import __version__
from snowcover.config import HwConfig
from snowcover.epoch_line import metric_patterns
from snowcover.identity import job_digest
from snowcover.paths import home_as_tilde
from snowcover_launch.backends.sagemaker import job_names
from snowcover_launch.backends.sagemaker.machines import has_local_disk
from snowcover_launch.config import OWN_TAGS, SWEEP_TAG, JobConfig
from snowcover_launch.images.variants import VARIANTS
from snowcover_launch.job import Job

PROJECT = job_names.PROJECT
PROJECT_TAG = "project"  # required by the account's launch policy; users may set their own value
OWN_STORE = "sqlite:///mlflow.db"  # in the job's working folder; returned with the job's output
INPUT_CHANNEL = "config"
COMMAND = "train"  # one of those that snowcover.staged knows
CHECKPOINTS = "/opt/ml/checkpoints"


def job_name(config: JobConfig, digest: str, attempt: int) -> str:
    """Readable, and the same in every command that wants the same job."""
    network = config.model["_target_"].rsplit(".", 1)[-1]
    words = [word for word in (config.experiment_name, network) if word.lower() != job_names.PROJECT]
    return job_names.job_name(words, digest, attempt)


def config_digest(config: JobConfig, data: str | None = None, code: str | None = None) -> str:
    """Equal for identical jobs, which learn the same from the same data: 12 hexadecimal digits.

    Args:
        data: digest of the files that the job reads.
        code: digest of the image, which identifies the code better than the address of the image.
    """
    aws = config.aws
    aws_keys = {"bucket": aws.bucket, "prefix": aws.prefix, "environment": dict(aws.environment)}
    code = code or aws.algorithm_arn or image_uri(config)
    return job_digest({**_training_keys(config), "aws": aws_keys}, f"{__version__} {code}", data)


def image_uri(config: JobConfig) -> str | None:
    """The image of the variant that the machine needs: a variant's name at the end of the tag is replaced."""
    uri = config.aws.image_uri
    if uri is None:
        return None
    return re.sub(rf"(:[^:/@]*)-({'|'.join(VARIANTS)})$", rf"\1-{config.hw.image}", uri)


def job_prefix(config: JobConfig, name: str) -> str:
    """The s3:// folder of all objects of a job."""
    return f"{experiment_prefix(config)}/{name}"


def result_uri(prefix: str) -> str:
    """Where the job with this prefix writes its result."""
    return f"{prefix}/result.json"


def archive_uri(prefix: str, name: str, kind: str) -> str:
    """Where SageMaker writes a job's model or output archive: again under the job's name."""
    return f"{prefix}/output/{name}/output/{kind}.tar.gz"


def experiment_prefix(config: JobConfig) -> str:
    """S3 prefix of all jobs of the config's experiment, without a trailing slash."""
    return f"s3://{config.aws.bucket}/{config.aws.prefix}/{config.experiment_name}"


def staged_config(job: Job, tags: Mapping[str, str]) -> str:
    """The YAML that the job trains from: resolved, without Hydra's node, account or secrets."""
    values = _training_keys(job.planned_config)
    values["tracking"]["tags"] = {**values["tracking"]["tags"], **tags}
    values["job"] = {
        "version": __version__,
        "command": COMMAND,
        "name": job.name,
        "result": result_uri(job.prefix) if job.prefix else None,
        "overrides": job.overrides,
    }
    return yaml.safe_dump(values, sort_keys=False)


def training_job_request(job: Job, tags: Mapping[str, str]) -> dict[str, Any]:
    """The CreateTrainingJob request, with AWS's names.

    Args:
        tags: of the job in AWS, in addition to the user's own.
    """
    config, prefix = job.planned_config, job.prefix
    aws, hw = config.aws, config.hw
    request: dict[str, Any] = {
        "TrainingJobName": job.name,
        "RoleArn": aws.role_arn,
        "AlgorithmSpecification": _algorithm(config),
        "InputDataConfig": [_input_channel(f"{prefix}/config/")],
        "OutputDataConfig": {"S3OutputPath": f"{prefix}/output"},
        "CheckpointConfig": {"S3Uri": job.checkpoints, "LocalPath": CHECKPOINTS},
        "ResourceConfig": _resources(config),
        "StoppingCondition": _stopping_condition(hw),
        "EnableManagedSpotTraining": hw.spot,
        # Encrypts gradients and weights between several machines; an epoch may take a little longer.
        "EnableInterContainerTrafficEncryption": hw.instance_count > 1,
        "Environment": dict(aws.environment),
        "Tags": [{"Key": key, "Value": value} for key, value in {PROJECT_TAG: PROJECT, **aws.tags, **tags}.items()],
    }
    if aws.kms_key:
        request["OutputDataConfig"]["KmsKeyId"] = aws.kms_key
    if hw.retries:
        request["RetryStrategy"] = {"MaximumRetryAttempts": hw.retries}
    if aws.subnets or aws.security_group_ids:
        request["VpcConfig"] = {"Subnets": aws.subnets, "SecurityGroupIds": aws.security_group_ids}
    return request


def metric_definitions() -> list[dict[str, str]]:
    """How SageMaker parses scores from the job's log."""
    return [{"Name": name, "Regex": pattern} for name, pattern in metric_patterns().items()]


def _training_keys(config: JobConfig) -> dict[str, Any]:
    values = config.model_dump(exclude={"aws", "launch"})
    if values["tracking"]["uri"].startswith("sqlite:"):
        values["tracking"]["uri"] = OWN_STORE
    # The home folder differs between machines, and must not influence jobs and digests.
    values["data"] = _without_home(values["data"])
    return values


def _without_home(value: Any) -> Any:
    """Values below a node, with this user's home replaced by `~`."""
    if isinstance(value, dict):
        return {key: _without_home(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_home(inner) for inner in value]
    return home_as_tilde(value) if isinstance(value, str) else value


def _algorithm(config: JobConfig) -> dict[str, Any]:
    if config.aws.algorithm_arn:  # has its own image and metric definitions
        return {"AlgorithmName": config.aws.algorithm_arn, "TrainingInputMode": "File"}
    return {
        "TrainingImage": image_uri(config),
        "TrainingInputMode": "File",
        "MetricDefinitions": metric_definitions(),
    }


def _resources(config: JobConfig) -> dict[str, Any]:
    hw = config.hw
    resources = {
        "InstanceType": hw.instance_type,
        "InstanceCount": hw.instance_count,
        "VolumeSizeInGB": hw.volume_gb,
    }
    # AWS refuses a key for a local disk, which the hardware encrypts.
    if config.aws.kms_key and not has_local_disk(hw.instance_type):
        resources["VolumeKmsKeyId"] = config.aws.kms_key
    if hw.keep_alive_minutes:
        resources["KeepAlivePeriodInSeconds"] = hw.keep_alive_minutes * 60
    return resources


def _input_channel(uri: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": INPUT_CHANNEL, "DataSource": {"S3DataSource": source}, "InputMode": "File"}


def _stopping_condition(hw: HwConfig) -> dict[str, int]:
    seconds = {"MaxRuntimeInSeconds": round(hw.max_hours * 3600)}
    if hw.spot:
        seconds["MaxWaitTimeInSeconds"] = round((hw.max_wait_hours or 2 * hw.max_hours) * 3600)
    return seconds


def aws_tags(job: Job, sweep: str, commit: str | None) -> dict[str, str]:
    """Tags by which the job can be found in bills and in the console."""
    own = {"experiment": job.experiment} | ({"git-commit": commit} if commit else {})
    return {SWEEP_TAG: sweep} | {f"{OWN_TAGS}{name}": value for name, value in own.items()}
