"""Which IAM actions on which resources a request to AWS is, and whether its key's policies allow them."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.aws.answers import Refusal
from tests.aws.policies import Context, Document, allowed
from tests.servers import Fault, Request

KEY = re.compile(r"Credential=([^/]+)/")
FREE = ("sts:GetCallerIdentity",)  # which nobody needs a right for


@dataclass(frozen=True)
class Asked:
    """One thing that a request needs a right for."""

    action: str
    resource: str
    context: Context = field(default_factory=dict)


def refuse_without_right(
    policies: Mapping[str, Sequence[Document]], key: str, asked: Iterator[Asked], account: str
) -> None:
    """Raises Refusal in AWS's words if a key that has policies asks for what they do not allow."""
    for one in asked if key in policies else ():
        if one.action not in FREE and not allowed(policies[key], one.action, one.resource, one.context):
            raise Refusal("AccessDeniedException", _words(key, one, account))


def s3_refusal(policies: Mapping[str, Sequence[Document]], request: Request, account: str) -> Fault | None:
    """What S3 answers a key that has policies, for what they do not allow."""
    found = KEY.search(request.authorization)
    if found is None or found[1] not in policies:
        return None
    asked = s3_asked(request)
    if allowed(policies[found[1]], asked.action, asked.resource, asked.context):
        return None
    content = f"<Error><Code>AccessDenied</Code><Message>{_words(found[1], asked, account)}</Message></Error>"
    return Fault(403, content, {"Content-Type": "application/xml"})


def s3_asked(request: Request) -> Asked:
    """The right that a request to S3 needs."""
    parts = urlsplit(request.path)
    query = parse_qs(parts.query, keep_blank_values=True)
    bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
    context = {"aws:SecureTransport": "true"}
    if not key:
        listed = {"s3:prefix": query["prefix"][0]} if query.get("prefix", [""])[0] else {}
        action = "s3:GetBucketLocation" if "location" in query else "s3:ListBucket"
        if request.method not in ("GET", "HEAD"):
            action = "s3:CreateBucket"
        return Asked(action, f"arn:aws:s3:::{bucket}", context | listed)
    if request.method in ("GET", "HEAD"):
        action = "s3:GetObject"
    elif request.method == "DELETE":
        action = "s3:AbortMultipartUpload" if "uploadId" in query else "s3:DeleteObject"
    else:
        action = "s3:PutObject"
        context |= {"s3:if-none-match": "*"} if request.is_new else {}
    return Asked(action, f"arn:aws:s3:::{bucket}/{key}", context)


def service_asked(service: str, action: str, body: bytes, region: str, account: str) -> Iterator[Asked]:
    """The rights that a request to another service needs."""
    request: dict[str, Any] = json.loads(body) if body.startswith(b"{") else {}
    here = f"arn:aws:{service}:{region}:{account}"
    if service == "sagemaker":
        yield from _sagemaker_asked(action, request, here)
    elif service == "logs":
        group, stream = f"{here}:log-group:{request.get('logGroupName')}", request.get("logStreamName", "")
        yield Asked(f"logs:{action}", f"{group}:log-stream:{stream}")
    elif service == "ecr":
        name = request.get("repositoryName") or (request.get("repositoryNames") or [None])[0]
        yield Asked(f"ecr:{action}", f"{here}:repository/{name}" if name else "*")
    else:
        yield Asked(f"{service}:{action}", "*")


def _sagemaker_asked(action: str, request: dict[str, Any], here: str) -> Iterator[Asked]:
    resource = f"{here}:training-job/{request.get('TrainingJobName')}"
    if "ResourceArn" in request:
        resource = request["ResourceArn"]
    elif "AlgorithmName" in request:
        name = request["AlgorithmName"]
        resource = name if name.startswith("arn:") else f"{here}:algorithm/{name}"
    context: dict[str, str | list[str]] = {}
    tags = {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}
    context |= {f"aws:RequestTag/{key}": value for key, value in tags.items()}
    if action == "CreateTrainingJob":
        context |= _start_context(request)
        yield Asked("iam:PassRole", request["RoleArn"], {"iam:PassedToService": "sagemaker.amazonaws.com"})
    yield Asked(f"sagemaker:{action}", resource, context)
    if tags and action.startswith("Create"):
        yield Asked("sagemaker:AddTags", resource, context)


def _start_context(request: dict[str, Any]) -> dict[str, str | list[str]]:
    """What IAM can see of CreateTrainingJob: there is no key for the number of machines."""
    resources = request["ResourceConfig"]
    context: dict[str, str | list[str]] = {"sagemaker:InstanceTypes": [resources["InstanceType"]]}
    if (seconds := request["StoppingCondition"].get("MaxRuntimeInSeconds")) is not None:
        context["sagemaker:MaxRuntimeInSeconds"] = str(seconds)
    if resources.get("KeepAlivePeriodInSeconds"):
        context["sagemaker:KeepAlivePeriod"] = str(resources["KeepAlivePeriodInSeconds"])
    return context


def _words(key: str, asked: Asked, account: str) -> str:
    return (
        f"User: arn:aws:iam::{account}:user/{key} is not authorized to perform: {asked.action} on resource: "
        f"{asked.resource} because no identity-based policy allows the {asked.action} action"
    )
