"""What container/account.yaml lets jobs and those who start them do: what they must, and nothing else."""

import pytest

from tests.container.account import ACCOUNT, GIVEN, IMAGES, JOB, MLFLOW, REGION, Stack, deployed
from tests.container.policies import allowed, listed, statements

ALGORITHM = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:algorithm/snowcover-1f2e3d4c5b6a"
LOGS = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/sagemaker/TrainingJobs"
STREAM = f"{LOGS}:log-stream:snowcover-unet-000-1f2e3d4c5b6a-a1b2c3/algo-1-1700000000"
TO_SAGEMAKER = {"iam:PassedToService": "sagemaker.amazonaws.com"}
METRICS = {"cloudwatch:namespace": "/aws/sagemaker/TrainingJobs"}
# Nothing narrower exists: a token for the registry has no resource, metrics have a namespace in its place.
ON_EVERYTHING = {"ecr:GetAuthorizationToken", "cloudwatch:PutMetricData"}

BOTH_MAY = [
    ("s3:ListBucket", "BUCKET", {"s3:prefix": "snowcover/exp/"}),
    ("s3:ListBucket", "BUCKET", {}),  # how S3 asks before it says that an object is not there
    ("s3:GetObject", "BUCKET/snowcover/exp/job/result.json", {}),
    ("s3:PutObject", "BUCKET/snowcover/exp/job/config/config.yaml", {}),
    ("ecr:GetAuthorizationToken", "*", {}),
    ("ecr:BatchGetImage", IMAGES, {}),
    ("ecr:GetDownloadUrlForLayer", IMAGES, {}),
    ("ecr:BatchCheckLayerAvailability", IMAGES, {}),
    ("logs:DescribeLogStreams", f"{LOGS}:log-stream:", {}),
    ("logs:DescribeLogStreams", LOGS, {}),
    ("sagemaker-mlflow:CreateRun", MLFLOW, {}),
    ("sagemaker-mlflow:LogBatch", MLFLOW, {}),
    ("sagemaker-mlflow:SearchRuns", MLFLOW, {}),
    ("s3:PutObject", "BUCKET/mlflow/0/run/artifacts/curves.png", {}),
]
JOBS_MAY = [
    *BOTH_MAY,
    ("s3:ListBucket", "arn:aws:s3:::imagery", {"s3:prefix": "planet/2018"}),
    ("s3:ListBucket", "arn:aws:s3:::imagery", {"s3:prefix": "planet/20180528_1/15/"}),
    ("s3:GetObject", "arn:aws:s3:::imagery/planet/20180528_1/15/5384/12345.tif", {}),
    ("s3:ListBucket", "arn:aws:s3:::snow", {"s3:prefix": "ASO_20180528/"}),
    ("s3:ListBucket", "arn:aws:s3:::snow", {}),
    ("s3:GetObject", "arn:aws:s3:::snow/ASO_20180528/15/5384/12345.tif", {}),
    ("s3:AbortMultipartUpload", "BUCKET/snowcover/exp/job/output/job/output/model.tar.gz", {}),
    ("logs:CreateLogGroup", LOGS, {}),
    ("logs:CreateLogGroup", f"{LOGS}:log-stream:", {}),
    ("logs:CreateLogStream", STREAM, {}),
    ("logs:PutLogEvents", STREAM, {}),
    ("cloudwatch:PutMetricData", "*", METRICS),
]
USERS_MAY = [
    *BOTH_MAY,
    *((f"sagemaker:{name}TrainingJob", JOB, {}) for name in ("Create", "Describe", "Stop")),
    *((f"sagemaker:{name}Algorithm", ALGORITHM, {}) for name in ("Create", "Describe")),
    *((f"sagemaker:{name}", what, {}) for name in ("AddTags", "ListTags") for what in (JOB, ALGORITHM)),
    ("iam:PassRole", "ROLE", TO_SAGEMAKER),
    ("logs:GetLogEvents", STREAM, {}),
    *(
        (f"ecr:{name}", IMAGES, {})
        for name in ("InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload", "PutImage", "DescribeImages")
    ),
]
NOBODY_MAY = [
    ("s3:DeleteObject", "BUCKET/snowcover/exp/job/result.json", {}),
    ("s3:DeleteBucket", "BUCKET", {}),
    ("s3:DeleteBucket", "arn:aws:s3:::imagery", {}),
    ("s3:PutBucketPolicy", "BUCKET", {}),
    ("s3:ListAllMyBuckets", "*", {}),
    ("s3:PutObject", "BUCKET/other/file", {}),
    ("s3:GetObject", "BUCKET/snowcover-private/file", {}),
    ("s3:GetObject", "arn:aws:s3:::others/snowcover/file", {}),
    ("s3:PutObject", "arn:aws:s3:::imagery/planet/20180528_1/15/5384/12345.tif", {}),
    ("s3:PutObject", "arn:aws:s3:::snow/ASO_20180528/15/5384/12345.tif", {}),
    ("s3:GetObject", "arn:aws:s3:::imagery/planet/2019/15/5384/12345.tif", {}),
    ("s3:ListBucket", "arn:aws:s3:::imagery", {"s3:prefix": ""}),
    ("s3:ListBucket", "arn:aws:s3:::imagery", {}),
    ("ecr:BatchGetImage", IMAGES.replace("snowcover", "other"), {}),
    ("ecr:DeleteRepository", IMAGES, {}),
    ("ecr:BatchDeleteImage", IMAGES, {}),
    ("iam:CreateRole", "ROLE", {}),
    ("iam:AttachRolePolicy", "ROLE", {}),
    ("sts:AssumeRole", "ROLE", {}),
    ("sagemaker:CreateEndpoint", f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/snowcover-x", {}),
    ("sagemaker:CreateNotebookInstance", f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:notebook-instance/snowcover-x", {}),
    ("sagemaker-mlflow:DeleteRun", MLFLOW, {}),
    ("sagemaker-mlflow:CreateRun", MLFLOW.replace("/snow", "/other"), {}),
    ("logs:DeleteLogGroup", LOGS, {}),
    ("logs:DescribeLogStreams", LOGS.replace("TrainingJobs", "Endpoints"), {}),
]
JOBS_MAY_NOT = [
    *NOBODY_MAY,
    ("sagemaker:CreateTrainingJob", JOB, {}),
    ("iam:PassRole", "ROLE", TO_SAGEMAKER),
    ("ecr:PutImage", IMAGES, {}),
    ("logs:GetLogEvents", STREAM, {}),
    ("logs:PutLogEvents", STREAM.replace("snowcover-", "others-"), {}),
    ("logs:CreateLogGroup", LOGS.replace("TrainingJobs", "Endpoints"), {}),
    ("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "AWS/Billing"}),
    ("cloudwatch:PutMetricData", "*", {}),
]
USERS_MAY_NOT = [
    *NOBODY_MAY,
    ("sagemaker:CreateTrainingJob", JOB.replace("snowcover-", "others-"), {}),
    ("sagemaker:StopTrainingJob", JOB.replace("snowcover-", "others-"), {}),
    ("sagemaker:CreateTrainingJob", JOB.replace(REGION, "eu-west-1"), {}),
    ("sagemaker:CreateAlgorithm", ALGORITHM.replace("snowcover-", "others-"), {}),
    ("sagemaker:DeleteAlgorithm", ALGORITHM, {}),
    ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/Administrator", TO_SAGEMAKER),
    ("iam:PassRole", "ROLE", {"iam:PassedToService": "ec2.amazonaws.com"}),
    ("iam:PassRole", "ROLE", {}),
    ("logs:GetLogEvents", STREAM.replace("snowcover-", "others-"), {}),
    ("logs:PutLogEvents", STREAM, {}),
    ("s3:GetObject", "arn:aws:s3:::imagery/planet/20180528_1/15/5384/12345.tif", {}),
    ("cloudwatch:PutMetricData", "*", METRICS),
]


@pytest.fixture
def stack() -> Stack:
    """With everything that can be given."""
    return deployed(**GIVEN)


def arn(text: str, stack: Stack) -> str:
    """BUCKET and ROLE get their names only when they are made."""
    return text.replace("BUCKET", f"arn:aws:s3:::{stack.bucket}").replace("ROLE", stack.outputs["Role"])


@pytest.mark.parametrize(("action", "resource", "context"), JOBS_MAY)
def test_a_job_may(action: str, resource: str, context: dict[str, str], stack: Stack) -> None:
    assert allowed(stack.job, action, arn(resource, stack), context)


@pytest.mark.parametrize(("action", "resource", "context"), JOBS_MAY_NOT)
def test_a_job_may_not(action: str, resource: str, context: dict[str, str], stack: Stack) -> None:
    assert not allowed(stack.job, action, arn(resource, stack), context)


@pytest.mark.parametrize(("action", "resource", "context"), USERS_MAY)
def test_who_starts_jobs_may(action: str, resource: str, context: dict[str, str], stack: Stack) -> None:
    assert allowed(stack.launch, action, arn(resource, stack), context)


@pytest.mark.parametrize(("action", "resource", "context"), USERS_MAY_NOT)
def test_who_starts_jobs_may_not(action: str, resource: str, context: dict[str, str], stack: Stack) -> None:
    assert not allowed(stack.launch, action, arn(resource, stack), context)


def test_without_imagery_masks_or_mlflow_given_a_job_reaches_none() -> None:
    bare = deployed()
    ours = {f"arn:aws:s3:::{bare.bucket}", f"arn:aws:s3:::{bare.bucket}/snowcover/*"}
    places = {place for statement in statements(bare.job) for place in listed(statement["Resource"])}
    assert {place for place in places if ":s3:" in place} == ours
    assert not [place for place in places if "mlflow" in place]
    assert "MlflowPolicy" not in bare.outputs
    assert "Alarm" not in bare.resources


def test_no_right_is_wider_than_it_must_be(stack: Stack) -> None:
    for statement in statements([*stack.job, *stack.launch]):
        actions, resources = listed(statement["Action"]), listed(statement["Resource"])
        assert not [action for action in actions if "*" in action or "?" in action]
        assert "*" not in resources or set(actions) <= ON_EVERYTHING
        for resource in set(resources) - {"*"}:
            owner = resource.split(":")[4]
            assert owner == ACCOUNT or resource.startswith("arn:aws:s3:::")
            assert not resource.removeprefix("arn:aws:s3:::").startswith("*")


def test_every_right_is_one_that_aws_knows_for_that_kind_of_resource(stack: Stack) -> None:
    from cfnlint.helpers import load_resource

    known = load_resource("cfnlint.data.AdditionalSpecs", "Policies.json")
    for statement in statements([*stack.job, *stack.launch]):
        for action in listed(statement["Action"]):
            service, _, name = action.partition(":")
            kinds = known[service]["Actions"][name.lower()].get("Resources", [])
            begins = [
                form.split(":")[2] + ":" + form.split(":", 5)[5].split("/")[0].rstrip(".*")
                for kind in kinds
                for form in known[service]["Resources"][kind]["ARNFormats"]
            ]
            for resource in set(listed(statement["Resource"])) - {"*"}:
                here = resource.split(":")[2] + ":" + resource.split(":", 5)[5]
                if action.startswith(("sagemaker:CallMlflow", "sagemaker-mlflow:")):
                    continue  # a server or an app: each has its own half of that statement
                assert any(here.startswith(begin) for begin in begins), f"{action} on {resource}"
