"""The fake SageMaker refuses what AWS refuses."""

from typing import Any

import pytest
from botocore.config import Config

from tests.aws.api import algorithm, client, refusal, request
from tests.sagemaker import SageMaker


def too_many_words(count: int) -> dict[str, str]:
    return {f"k{number}": "v" for number in range(count)}


BAD_SHAPES = {
    "name with a dash at its end": ({"TrainingJobName": "unet-"}, "at 'trainingJobName' failed to satisfy constraint"),
    "name with an underscore": ({"TrainingJobName": "u_net"}, "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"),
    "name of 64 characters": ({"TrainingJobName": "u" * 64}, "length less than or equal to 63"),
    "101 hyperparameters": ({"HyperParameters": too_many_words(101)}, "length less than or equal to 100"),
    "101 variables": ({"Environment": too_many_words(101)}, "at 'environment' failed"),
    "a variable of 513 characters": ({"Environment": {"A": "x" * 513}}, "Map value must satisfy constraint"),
    "a variable with a dash": ({"Environment": {"A-B": "x"}}, "Map key must satisfy constraint"),
    "51 tags": ({"Tags": [{"Key": f"k{n}", "Value": ""} for n in range(51)]}, "at 'tags' failed"),
    "a tag with a bracket": ({"Tags": [{"Key": "sweep", "Value": "[a]"}]}, "at 'tags.1.member.value' failed"),
    "an unknown machine": ({"ResourceConfig": {"InstanceType": "ml.x9.large", "InstanceCount": 1}}, "enum value set"),
    "no run time at all": ({"StoppingCondition": {"MaxRuntimeInSeconds": 0}}, "greater than or equal to 1"),
    "a role that is none": ({"RoleArn": "arn:aws:iam::123456789012:user/me"}, "at 'roleArn' failed"),
    "31 retries": ({"RetryStrategy": {"MaximumRetryAttempts": 31}}, "value less than or equal to 30"),
    "pending for a minute": (
        {"StoppingCondition": {"MaxPendingTimeInSeconds": 60}},
        "value greater than or equal to 1800",
    ),
    "an output that is no uri": ({"OutputDataConfig": {"S3OutputPath": "out"}}, "at 'outputDataConfig.s3OutputPath'"),
}


@pytest.mark.parametrize("case", BAD_SHAPES)
def test_what_the_model_forbids_is_refused(sagemaker: SageMaker, case: str) -> None:
    changes, message = BAD_SHAPES[case]
    unchecked = client(config=Config(parameter_validation=False))
    refused = refusal(unchecked.create_training_job, **request(sagemaker, **changes))
    assert refused.startswith("ValidationException: ")
    assert message in refused
    assert sagemaker.requests == []


def image(uri: str) -> dict[str, Any]:
    return {"AlgorithmSpecification": {"TrainingInputMode": "File", "TrainingImage": uri}}


