"""The launcher and its jobs with exactly the permissions of container/account.yaml."""

from typing import Any

import pytest

from snowcover import storage
from snowcover_launch.aws import bucket, training_jobs
from snowcover_launch.aws.errors import AccessDenied
from snowcover_launch.aws.session import Account
from tests.aws.api import client, refusal, request
from tests.container.account import Stack, deployed, rights
from tests.launcher.launching import Launching, completes
from tests.sagemaker import SageMaker

JOB = "snowcover/exp/snowcover-unet-1f2e3d4c5b6a-1"
TAGS = [{"Key": "project", "Value": "snowcover"}]


@pytest.fixture(scope="module")
def stack() -> Stack:
    return deployed(InstanceTypes="ml.g5.*", MaxJobSeconds="36000")


@pytest.fixture
def limited(stack: Stack, sagemaker: SageMaker, aws_settings: pytest.MonkeyPatch) -> SageMaker:
    sagemaker.limit_rights(*rights(stack, {stack.bucket: sagemaker.bucket.name}), role_arn=stack.outputs["Role"])
    for name, value in sagemaker.environment.items():
        aws_settings.setenv(name, value)
    return sagemaker


def as_job(sagemaker: SageMaker, patch: pytest.MonkeyPatch) -> Any:
    """botocore's client, and this process's storage, with what the role of jobs may do."""
    place, (key, secret) = sagemaker.s3_endpoint_of_jobs, sagemaker.account.job_keys
    for name, value in {"_ENDPOINT_URL_S3": place, "_ACCESS_KEY_ID": key, "_SECRET_ACCESS_KEY": secret}.items():
        patch.setenv(f"AWS{name}", value)
    storage.forget_connections()
    return client("s3")


def test_a_sweep_starts_and_collects_its_jobs(limited: SageMaker, launching: Launching) -> None:
    with launching.ending_jobs(completes()):
        done = launching.train("-m", "hw=g5", "seed=1,2")
    assert done.status == 0, done.out + done.err
    assert len(limited.requests) == 2


def test_only_allowed_instances_for_an_allowed_time_are_started(limited: SageMaker) -> None:
    account = Account(limited.region, None)
    g5 = {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 50}
    training_jobs.start(account, request(limited, "snowcover-1", ResourceConfig=g5, Tags=TAGS))
    for changes in (
        {"ResourceConfig": g5 | {"InstanceType": "ml.p5.48xlarge"}, "Tags": TAGS},
        {"ResourceConfig": g5, "Tags": TAGS, "StoppingCondition": {"MaxRuntimeInSeconds": 36001}},
        {"ResourceConfig": g5},
        {"ResourceConfig": g5, "Tags": TAGS, "RoleArn": "arn:aws:iam::123456789012:role/snowcover-job"},
    ):
        with pytest.raises(AccessDenied) as caught:
            training_jobs.start(account, request(limited, "snowcover-2", **changes))
        wanted = f"{changes['ResourceConfig']['InstanceType']} for "
        assert f"limits jobs to its InstanceTypes and MaxJobSeconds: this one asks for {wanted}" in str(caught.value)
    assert len(limited.requests) == 1


def test_a_launcher_writes_configs_once_and_nothing_else(limited: SageMaker) -> None:
    account, root = Account(limited.region, None), limited.bucket.uri
    bucket.put_new(account, f"{root}/{JOB}/config/config.yaml", b"mine")
    for key in (f"{JOB}/result.json", f"{JOB}/checkpoints/last.ckpt", f"other/{JOB}/config/config.yaml"):
        with pytest.raises(AccessDenied, match=r"^You may not write s3://"):
            bucket.put_new(account, f"{root}/{key}", b"mine")
    put = client("s3").put_object
    message = refusal(put, Bucket=limited.bucket.name, Key=f"{JOB}/config/config.yaml", Body=b"another")
    assert message.startswith("AccessDenied: User: ")
    assert bucket.read(account, f"{root}/{JOB}/config/config.yaml") == b"mine"


def test_a_job_writes_no_config_and_a_result_once(limited: SageMaker, aws_settings: pytest.MonkeyPatch) -> None:
    limited.bucket.put(f"{JOB}/config/config.yaml", b"as it was launched")
    api, root = as_job(limited, aws_settings), limited.bucket.uri
    assert storage.read(f"{root}/{JOB}/config/config.yaml") == b"as it was launched"
    for condition in ({}, {"IfNoneMatch": "*"}):
        for name in ("config.yaml", "second.yaml"):
            key = f"{JOB}/config/{name}"
            message = refusal(api.put_object, Bucket=limited.bucket.name, Key=key, Body=b"forged", **condition)
            assert message.startswith("AccessDenied: ")
    storage.create(f"{root}/{JOB}/result.json", b"result")
    with pytest.raises(storage.FileExists):
        storage.create(f"{root}/{JOB}/result.json", b"forged")
    with pytest.raises(storage.AccessDenied):
        storage.write(f"{root}/{JOB}/result.json", b"forged")
    assert refusal(api.delete_object, Bucket=limited.bucket.name, Key=f"{JOB}/result.json").startswith("AccessDenied")
    assert limited.bucket.get(f"{JOB}/result.json") == b"result"


def test_a_role_of_another_account_is_refused_once_and_not_for_each_job(
    limited: SageMaker, launching: Launching
) -> None:
    message = launching.error_message("-m", "hw=g5", "seed=1,2", "aws.role_arn=arn:aws:iam::999999999999:role/job")
    assert "is of the account 999999999999 and your credentials are of 123456789012" in message
    assert not limited.calls["CreateTrainingJob"]
    assert not limited.bucket.keys()
