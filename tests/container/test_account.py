"""container/account.yaml creates bucket, repository, role, alarm, and the lines for the shell."""

import json
import re
import subprocess

import pytest
import yaml

from tests.aws.policies import allowed
from tests.container.account import ACCOUNT, GIVEN, IMAGES, JOB, REGION, TEMPLATE, Stack, deployed

pytestmark = pytest.mark.machine


@pytest.fixture
def stack() -> Stack:
    """With everything that can be given."""
    return deployed(**GIVEN)


def test_the_policies_fit_into_iam(stack: Stack) -> None:
    assert sum(len(json.dumps(document, separators=(",", ":"))) for document in stack.job) <= 10_240
    assert all(len(json.dumps(document, separators=(",", ":"))) <= 6_144 for document in stack.launch)


def test_only_sagemaker_can_assume_the_role_and_only_for_our_jobs(stack: Stack) -> None:
    ours = {"aws:SourceAccount": ACCOUNT, "aws:SourceArn": JOB}

    def may_assume(principal: str = "sagemaker.amazonaws.com", **changes: str) -> bool:
        context = ours | {key.replace("__", ":"): value for key, value in changes.items()}
        return allowed([stack.trust], "sts:AssumeRole", stack.outputs["Role"], context, principal)

    assert may_assume()
    assert not may_assume("ec2.amazonaws.com")
    assert not may_assume(aws__SourceAccount="999999999999")
    assert not may_assume(aws__SourceArn=JOB.replace("snowcover-", "others-"))
    assert not may_assume(aws__SourceArn=JOB.replace(ACCOUNT, "999999999999"))
    assert not may_assume(aws__SourceArn=JOB.replace("training-job", "endpoint"))
    assert not allowed([stack.trust], "sts:AssumeRole", stack.outputs["Role"], {}, "sagemaker.amazonaws.com")


def test_the_bucket_is_encrypted_closed_to_the_public_and_to_plain_http(stack: Stack) -> None:
    bucket, policy = stack.resources["Bucket"], stack.resources["BucketPolicy"]
    assert stack.encryption == "AES256"
    closed = {"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"}
    assert bucket["PublicAccessBlockConfiguration"] == dict.fromkeys(closed, True)
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}  # what one job overwrites of another's comes back
    assert policy["Bucket"] == stack.bucket
    for resource in (f"arn:aws:s3:::{stack.bucket}", f"arn:aws:s3:::{stack.bucket}/snowcover/x"):
        everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        both = [everything, policy["PolicyDocument"]]
        assert not allowed(both, "s3:GetObject", resource, {"aws:SecureTransport": "false"})
        assert allowed(both, "s3:GetObject", resource, {"aws:SecureTransport": "true"})


@pytest.mark.parametrize(("days", "kept"), [("365", 365), ("30", 30), ("0", None)])
def test_files_of_jobs_expire_after_the_given_days_or_never(days: str, kept: int | None) -> None:
    rules = deployed(KeepJobsDays=days).resources["Bucket"]["LifecycleConfiguration"]["Rules"]
    by_name = {rule["Id"]: rule for rule in rules}
    assert by_name["unfinished-uploads"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 2}
    assert "Prefix" not in by_name["unfinished-uploads"]
    assert by_name["overwritten"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 7}
    assert by_name["overwritten"]["ExpiredObjectDeleteMarker"] is True
    old = by_name.get("old-jobs")
    assert (int(old["ExpirationInDays"]) if old else None) == kept
    assert old is None or (old["Prefix"], old["Status"]) == ("snowcover/", "Enabled")


def test_image_tags_are_immutable_and_old_images_expire(stack: Stack) -> None:
    assert stack.repository["repositoryArn"] == IMAGES
    assert stack.repository["imageTagMutability"] == "IMMUTABLE"
    repository = stack.resources["Repository"]
    assert repository["ImageScanningConfiguration"] == {"ScanOnPush": True}
    rules = json.loads(repository["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
    assert {rule["action"]["type"] for rule in rules} == {"expire"}
    assert max(rules, key=lambda rule: rule["rulePriority"])["selection"]["tagStatus"] == "any"  # as ECR demands


def test_the_shell_lines_set_what_the_launcher_reads() -> None:
    bare = deployed()
    command = ["env", "-i", "bash", "-c", f"{bare.outputs['Shell']}\nenv"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    config = (TEMPLATE.parents[1] / "conf" / "aws" / "default.yaml").read_text()
    wanted = {
        "AWS_REGION": REGION,
        "SNOWCOVER_ROLE_ARN": bare.outputs["Role"],
        "SNOWCOVER_BUCKET": bare.bucket,
        "SNOWCOVER_PREFIX": "snowcover",
    }
    for name, value in wanted.items():
        assert f"{name}={value}" in printed
        assert f"oc.env:{name}," in config


def test_the_alarm_goes_to_the_address_at_half_and_at_all_of_the_sum(stack: Stack) -> None:
    notes = stack.resources["Alarm"]["NotificationsWithSubscribers"]
    assert [note["Notification"]["Threshold"] for note in notes] == [50, 100]
    assert {subscriber["Address"] for note in notes for subscriber in note["Subscribers"]} == {GIVEN["AlarmEmail"]}


def test_a_mail_is_sent_at_each_end_of_our_jobs_only(stack: Stack) -> None:
    topic, rule = stack.resources["JobsTopic"], stack.resources["JobsEnd"]
    assert topic["Subscription"] == [{"Protocol": "email", "Endpoint": GIVEN["JobsEmail"]}]
    assert rule["EventPattern"] == {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Training Job State Change"],
        "detail": {
            "TrainingJobName": [{"prefix": "snowcover-"}],
            "TrainingJobStatus": ["Completed", "Failed", "Stopped"],
        },
    }
    (target,) = rule["Targets"]
    (statement,) = stack.resources["JobsTopicPolicy"]["PolicyDocument"]["Statement"]
    assert target["Arn"] == statement["Resource"]
    assert (statement["Principal"], statement["Action"]) == ({"Service": "events.amazonaws.com"}, "sns:Publish")
    for name in target["InputTransformer"]["InputPathsMap"]:
        assert f"<{name}>" in target["InputTransformer"]["InputTemplate"]


def test_cfn_lint_finds_nothing() -> None:
    from cfnlint.api import lint_file
    from cfnlint.config import ManualArgs

    found = lint_file(TEMPLATE, config=ManualArgs(regions=["us-west-2", "us-east-1", "eu-central-1"]))
    assert [f"{match.rule.id} line {match.linenumber}: {match.message}" for match in found] == []


def test_names_that_could_widen_permissions_are_refused() -> None:
    class Loader(yaml.SafeLoader):
        """CloudFormation's tags are of no matter here."""

    Loader.add_multi_constructor("!", lambda *_: None)
    parameters = yaml.load(TEMPLATE.read_text(), Loader)["Parameters"]
    wrong = {
        "ImagesBucket": ["*", "imagery*", "s3://imagery", "imagery/planet"],
        "Prefix": ["", "*", "/snowcover", "snowcover/", "a//b", "../x"],
        "InstanceTypes": ["*", "ml.*", "g5.xlarge", "ml.*.xlarge"],
        "JobsEmail": ["ana", "ana@b@c", "a b@c"],
        "MasksPrefix": ["*", "a?", "${aws:username}"],
        "MlflowArn": ["*", "arn:aws:sagemaker:us-west-2:123456789012:mlflow-tracking-server/*"],
    }
    for name, values in wrong.items():
        assert not [value for value in values if re.fullmatch(parameters[name]["AllowedPattern"], value)]
