"""AWS's rules beyond the shape of a request: each function refuses one kind of mistake, in AWS's words."""

import re
from typing import Any
from urllib.parse import urlsplit

from tests.aws.account import Account
from tests.aws.responses import Refusal, invalid, over_limit

LONGEST_WARM_S = 3600  # the service's model says six hours, its user guide one
LONGEST_RUN_S = 5 * 24 * 3600  # the quota of a new account
OWN_DISKS = re.compile(r"ml\.(g4dn|g5|g6|g6e|g7|g7e|p3dn|p4d|p4de|p5|p5e|p5en|p6\S*|trn1|trn1n|trn2|r5d)\.")  # NVMe
IMAGE = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com/([a-z0-9._/-]+?)(?::([\w.-]+)|@(sha256:\w+))?")


def check_training_job(request: dict[str, Any], account: Account, region: str) -> None:
    """Every rule of CreateTrainingJob."""
    account.jobs.check_free(request["TrainingJobName"], region)
    for part in ("AlgorithmSpecification", "ResourceConfig", "StoppingCondition"):
        if part not in request:
            raise invalid(f"{part} is required for a training job that is not serverless.")
    check_tags(request.get("Tags", []))
    _check_role(request["RoleArn"], account)
    _check_resources(request["ResourceConfig"])
    _check_warm_pool(request)
    _check_stopping(request)
    _check_algorithm(request, account, region)
    _check_channels(request, account, region)
    _check_places(request)
    _check_quota(request, account, region)


def check_algorithm(request: dict[str, Any], account: Account, region: str) -> None:
    """Every rule of CreateAlgorithm."""
    check_tags(request.get("Tags", []))
    training = request["TrainingSpecification"]
    check_image(training["TrainingImage"], account, region)
    for channel in training["TrainingChannels"]:
        if channel["SupportedInputModes"] != ["File"]:
            raise invalid(f"Channel {channel['Name']}: algorithms support input mode File only.")
    check_metrics(training.get("MetricDefinitions", []))


def check_tags(tags: list[dict[str, str]]) -> None:
    """Unique keys, none of AWS's own."""
    keys = [tag["Key"] for tag in tags]
    if len(set(keys)) < len(keys):
        raise invalid("Duplicate tag keys found.")
    if any(key.lower().startswith("aws:") for key in keys):
        raise invalid("Tag keys must not begin with aws:, which is reserved for AWS use.")


def check_image(image: str, account: Account, region: str) -> None:
    """The image must be in an ECR repository of this region."""
    found = IMAGE.fullmatch(image)
    if found is None:
        raise invalid(f"Invalid image URI {image}. Please provide a valid Amazon Elastic Container Registry path.")
    registry, image_region, repository, tag, digest = found.groups()
    if image_region != region:
        raise invalid(f"Image {image} must be in the same region as the job ({region}).")
    if not account.has_repository(registry, region, repository):
        raise invalid(
            f"Cannot find repository: {repository} in registry ID: {registry} Please check if your ECR repository"
            " exists and role has proper pull permissions for SageMaker."
        )
    if not account.has_image(registry, region, repository, tag or "latest", digest):
        raise invalid(f"Requested image {image} not found.")


def check_metrics(definitions: list[dict[str, str]]) -> None:
    """Names once, regular expressions that compile."""
    names = [definition["Name"] for definition in definitions]
    if len(set(names)) < len(names):
        raise invalid("Metric definitions must have unique names.")
    for definition in definitions:
        try:
            re.compile(definition["Regex"])
        except re.error as error:
            raise invalid(f"Invalid regex {definition['Regex']} of metric {definition['Name']}: {error}") from error


def _check_role(role: str, account: Account) -> None:
    if role.split(":")[4] != account.id:
        raise Refusal("AccessDeniedException", "Cross-account pass role is not allowed.")
    if not account.has_role(role):
        raise invalid(
            f"Could not assume role {role}. Please ensure that the role exists and allows principal"
            " 'sagemaker.amazonaws.com' to assume the role."
        )


def _check_resources(resources: dict[str, Any]) -> None:
    instance_type = resources.get("InstanceType")
    if instance_type is None or resources.get("InstanceCount", 0) < 1:
        raise invalid("ResourceConfig must have an InstanceType and an InstanceCount of at least 1.")
    if not OWN_DISKS.match(instance_type) and resources.get("VolumeSizeInGB", 0) < 1:
        raise invalid(f"VolumeSizeInGB must be at least 1 for {instance_type}.")
    if OWN_DISKS.match(instance_type) and resources.get("VolumeKmsKeyId"):
        raise invalid(f"KMS key is not supported for NVMe instance storage: {instance_type} takes no VolumeKmsKeyId.")


def _check_warm_pool(request: dict[str, Any]) -> None:
    keep_s = request["ResourceConfig"].get("KeepAlivePeriodInSeconds", 0)
    if keep_s > LONGEST_WARM_S:
        raise invalid(f"KeepAlivePeriodInSeconds must be between 0 and {LONGEST_WARM_S}, and is {keep_s}.")
    if keep_s and request.get("EnableManagedSpotTraining", False):
        raise invalid("KeepAlivePeriodInSeconds is not supported when EnableManagedSpotTraining is set to true.")


