"""The permissions of jobs and of launching users in container/account.yaml: only what is necessary."""

import re
from pathlib import Path

import pytest

from tests.aws.policies import Context, allowed, listed, statements
from tests.container.account import ACCOUNT, GIVEN, IMAGES, JOB, MLFLOW, REGION, Stack, deployed

pytestmark = pytest.mark.machine

ALGORITHM = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:algorithm/snowcover-1f2e3d4c5b6a"
LOGS = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/sagemaker/TrainingJobs"
STREAM = f"{LOGS}:log-stream:snowcover-unet-000-1f2e3d4c5b6a-a1b2c3/algo-1-1700000000"
TO_SAGEMAKER = {"iam:PassedToService": "sagemaker.amazonaws.com"}
METRICS = {"cloudwatch:namespace": "/aws/sagemaker/TrainingJobs"}
ONCE = {"s3:if-none-match": "*"}
START: dict[str, str | list[str]] = {
    "sagemaker:InstanceTypes": ["ml.g5.xlarge"],
    "sagemaker:MaxRuntimeInSeconds": "36000",
    "aws:RequestTag/project": "snowcover",
}
OUR_JOB = "BUCKET/snowcover/exp/snowcover-unet-1f2e3d4c5b6a-1"
# Nothing narrower exists: a token for the registry has no resource, metrics have a namespace in its place.
ON_EVERYTHING = {"ecr:GetAuthorizationToken", "cloudwatch:PutMetricData"}

