"""Messages about credentials that AWS refuses, even if its response has no body."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from snowcover_launch.aws import bucket, training_jobs
from snowcover_launch.aws.errors import AccessDenied, AwsError, NoCredentials, NotFound, is_capacity_error
from snowcover_launch.aws.session import Account
from tests.sagemaker import SageMaker

REQUESTS = ["head", "download", "list", "describe"]
SIGN_IN = "run `aws sso login` or `aws configure`, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"


def send(account: Account, sagemaker: SageMaker, request: str, folder: Path) -> None:
    if request == "head":
        bucket.refuse_other_region(account, sagemaker.bucket.name)
    elif request == "download":
        bucket.download(account, f"{sagemaker.bucket.uri}/snowcover/x", folder / "x")  # HEAD first
    elif request == "list":
        bucket.folders(account, f"{sagemaker.bucket.uri}/snowcover")
    else:
        training_jobs.describe(account, "snowcover-x")


@pytest.fixture(autouse=True)
def few_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


def messages(sagemaker: SageMaker, folder: Path) -> set[str]:
    """The messages about the credentials for all requests, without the request and AWS's error code."""
    found = set()
    account = Account(sagemaker.region, None)
    for request in REQUESTS:
        with pytest.raises(NoCredentials) as caught:
            send(account, sagemaker, request, folder)
        text = re.sub(r" \(\w+\)", "", str(caught.value))
        found.add(re.sub(r"(describe|check|fetch|list) .+?(?=,| have|: run|: set)", "...", text))
    return found


def test_expired_credentials_are_reported(sagemaker: SageMaker, tmp_path: Path) -> None:
    sagemaker.expire_credentials()
    assert messages(sagemaker, tmp_path) == {
        "Your AWS credentials to ... have expired: run `aws sso login`, or set new ones."
    }


def test_an_unknown_key_and_a_wrong_secret_are_reported(
    sagemaker: SageMaker, tmp_path: Path, aws_settings: pytest.MonkeyPatch
) -> None:
    aws_settings.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert messages(sagemaker, tmp_path) == {f"The secret does not belong to the access key used to ...: {SIGN_IN}."}
    aws_settings.setenv("AWS_ACCESS_KEY_ID", "AKIAWRONG")
    assert messages(sagemaker, tmp_path) == {f"AWS does not know the access key used to ...: {SIGN_IN}."}


def test_a_wrong_clock_is_reported_with_its_offset(sagemaker: SageMaker, tmp_path: Path) -> None:
    for minutes, off in ((20, "20 minutes ahead"), (-180, "3 hours behind")):
        sagemaker.faults.user_clock_ahead = timedelta(minutes=minutes)
        assert messages(sagemaker, tmp_path) == {f"AWS refused to ..., because this machine's clock is {off}: set it."}


def test_a_missing_permission_is_reported_as_one(sagemaker: SageMaker, aws_settings: pytest.MonkeyPatch) -> None:
    server = sagemaker.bucket.server
    aws_settings.setenv("AWS_ACCESS_KEY_ID", server.reader_key)
    aws_settings.setenv("AWS_SECRET_ACCESS_KEY", server.reader_secret)
    with pytest.raises(AccessDenied, match=r"^You may not write s3://.*: ask for the launch policy"):
        bucket.put_new(Account(sagemaker.region, None), f"{sagemaker.bucket.uri}/snowcover/x", b"x")


def test_a_missing_bucket_stays_one(sagemaker: SageMaker) -> None:
    with pytest.raises(NotFound, match="There is no bucket nowhere-at-all: check aws.bucket"):
        bucket.refuse_other_region(Account(sagemaker.region, None), "nowhere-at-all")


def test_an_error_that_sts_cannot_explain_is_reported_as_it_is(sagemaker: SageMaker) -> None:
    """A network that only reaches S3."""
    sagemaker.lose_network()
    sagemaker.faults.network_is_lost = False
    sagemaker.expire_credentials()
    with pytest.raises(AwsError, match=r"no reason \(400 Bad Request\): check that .*valid with `aws sts"):
        send(Account(sagemaker.region, None), sagemaker, "head", Path())


@pytest.mark.parametrize(
    ("reason", "is_one"),
    [
        ("CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML"
         " instance type.", True),
        ("InsufficientCapacityError: no machines", True),
        ("AlgorithmError: CapacityError in the script, exit code: 1", False),
        ("InternalServerError: We encountered an internal error.", False),
        ("", False),
        (None, False),
    ],
)  # fmt: skip
def test_a_lack_of_capacity_is_distinguished_from_a_failed_job(reason: str | None, is_one: bool) -> None:
    assert is_capacity_error(reason) is is_one
