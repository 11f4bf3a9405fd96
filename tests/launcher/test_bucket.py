"""Objects that several commands write at once: one succeeds, and the others get its content."""

import pytest

from snowcover_launch.aws import bucket
from snowcover_launch.aws.errors import ObjectExists, Unreachable
from snowcover_launch.aws.session import Account
from tests.sagemaker import SageMaker


@pytest.fixture
def account(sagemaker: SageMaker) -> Account:
    return Account(sagemaker.region, None)


@pytest.fixture
def uri(sagemaker: SageMaker) -> str:
    return f"{sagemaker.bucket.uri}/snowcover/claims/1f2e3d"


def test_of_two_claims_one_succeeds_and_the_other_gets_its_content(account: Account, uri: str) -> None:
    bucket.put_new(account, uri, b"mine")
    bucket.put_new(account, uri, b"mine")  # a response was lost, and it is retried
    with pytest.raises(ObjectExists, match="already exists with other content") as caught:
        bucket.put_new(account, uri, b"theirs")
    assert caught.value.content == b"mine"
    assert bucket.read(account, uri) == b"mine"


def test_a_conflict_with_another_write_is_tried_again(
    account: Account, uri: str, sagemaker: SageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "CONFLICT_PAUSE_S", 0)
    sagemaker.faults.conflict(times=2)
    bucket.put_new(account, uri, b"mine")
    assert bucket.read(account, uri) == b"mine"
    sagemaker.faults.conflict(times=5)
    with pytest.raises(Unreachable, match="Others keep writing s3://"):
        bucket.put_new(account, f"{uri}-2", b"mine")


def test_a_listing_returns_every_object_with_one_request_per_thousand(account: Account, sagemaker: SageMaker) -> None:
    for number in range(3):
        sagemaker.bucket.put(f"snowcover/exp/{number}/result.json", b"x" * number)
    sagemaker.bucket.put("snowcover/exp-2/result.json", b"another experiment")
    before = len(sagemaker.s3_requests)
    found = list(bucket.objects(account, f"{sagemaker.bucket.uri}/snowcover/exp"))
    assert [one.uri for one in found] == [
        f"{sagemaker.bucket.uri}/snowcover/exp/{number}/result.json" for number in range(3)
    ]
    assert [one.size for one in found] == [0, 1, 2]
    assert len({one.etag for one in found}) == 3
    assert len(sagemaker.s3_requests) == before + 1
