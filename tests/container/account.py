"""Deploys container/account.yaml to a fake AWS, with every name and condition resolved."""

import ast
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

from tests.aws.policies import Document

TEMPLATE = Path(__file__).parents[2] / "container" / "account.yaml"
REGION = "us-west-2"
ACCOUNT = "123456789012"
MLFLOW = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:mlflow-tracking-server/snow"
JOB = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/snowcover-unet-000-1f2e3d4c5b6a-a1b2c3"
IMAGES = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/snowcover"
OFFERED = "ml.m5.*,ml.g4dn.*,ml.g5.*,ml.g6.*,ml.g6e.*,ml.p2.*,ml.p3.*,ml.p4d.*,ml.p5.*,ml.p5en.*"
"""InstanceTypes' default."""
GIVEN = {
    "ImagesBucket": "imagery", "ImagesPrefix": "planet/2018", "MasksBucket": "snow", "MlflowArn": MLFLOW,
    "LayersBucket": "ground", "LayersPrefix": "dem/",
    "AlarmEmail": "ana@example.org", "JobsEmail": "ana@example.org",
}  # fmt: skip


@dataclass(frozen=True)
class Stack:
    """A deployed template."""

    resources: Mapping[str, Mapping[str, Any]]
    """logical name -> properties, of created resources"""
    outputs: Mapping[str, str]
    trust: Document
    """who may assume the job's role"""
    job: list[Document]
    """what the job's role may do"""
    launch: list[Document]
    """what launching users may do"""
    bucket: str
    encryption: str
    repository: Mapping[str, Any]
    """as ECR describes it"""


@cache
def deployed(**parameters: str) -> Stack:
    """The stack with these parameters."""
    import boto3
    from moto import mock_aws

    parameters = {"InstanceTypes": OFFERED, **parameters}  # moto does not convert the default to a list

    # moto warns about types it does not support
    with mock_aws(), _without_no_values(), warnings.catch_warnings(action="ignore"):
        client = {name: boto3.client(name, REGION) for name in ("cloudformation", "iam", "s3", "ecr")}
        client["cloudformation"].create_stack(
            StackName="snowcover",
            TemplateBody=TEMPLATE.read_text(),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        (described,) = client["cloudformation"].describe_stacks()["Stacks"]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
        (bucket,) = client["s3"].list_buckets()["Buckets"]
        (rule,) = client["s3"].get_bucket_encryption(Bucket=bucket["Name"])["ServerSideEncryptionConfiguration"][
            "Rules"
        ]
        (role,) = client["iam"].list_roles()["Roles"]
        return Stack(
            resources=_resources(),
            outputs=outputs,
            trust=role["AssumeRolePolicyDocument"],
            job=_rights_of(client["iam"], role["RoleName"]),
            launch=[
                _managed(client["iam"], outputs[name])
                for name in ("LaunchPolicy", "MlflowPolicy", "MlflowPagesPolicy")
                if name in outputs
            ],
            bucket=bucket["Name"],
            encryption=rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"],
            repository=client["ecr"].describe_repositories()["repositories"][0],
        )


def rights(stack: Stack, names: Mapping[str, str]) -> tuple[list[Document], list[Document]]:
    """The policies of launching users and of jobs, with the buckets renamed."""

    def renamed(documents: list[Document]) -> list[Document]:
        text = json.dumps(documents)
        for name, other in names.items():
            text = text.replace(f":s3:::{name}", f":s3:::{other}")
        found: list[Document] = json.loads(text)
        return found

    return renamed(stack.launch), renamed(stack.job)


@contextmanager
def _without_no_values() -> Iterator[None]:
    """Makes moto remove AWS::NoValue from lists, as CloudFormation does."""
    from moto.cloudformation import parsing

    clean_json = parsing.clean_json

    def clean(value: Any, *rest: Any) -> Any:
        found = clean_json(value, *rest)
        return [inner for inner in found if inner is not None] if isinstance(found, list) else found

    with mock.patch.object(parsing, "clean_json", clean):
        yield


def _resources() -> dict[str, dict[str, Any]]:
    """From moto's state, including types that it does not create, such as bucket policies."""
    from moto.cloudformation.models import cloudformation_backends
    from moto.cloudformation.parsing import clean_json

    (stack,) = cloudformation_backends[ACCOUNT][REGION].stacks.values()
    known = stack.resource_map
    return {
        name: _given(clean_json(resource["Properties"], known))
        for name, resource in stack.template_dict["Resources"].items()
        if "Condition" not in resource or known.lazy_condition_map[resource["Condition"]]
    }


def _given(value: Any) -> Any:
    """Without AWS::NoValue, which moto leaves as None in lists."""
    if isinstance(value, dict):
        return {key: _given(inner) for key, inner in value.items() if inner is not None}
    return [_given(inner) for inner in value if inner is not None] if isinstance(value, list) else value


def _rights_of(iam: Any, role: str) -> list[Document]:
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    inline = [iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names]
    attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    return [
        *(_given(ast.literal_eval(str(document))) for document in inline),  # moto gives Python's text, not JSON
        *(_managed(iam, policy["PolicyArn"]) for policy in attached),
    ]


def _managed(iam: Any, arn: str) -> Document:
    version: Document = iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]["Document"]
    return version