BOTH_MAY = [
    ("s3:ListBucket", "BUCKET", {"s3:prefix": "snowcover/exp/"}),
    ("s3:ListBucket", "BUCKET", {}),  # how S3 asks before it says that an object is not there
    ("s3:GetObject", "BUCKET/snowcover/exp/job/result.json", {}),
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
    ("s3:ListBucket", "arn:aws:s3:::ground", {"s3:prefix": "dem/"}),
    ("s3:GetObject", "arn:aws:s3:::ground/dem/15/5384/12345.tif", {}),
    ("s3:PutObject", f"{OUR_JOB}/checkpoints/last.ckpt", {}),
    ("s3:PutObject", f"{OUR_JOB}/output/snowcover-unet-1f2e3d4c5b6a-1/output/model.tar.gz", {}),
    ("s3:AbortMultipartUpload", f"{OUR_JOB}/output/snowcover-unet-1f2e3d4c5b6a-1/output/model.tar.gz", {}),
    ("s3:PutObject", f"{OUR_JOB}/result.json", ONCE),
    ("logs:CreateLogGroup", LOGS, {}),
    ("logs:CreateLogGroup", f"{LOGS}:log-stream:", {}),
    ("logs:CreateLogStream", STREAM, {}),
    ("logs:PutLogEvents", STREAM, {}),
    ("cloudwatch:PutMetricData", "*", METRICS),
]
USERS_MAY = [
    *BOTH_MAY,
    ("sagemaker:CreateTrainingJob", JOB, START),
    ("sagemaker:CreateTrainingJob", JOB, START | {"sagemaker:KeepAlivePeriod": "3600"}),
    ("s3:PutObject", f"{OUR_JOB}/config/config.yaml", ONCE),
    ("s3:ListBucket", "arn:aws:s3:::imagery", {"s3:prefix": "planet/2018"}),
    ("s3:ListBucket", "arn:aws:s3:::snow", {"s3:prefix": "ASO_20180528/"}),
    ("sagemaker:CreatePresignedMlflowTrackingServerUrl", MLFLOW, {}),
    ("sagemaker-mlflow:AccessUI", MLFLOW, {}),
    *((f"sagemaker:{name}TrainingJob", JOB, {}) for name in ("Describe", "Stop")),
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
    ("s3:GetObject", "arn:aws:s3:::ground/private.tif", {}),
    ("s3:PutObject", "arn:aws:s3:::ground/dem/15/5384/12345.tif", {}),
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
    ("s3:PutObject", f"{OUR_JOB}/config/config.yaml", ONCE),
    ("s3:PutObject", f"{OUR_JOB}/config/config.yaml", {}),
    ("s3:PutObject", f"{OUR_JOB}/config/second.yaml", ONCE),
    ("s3:PutObject", f"{OUR_JOB}/result.json", {}),
    ("s3:PutObject", f"{OUR_JOB}/anything", ONCE),
    ("s3:PutObject", "BUCKET/snowcover/exp/weights/best.ckpt", ONCE),
    ("s3:AbortMultipartUpload", f"{OUR_JOB}/config/config.yaml", {}),
    ("sagemaker:CreatePresignedMlflowTrackingServerUrl", MLFLOW, {}),
    ("sagemaker-mlflow:AccessUI", MLFLOW, {}),
    ("sagemaker:CreateTrainingJob", JOB, START),
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
    ("sagemaker:CreateTrainingJob", JOB.replace("snowcover-", "others-"), START),
    ("sagemaker:StopTrainingJob", JOB.replace("snowcover-", "others-"), {}),
    ("sagemaker:CreateTrainingJob", JOB.replace(REGION, "eu-west-1"), START),
    ("sagemaker:CreateTrainingJob", JOB, START | {"sagemaker:InstanceTypes": ["ml.p5e.48xlarge"]}),
    ("sagemaker:CreateTrainingJob", JOB, START | {"sagemaker:InstanceTypes": ["ml.g5.xlarge", "ml.trn1.32xlarge"]}),
    ("sagemaker:CreateTrainingJob", JOB, START | {"sagemaker:MaxRuntimeInSeconds": "259201"}),
    ("sagemaker:CreateTrainingJob", JOB, START | {"sagemaker:KeepAlivePeriod": "3601"}),
    *(("sagemaker:CreateTrainingJob", JOB, {key: START[key] for key in START if key != left}) for left in START),
    ("s3:PutObject", f"{OUR_JOB}/config/config.yaml", {}),
    ("s3:PutObject", f"{OUR_JOB}/config/second.yaml", ONCE),
    ("s3:PutObject", f"{OUR_JOB}/result.json", ONCE),
    ("s3:PutObject", f"{OUR_JOB}/checkpoints/last.ckpt", {}),
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
def test_a_job_may(action: str, resource: str, context: Context, stack: Stack) -> None:
    assert allowed(stack.job, action, arn(resource, stack), context)


@pytest.mark.parametrize(("action", "resource", "context"), JOBS_MAY_NOT)
def test_a_job_may_not(action: str, resource: str, context: Context, stack: Stack) -> None:
    assert not allowed(stack.job, action, arn(resource, stack), context)


@pytest.mark.parametrize(("action", "resource", "context"), USERS_MAY)
def test_a_launching_user_may(action: str, resource: str, context: Context, stack: Stack) -> None:
    assert allowed(stack.launch, action, arn(resource, stack), context)


@pytest.mark.parametrize(("action", "resource", "context"), USERS_MAY_NOT)
def test_a_launching_user_may_not(action: str, resource: str, context: Context, stack: Stack) -> None:
    assert not allowed(stack.launch, action, arn(resource, stack), context)


def test_without_imagery_masks_or_mlflow_given_a_job_reaches_none() -> None:
    bare = deployed()
    ours = f"arn:aws:s3:::{bare.bucket}"
    places = {place for statement in statements(bare.job) for place in listed(statement["Resource"])}
    assert {place for place in places if ":s3:" in place and not place.startswith(f"{ours}/snowcover/")} == {ours}
    assert not [place for place in places if "mlflow" in place]
    assert "MlflowPolicy" not in bare.outputs
    assert not {"Alarm", "JobsTopic", "JobsTopicPolicy", "JobsEnd", "MlflowPagesPolicy"} & bare.resources.keys()


def test_the_account_owner_sets_instance_types_time_limit_and_folder() -> None:
    own = deployed(Prefix="teams/snow", InstanceTypes="ml.g5.xlarge,ml.p2.*", MaxJobSeconds="3600")

    def may_start(**changes: str | list[str]) -> bool:
        context = START | {f"sagemaker:{key}": value for key, value in changes.items()}
        return allowed(own.launch, "sagemaker:CreateTrainingJob", JOB, context)

    assert may_start(MaxRuntimeInSeconds="3600")
    assert may_start(MaxRuntimeInSeconds="60", InstanceTypes=["ml.p2.8xlarge"])
    assert not may_start(MaxRuntimeInSeconds="3601")
    assert not may_start(MaxRuntimeInSeconds="3600", InstanceTypes=["ml.g5.12xlarge"])
    for documents, key, context in (
        (own.job, "checkpoints/last.ckpt", {}),
        (own.job, "result.json", ONCE),
        (own.launch, "config/config.yaml", ONCE),
    ):
        for folder, may in (("teams/snow", True), ("snowcover", False), ("teams", False)):
            resource = f"arn:aws:s3:::{own.bucket}/{folder}/exp/snowcover-unet-1f2e3d4c5b6a-1/{key}"
            assert allowed(documents, "s3:PutObject", resource, context) is may
    (old,) = [r for r in own.resources["Bucket"]["LifecycleConfiguration"]["Rules"] if r["Id"] == "old-jobs"]
    assert old["Prefix"] == "teams/snow/"
    assert "export SNOWCOVER_PREFIX=teams/snow\n" in own.outputs["Shell"]


def test_every_offered_instance_type_may_be_used(stack: Stack) -> None:
    files = (Path(__file__).parents[2] / "conf" / "hw").glob("*.yaml")
    types = {found[1] for file in files if (found := re.search(r"instance_type: (ml\.\S+)", file.read_text()))}
    assert len(types) > 10
    for name in types:
        context = START | {"sagemaker:InstanceTypes": [name]}
        assert allowed(stack.launch, "sagemaker:CreateTrainingJob", JOB, context), name


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
                if action.startswith(("sagemaker:CallMlflow", "sagemaker:CreatePresigned", "sagemaker-mlflow:")):
                    continue  # a server or an app: each has its own half of that statement
                assert any(here.startswith(begin) for begin in begins), f"{action} on {resource}"