def _check_stopping(request: dict[str, Any]) -> None:
    stopping = request["StoppingCondition"]
    longest, wait = stopping.get("MaxRuntimeInSeconds", 24 * 3600), stopping.get("MaxWaitTimeInSeconds")
    if longest > LONGEST_RUN_S:
        raise over_limit("Longest run time for a training job", LONGEST_RUN_S, 0, longest, "Seconds")
    is_spot = request.get("EnableManagedSpotTraining", False)
    if wait is not None and not is_spot:
        raise invalid(
            "Invalid MaxWaitTimeInSeconds. It is only supported when EnableManagedSpotTraining is set to true"
        )
    if is_spot and (wait is None or wait < longest):
        raise invalid(
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds when"
            " EnableManagedSpotTraining is set to true"
        )


def _check_algorithm(request: dict[str, Any], account: Account, region: str) -> None:
    specification = request["AlgorithmSpecification"]
    image, name = specification.get("TrainingImage"), specification.get("AlgorithmName")
    if (image is None) == (name is None):
        raise invalid("You must specify exactly one of TrainingImage and AlgorithmName in AlgorithmSpecification.")
    check_metrics(specification.get("MetricDefinitions", []))
    if image is not None:
        check_image(image, account, region)
        return
    algorithm = account.algorithms.get(name, region, account.id)
    if algorithm.status != "Completed":
        raise invalid(f"Algorithm {algorithm.arn} is in status {algorithm.status}: it must be Completed.")
    _check_against(algorithm.request["TrainingSpecification"], request)


def _check_against(training: dict[str, Any], request: dict[str, Any]) -> None:
    """What the algorithm's own specification allows."""
    resources = request["ResourceConfig"]
    if resources["InstanceType"] not in training["SupportedTrainingInstanceTypes"]:
        raise invalid(f"Instance type {resources['InstanceType']} is not supported by the algorithm.")
    if resources["InstanceCount"] > 1 and not training.get("SupportsDistributedTraining", False):
        raise invalid("The algorithm does not support distributed training.")
    channels = {channel["Name"]: channel for channel in training["TrainingChannels"]}
    given = {channel["ChannelName"] for channel in request.get("InputDataConfig", [])}
    missing = sorted(name for name, channel in channels.items() if channel.get("IsRequired") and name not in given)
    if missing:
        raise invalid(f"The algorithm requires the channels {missing}, which are not in InputDataConfig.")
    if given - set(channels):
        raise invalid(f"The algorithm has no channels {sorted(given - set(channels))}.")
    known = {parameter["Name"] for parameter in training.get("SupportedHyperParameters", [])}
    if set(request.get("HyperParameters", {})) - known:
        raise invalid(f"The algorithm has no hyperparameters {sorted(set(request['HyperParameters']) - known)}.")


def _check_channels(request: dict[str, Any], account: Account, region: str) -> None:
    channels = request.get("InputDataConfig", [])
    names = [channel["ChannelName"] for channel in channels]
    if len(set(names)) < len(names):
        raise invalid("Channel names in InputDataConfig must be unique.")
    for source in (channel["DataSource"].get("S3DataSource") for channel in channels):
        if source is None:
            raise invalid("DataSource must have an S3DataSource: no other is known here.")
        bucket, prefix = split(source["S3Uri"])
        if account.region_of(bucket) != region or not account.keys(bucket, prefix, at_most=1):
            raise invalid(
                f'No S3 objects found under S3 URL "{source["S3Uri"]}" given in input data source. Please ensure that'
                f" the bucket exists in the selected region ({region}), that objects exist under that S3 prefix, and"
                f' that the role "{request["RoleArn"]}" has "s3:ListBucket" permissions on bucket "{bucket}".'
            )


def _check_places(request: dict[str, Any]) -> None:
    if request["OutputDataConfig"].get("CompressionType", "GZIP") != "GZIP":
        raise invalid("OutputDataConfig's CompressionType NONE is not known here.")
    places = {"S3OutputPath": request["OutputDataConfig"]["S3OutputPath"]}
    if "CheckpointConfig" in request:
        places["CheckpointConfig.S3Uri"] = request["CheckpointConfig"]["S3Uri"]
        local = request["CheckpointConfig"].get("LocalPath", "/opt/ml/checkpoints")
        if not local.startswith("/opt/ml/") or local.startswith(("/opt/ml/input", "/opt/ml/output", "/opt/ml/model")):
            raise invalid(f"Invalid LocalPath {local} in CheckpointConfig: it overlaps a reserved path.")
    for name, uri in places.items():
        if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?", uri):
            raise invalid(f"Invalid S3 URI {uri} in {name}.")


def _check_quota(request: dict[str, Any], account: Account, region: str) -> None:
    resources, is_spot = request["ResourceConfig"], request.get("EnableManagedSpotTraining", False)
    instance_type, more = resources["InstanceType"], resources["InstanceCount"]
    allowed = account.quotas.get((instance_type, is_spot))
    used = account.jobs.in_use(instance_type, is_spot, region)
    if allowed is not None and used + more > allowed:
        usage = "spot training job usage" if is_spot else "training job usage"
        raise over_limit(f"{instance_type} for {usage}", allowed, used, more)
    if resources.get("KeepAlivePeriodInSeconds"):
        allowed = account.warm_quotas.get(instance_type)
        used = account.jobs.in_warm_pools(instance_type, region)
        if allowed is not None and used + more > allowed:
            raise over_limit(f"{instance_type} for training warm pool usage", allowed, used, more)


def split(uri: str) -> tuple[str, str]:
    """Bucket and key or prefix of an s3:// URI."""
    parts = urlsplit(uri)
    return parts.netloc, parts.path.lstrip("/")
