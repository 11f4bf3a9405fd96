"""The IAM actions and resources of a request to AWS, and whether its key's policies allow them."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.aws.policies import Context, Document, allowed
from tests.aws.responses import Refusal
from tests.servers import Fault, Request

KEY = re.compile(r"Credential=([^/]+)/")
FREE = ("sts:GetCallerIdentity",)  # need no permission


@dataclass(frozen=True)
class Permission:
    """A permission that a request needs."""

    action: str
    resource: str
    context: Context = field(default_factory=dict)


def refuse_without_right(
    policies: Mapping[str, Sequence[Document]], key: str, permission: Iterator[Permission], account: str
) -> None:
    """Raises Refusal with AWS's message if a key with policies requests something they do not allow."""
    for one in permission if key in policies else ():
        if one.action not in FREE and not allowed(policies[key], one.action, one.resource, one.context):
            raise Refusal("AccessDeniedException", _denial(key, one, account))


def s3_refusal(policies: Mapping[str, Sequence[Document]], request: Request, account: str) -> Fault | None:
    """S3's response to a key with policies, if they do not allow the request."""
    found = KEY.search(request.authorization)
    if found is None or found[1] not in policies:
        return None
    permission = s3_permission(request)
    if allowed(policies[found[1]], permission.action, permission.resource, permission.context):
        return None
    content = f"<Error><Code>AccessDenied</Code><Message>{_denial(found[1], permission, account)}</Message></Error>"
    return Fault(403, content, {"Content-Type": "application/xml"})


def s3_permission(request: Request) -> Permission:
    """The permission that a request to S3 needs."""
    parts = urlsplit(request.path)
    query = parse_qs(parts.query, keep_blank_values=True)
    bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
    context = {"aws:SecureTransport": "true"}
    if not key:
        listed = {"s3:prefix": query["prefix"][0]} if query.get("prefix", [""])[0] else {}
        action = "s3:GetBucketLocation" if "location" in query else "s3:ListBucket"
        if request.method not in ("GET", "HEAD"):
            action = "s3:CreateBucket"
        return Permission(action, f"arn:aws:s3:::{bucket}", context | listed)
    if request.method in ("GET", "HEAD"):
        action = "s3:GetObject"
    elif request.method == "DELETE":
        action = "s3:AbortMultipartUpload" if "uploadId" in query else "s3:DeleteObject"
    else:
        action = "s3:PutObject"
        context |= {"s3:if-none-match": "*"} if request.is_new else {}
    return Permission(action, f"arn:aws:s3:::{bucket}/{key}", context)


def service_permissions(service: str, action: str, body: bytes, region: str, account: str) -> Iterator[Permission]:
    """The permissions that a request to another service needs."""
    request: dict[str, Any] = json.loads(body) if body.startswith(b"{") else {}
    here = f"arn:aws:{service}:{region}:{account}"
    if service == "sagemaker":
        yield from _sagemaker_permissions(action, request, here)
    elif service == "logs":
        group, stream = f"{here}:log-group:{request.get('logGroupName')}", request.get("logStreamName", "")
        yield Permission(f"logs:{action}", f"{group}:log-stream:{stream}")
    elif service == "ecr":
        name = request.get("repositoryName") or (request.get("repositoryNames") or [None])[0]
        yield Permission(f"ecr:{action}", f"{here}:repository/{name}" if name else "*")
    else:
        yield Permission(f"{service}:{action}", "*")


def _sagemaker_permissions(action: str, request: dict[str, Any], here: str) -> Iterator[Permission]:
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
        yield Permission("iam:PassRole", request["RoleArn"], {"iam:PassedToService": "sagemaker.amazonaws.com"})
    yield Permission(f"sagemaker:{action}", resource, context)
    if tags and action.startswith("Create"):
        yield Permission("sagemaker:AddTags", resource, context)


def _start_context(request: dict[str, Any]) -> dict[str, str | list[str]]:
    """The condition keys of CreateTrainingJob: there is none for the number of machines."""
    resources = request["ResourceConfig"]
    context: dict[str, str | list[str]] = {"sagemaker:InstanceTypes": [resources["InstanceType"]]}
    if (seconds := request["StoppingCondition"].get("MaxRuntimeInSeconds")) is not None:
        context["sagemaker:MaxRuntimeInSeconds"] = str(seconds)
    if resources.get("KeepAlivePeriodInSeconds"):
        context["sagemaker:KeepAlivePeriod"] = str(resources["KeepAlivePeriodInSeconds"])
    return context


def _denial(key: str, permission: Permission, account: str) -> str:
    return (
        f"User: arn:aws:iam::{account}:user/{key} is not authorized to perform: {permission.action} on resource: "
        f"{permission.resource} because no identity-based policy allows the {permission.action} action"
    )
