"""The fake SageMaker fails as AWS fails: keys, throttling, networks."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError

from tests.aws.api import client, refusal, request
from tests.sagemaker import SageMaker


def test_only_the_right_key_gets_in(sagemaker: SageMaker) -> None:
    wrong_key = {"aws_access_key_id": "AKIAWRONG", "aws_secret_access_key": "x"}
    message = refusal(client(**wrong_key).list_training_jobs)
    assert message == "UnrecognizedClientException: The security token included in the request is invalid."
    assert refusal(client("sts", **wrong_key).get_caller_identity).startswith("InvalidClientTokenId: ")
    wrong_secret = {"aws_access_key_id": sagemaker.bucket.server.key, "aws_secret_access_key": "x"}
    assert refusal(client(**wrong_secret).list_training_jobs).startswith("InvalidSignatureException: The request sign")
    assert refusal(client("sts", **wrong_secret).get_caller_identity).startswith("SignatureDoesNotMatch: ")
    nobody = client(config=Config(signature_version=UNSIGNED))
    assert refusal(nobody.list_training_jobs).startswith("MissingAuthenticationTokenException: ")
    assert client("sts").get_caller_identity()["Account"] == "123456789012"


def test_a_read_only_user_starts_nothing(sagemaker: SageMaker) -> None:
    server = sagemaker.bucket.server
    reader = client(aws_access_key_id=server.reader_key, aws_secret_access_key=server.reader_secret)
    assert reader.list_training_jobs()["TrainingJobSummaries"] == []
    message = refusal(reader.create_training_job, **request(sagemaker))
    assert message.startswith("AccessDeniedException: User: arn:aws:iam::123456789012:user/reader-key is not auth")


def test_credentials_expire_for_some_calls(sagemaker: SageMaker) -> None:
    sagemaker.expire_credentials(calls=2)
    assert refusal(client().list_training_jobs).startswith("ExpiredTokenException: The security token included")
    assert refusal(client("sts").get_caller_identity).startswith("ExpiredToken: ")
    assert client().list_training_jobs()["TrainingJobSummaries"] == []
    sagemaker.expire_credentials()
    assert "ExpiredToken" in refusal(client("s3").list_objects_v2, Bucket=sagemaker.bucket.name)
    sagemaker.renew_credentials()
    client("s3").list_objects_v2(Bucket=sagemaker.bucket.name)


def test_every_third_call_is_throttled(sagemaker: SageMaker) -> None:
    sagemaker.faults.throttle(every=3, action="CreateTrainingJob")
    codes = []
    for number in range(6):
        try:
            client().create_training_job(**request(sagemaker, f"job-{number}"))
            codes.append("")
        except ClientError as error:
            codes.append(error.response["Error"]["Code"])
    assert codes == ["", "", "ThrottlingException", "", "", "ThrottlingException"]
    client(attempts=5).create_training_job(**request(sagemaker, "job-2"))
    assert [each["TrainingJobName"] for each in sagemaker.requests] == ["job-0", "job-1", "job-3", "job-4", "job-2"]


def test_the_network_is_lost_and_comes_back(sagemaker: SageMaker) -> None:
    api, s3 = client(), client("s3")
    sagemaker.lose_network()
    with pytest.raises(EndpointConnectionError):
        api.list_training_jobs()
    with pytest.raises(ConnectionClosedError):
        s3.list_objects_v2(Bucket=sagemaker.bucket.name)
    sagemaker.restore_network()
    api.list_training_jobs()
    sagemaker.lose_network(how="reset")
    with pytest.raises(ConnectionClosedError):
        api.list_training_jobs()
    sagemaker.restore_network()
    api.list_training_jobs()
    s3.list_objects_v2(Bucket=sagemaker.bucket.name)


def test_the_network_comes_back_by_itself(sagemaker: SageMaker) -> None:
    sagemaker.faults.when("ListTrainingJobs", 2, lambda: sagemaker.lose_network(seconds=1))
    api = client()
    api.list_training_jobs()
    with pytest.raises(ConnectionClosedError):
        api.list_training_jobs()
    sagemaker.wait(lambda: not sagemaker.faults.network_is_lost)
    api.list_training_jobs()


def test_an_answer_lost_on_its_way_leaves_the_job_started(sagemaker: SageMaker) -> None:
    sagemaker.faults.lose_answers("CreateTrainingJob")
    with pytest.raises(ConnectionClosedError):
        client().create_training_job(**request(sagemaker))
    assert client().describe_training_job(TrainingJobName="snowcover-unet-001")["TrainingJobStatus"] == "InProgress"


def test_something_happens_just_after_a_call(sagemaker: SageMaker) -> None:
    counts = []
    sagemaker.faults.when("CreateTrainingJob", 2, lambda: counts.append(len(sagemaker.requests)), after=True)
    for number in range(3):
        client().create_training_job(**request(sagemaker, f"job-{number}"))
    assert counts == [2]


def test_of_many_requests_for_one_name_one_succeeds(sagemaker: SageMaker) -> None:
    wanted = request(sagemaker)
    clients = [client() for _ in range(8)]

    def code(api: Any) -> str:
        try:
            api.create_training_job(**wanted)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return ""

    with ThreadPoolExecutor(8) as pool:
        codes = sorted(pool.map(code, clients))
    assert codes == ["", *["ResourceInUse"] * 7]