def machine(**changes: Any) -> dict[str, Any]:
    return {"ResourceConfig": {"InstanceType": "ml.p2.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 50} | changes}


SPOT = {"EnableManagedSpotTraining": True}
ECR = "123456789012.dkr.ecr.us-west-2.amazonaws.com"
METRIC = {"Name": "loss", "Regex": "loss=([0-9.]+)"}
FILE_MODE = {"TrainingInputMode": "File"}
BAD_SENSE = {
    "an unknown role": ({"RoleArn": "arn:aws:iam::123456789012:role/nobody"}, "Could not assume role"),
    "another account's role": ({"RoleArn": "arn:aws:iam::999999999999:role/job"}, "Cross-account pass role"),
    "neither image nor algorithm": ({"AlgorithmSpecification": FILE_MODE}, "exactly one of TrainingImage"),
    "an image of Docker Hub": (image("python:3.11"), "Invalid image URI"),
    "an image of another region": (image(f"{ECR}/snowcover:x".replace("west-2", "east-1")), "same region"),
    "a repository that is not there": (image(f"{ECR}/nothing:x"), "Cannot find repository: nothing"),
    "a tag that is not there": (image(f"{ECR}/snowcover:x"), "Requested image"),
    "no disk": (machine(VolumeSizeInGB=0), "VolumeSizeInGB must be at least 1"),
    "a key for NVMe disks": (
        machine(InstanceType="ml.g5.xlarge", VolumeKmsKeyId="alias/snow"),
        "KMS key is not supported for NVMe instance storage",
    ),
    "a warm pool of two hours": (machine(KeepAlivePeriodInSeconds=7200), "must be between 0 and 3600"),
    "a warm pool of spot machines": (
        SPOT | machine(KeepAlivePeriodInSeconds=600)
        | {"StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60}},
        "KeepAlivePeriodInSeconds is not supported when EnableManagedSpotTraining",
    ),
    "no machine": (machine(InstanceCount=0), "InstanceCount of at least 1"),
    "a wait without spot": (
        {"StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60}},
        "It is only supported when EnableManagedSpotTraining is set to true",
    ),
    "spot that waits less than it runs": (
        SPOT | {"StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 59}},
        "greater than or equal to MaxRuntimeInSeconds",
    ),
    "spot without a wait": (SPOT, "It must be present"),
    "six days": ({"StoppingCondition": {"MaxRuntimeInSeconds": 6 * 86400}}, "ResourceLimitExceeded"),
    "a tag twice": ({"Tags": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]}, "Duplicate tag keys"),
    "AWS's own tag": ({"Tags": [{"Key": "aws:x", "Value": "1"}]}, "reserved for AWS use"),
    "a metric twice": (
        {"AlgorithmSpecification": image(f"{ECR}/snowcover:0.1.0-current")["AlgorithmSpecification"]
         | {"MetricDefinitions": [METRIC, METRIC]}},
        "unique names",
    ),
    "checkpoints over https": ({"CheckpointConfig": {"S3Uri": "https://bucket/x"}}, "Invalid S3 URI https://bucket/x"),
    "checkpoints in the output": (
        {"CheckpointConfig": {"S3Uri": "s3://bucket/x", "LocalPath": "/opt/ml/output/x"}},
        "Invalid LocalPath",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_SENSE)
def test_what_aws_refuses_is_refused(sagemaker: SageMaker, case: str) -> None:
    changes, message = BAD_SENSE[case]
    assert message in refusal(client().create_training_job, **request(sagemaker, **changes))
    assert sagemaker.requests == []


def test_an_input_channel_must_have_objects_in_the_region(sagemaker: SageMaker) -> None:
    elsewhere = sagemaker.add_bucket("eu-west-1")
    sagemaker.bucket.server.client.put_object(Bucket=elsewhere, Key="config/config.yaml", Body=b"")
    for uri in (f"{sagemaker.bucket.uri}/nothing-here", "s3://no-such-bucket/x", f"s3://{elsewhere}/config"):
        source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}
        channels = [{"ChannelName": "config", "DataSource": source}]
        refused = refusal(client().create_training_job, **request(sagemaker, InputDataConfig=channels))
        assert refused.startswith(f'ValidationException: No S3 objects found under S3 URL "{uri}"')


def test_s3_returns_the_region_of_a_bucket(sagemaker: SageMaker) -> None:
    elsewhere = sagemaker.add_bucket("eu-west-1")
    s3 = client("s3", attempts=5)
    for bucket, region in ((sagemaker.bucket.name, "us-west-2"), (elsewhere, "eu-west-1")):
        headers = s3.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPHeaders"]
        assert headers["x-amz-bucket-region"] == region
        assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] == region
    s3.put_object(Bucket=sagemaker.bucket.name, Key="here", Body=b"1")
    assert s3.get_object(Bucket=sagemaker.bucket.name, Key="here")["Body"].read() == b"1"


def test_quotas_count_running_jobs_by_type_and_kind(sagemaker: SageMaker) -> None:
    sagemaker.quota("ml.p2.xlarge", 1)
    sagemaker.quota("ml.p2.xlarge", 0, spot=True)
    api = client()
    api.create_training_job(**request(sagemaker, "a"))
    refused = refusal(api.create_training_job, **request(sagemaker, "b"))
    limit = "The account-level service limit 'ml.p2.xlarge for training job usage' is 1 Instances, with current"
    assert refused.startswith(f"ResourceLimitExceeded: {limit} utilization of 1 Instances and a request delta of 1")
    spot = SPOT | {"StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60}}
    assert "'ml.p2.xlarge for spot training job usage' is 0" in refusal(
        api.create_training_job, **request(sagemaker, "c", **spot)
    )
    sagemaker.finish("a")
    api.create_training_job(**request(sagemaker, "b"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (machine(InstanceType="ml.g5.xlarge"), "ml.g5.xlarge is not supported by the algorithm"),
        (machine(InstanceCount=2), "does not support distributed training"),
        ({"InputDataConfig": None}, "requires the channels ['config']"),
        ({"HyperParameters": {"lr": "1"}}, "has no hyperparameters ['lr']"),
    ],
)
def test_an_algorithm_only_accepts_what_it_supports(
    sagemaker: SageMaker, changes: dict[str, Any], message: str
) -> None:
    api = client()
    api.create_algorithm(**algorithm(sagemaker))
    for _ in range(2):
        api.describe_algorithm(AlgorithmName="snowcover-0-1-0")
    by_name = {"AlgorithmSpecification": {"AlgorithmName": "snowcover-0-1-0", "TrainingInputMode": "File"}}
    assert message in refusal(api.create_training_job, **request(sagemaker, **by_name, **changes))


def test_a_disk_may_have_a_key_where_it_is_not_the_machines_own(sagemaker: SageMaker) -> None:
    client().create_training_job(**request(sagemaker, **machine(VolumeKmsKeyId="alias/snow")))


def test_a_warm_pool_has_a_quota_of_its_own(sagemaker: SageMaker) -> None:
    sagemaker.quota("ml.p2.xlarge", 1, warm=True)
    warm = machine(KeepAlivePeriodInSeconds=600)
    client().create_training_job(**request(sagemaker, "job-1", **warm))
    refused = refusal(client().create_training_job, **request(sagemaker, "job-2", **warm))
    assert refused.startswith("ResourceLimitExceeded: ")
    assert "'ml.p2.xlarge for training warm pool usage' is 1 Instances" in refused
    client().create_training_job(**request(sagemaker, "job-2"))
