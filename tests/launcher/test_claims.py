"""Which of several commands sends a job: names, claims and attempts, on a real S3 server."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snowcover_launch.aws.session import Account
from snowcover_launch.backends.sagemaker import claims
from snowcover_launch.backends.sagemaker.claims import Attempt, Claim
from snowcover_launch.backends.sagemaker.job_names import NameParts, job_name, parse_name
from tests.servers import Bucket, Fault, Proxy

TAKEN_BY_AWS = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")  # CreateTrainingJob's TrainingJobName
DIGEST, OTHER = "1f2e3d4c5b6a", "aaaabbbbcccc"


@pytest.mark.slow
@settings(max_examples=200)
@given(
    words=st.lists(st.from_regex(r"\A[A-Za-z0-9._-]{0,100}\Z"), max_size=3),
    digest=st.from_regex(r"\A[0-9a-f]{12}\Z"),
    attempt=st.integers(1, 99_999),
)
def test_every_name_is_accepted_by_aws_and_contains_digest_and_attempt(
    words: list[str], digest: str, attempt: int
) -> None:
    name = job_name(words, digest, attempt)
    assert TAKEN_BY_AWS.fullmatch(name), name
    assert name.startswith("snowcover-")
    assert parse_name(name) == NameParts(digest, attempt)


def test_other_names_are_not_parsed() -> None:
    assert parse_name("snowcover-unet-000-1f2e3d4c5b6a-a1b2c3") is None
    assert parse_name(f"others-unet-{DIGEST}-1") is None


@pytest.fixture
def account(s3: Bucket) -> Account:
    return Account("us-east-1", None)


@pytest.fixture
def experiment(s3: Bucket) -> str:
    return f"s3://{s3.name}/snowcover/tuolumne"


def test_of_eight_simultaneous_commands_one_gets_the_job_and_all_know_its_config(
    account: Account, experiment: str
) -> None:
    prefix = f"{experiment}/{job_name(['unet'], DIGEST)}"
    account.client("s3")
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: claims.claim(account, prefix, b"config of %d" % n), range(8)))
    (ours,) = [each for each in made if each.is_ours]
    assert {each.config for each in made} == {ours.config}
    assert claims.claim(account, prefix, ours.config) == Claim(True, ours.config)  # a response was lost: retried


def leave(s3: Bucket, name: str, *files: str) -> None:
    for file in files:
        s3.put(f"snowcover/tuolumne/{name}/{file}", b"1")


def test_attempts_are_found_by_listings_and_complete_if_all_their_objects_exist(
    s3: Bucket, account: Account, experiment: str
) -> None:
    first, second, other, third = (
        job_name(["unet"], digest, attempt) for digest, attempt in ((DIGEST, 1), (DIGEST, 2), (OTHER, 1), (DIGEST, 10))
    )
    for name in (first, second, other, third, "snowcover-unet-000-1f2e3d4c5b6a-a1b2c3", "notes"):
        leave(s3, name, "config/config.yaml", "checkpoints/last.ckpt")
    leave(s3, first, "result.json")  # and failed while its archives were uploaded
    leave(s3, second, "result.json", *(f"output/{second}/output/{kind}.tar.gz" for kind in ("model", "output")))
    found = claims.find_attempts(account, experiment, {DIGEST})
    assert found == {
        DIGEST: [Attempt(first, DIGEST, 1, False), Attempt(second, DIGEST, 2, True), Attempt(third, DIGEST, 10, False)]
    }
    assert claims.next_number(found[DIGEST]) == 11
    assert claims.next_number([]) == 1
    assert claims.find_attempts(account, f"{experiment}-2", {DIGEST}) == {}


def test_many_jobs_are_found_with_a_handful_of_requests(
    s3: Bucket, s3_proxy: Callable[..., Proxy], experiment: str
) -> None:
    digests = {f"{number:012x}" for number in range(60)}
    for digest in digests:
        leave(s3, job_name(["unet"], digest), "config/config.yaml", "result.json")
    proxy = s3_proxy()
    found = claims.find_attempts(Account("us-east-1", None), experiment, digests)
    assert len(found) == 60
    assert len(proxy.requests) <= 2


def test_a_write_that_conflicts_with_a_simultaneous_one_is_retried(
    s3: Bucket, s3_proxy: Callable[..., Proxy], experiment: str
) -> None:
    conflict = Fault(409, "<Error><Code>ConditionalRequestConflict</Code><Message>busy</Message></Error>")
    s3_proxy(fail=lambda request: conflict if request.number == 0 else None)
    assert claims.claim(Account("us-east-1", None), f"{experiment}/x", b"ours") == Claim(True, b"ours")
