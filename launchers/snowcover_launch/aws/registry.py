"""Images in ECR: repository, login, digests, labels."""

import base64
import json
import re
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from snowcover_launch.aws.errors import NotFound, aws_errors
from snowcover_launch.aws.session import Account

ECR_URI = re.compile(r"(?P<registry>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/(?P<name>.+)")
MANIFESTS = ["application/vnd.docker.distribution.manifest.v2+json", "application/vnd.oci.image.manifest.v1+json"]
INDEXES = ["application/vnd.docker.distribution.manifest.list.v2+json", "application/vnd.oci.image.index.v1+json"]
TIMEOUT_S = 20
# Labels and digests are optional information: give up sooner than when starting a job.
SHORT_TIMEOUTS = Config(
    retries={"total_max_attempts": 2, "mode": "standard"}, connect_timeout=5, read_timeout=TIMEOUT_S
)


class Unreadable(Exception):
    """An image's labels could not be read."""


@dataclass(frozen=True)
class Login:
    """Docker's credentials for a registry, valid for twelve hours."""

    registry: str
    user: str
    token: str


def repository(account: Account, name: str, kms_key: str | None) -> tuple[str, bool]:
    """The repository's address, and whether it was created.

    Raises:
        AwsError
    """
    ecr = account.client("ecr")
    try:
        with aws_errors(f"find the ECR repository {name}"):
            return ecr.describe_repositories(repositoryNames=[name])["repositories"][0]["repositoryUri"], False
    except NotFound:
        key = {"kmsKey": kms_key} if kms_key else {}
        with aws_errors(f"create the ECR repository {name}"):
            made = ecr.create_repository(
                repositoryName=name,
                imageScanningConfiguration={"scanOnPush": True},
                imageTagMutability="IMMUTABLE",  # a tag always names the same image: jobs record it
                encryptionConfiguration={"encryptionType": "KMS" if kms_key else "AES256", **key},
                tags=[{"Key": "project", "Value": name}],
            )
        return made["repository"]["repositoryUri"], True


def login(account: Account) -> Login:
    """Raises: AwsError."""
    with aws_errors("sign in to ECR"):
        (data,) = account.client("ecr").get_authorization_token()["authorizationData"]
    user, _, token = base64.b64decode(data["authorizationToken"]).decode().partition(":")
    return Login(data["proxyEndpoint"], user, token)


def pushed_digest(account: Account, name: str, tag: str) -> str | None:
    """The digest of a tag; None if it does not exist.

    Raises:
        AwsError
    """
    ecr = account.client("ecr")
    with aws_errors(f"find {name}:{tag} in ECR"):
        try:
            found = ecr.describe_images(repositoryName=name, imageIds=[{"imageTag": tag}])
        except ecr.exceptions.ImageNotFoundException:
            return None
    digest: str = found["imageDetails"][0]["imageDigest"]
    return digest


def image_digest(account: Account, uri: str) -> str | None:
    """The digest of an image in ECR by its tag or digest; None if it cannot be determined."""
    parts = ECR_URI.fullmatch(uri)
    if parts is None:
        return None
    name, image = _parts(parts["name"])
    try:
        ecr = account.session.client("ecr", region_name=parts["region"], config=SHORT_TIMEOUTS)
        found = ecr.batch_get_image(registryId=parts["registry"], repositoryName=name, imageIds=[image])["images"]
    except (BotoCoreError, ClientError):
        return None
    return found[0]["imageId"]["imageDigest"] if found else None


def labels(account: Account, uri: str) -> Mapping[str, str]:
    """The labels of an image in ECR.

    Raises:
        Unreadable: they could not be read, and why.
        NotFound: there is no such image; a job would fail only after it is paid for.
    """
    parts = ECR_URI.fullmatch(uri)
    if parts is None:
        raise Unreadable("it is not in ECR")
    name, image = _parts(parts["name"])
    try:
        ecr = account.session.client("ecr", region_name=parts["region"], config=SHORT_TIMEOUTS)
        repository = {"registryId": parts["registry"], "repositoryName": name}
        manifest = _manifest(ecr, repository, image, uri)
        config = _blob(ecr, repository, manifest["config"]["digest"])
    except (BotoCoreError, ClientError, OSError, ValueError, LookupError) as error:
        raise Unreadable(" ".join(str(error).split())) from error
    return config.get("config", {}).get("Labels") or {}


def _manifest(ecr: Any, repository: Mapping[str, str], image: Mapping[str, str], uri: str) -> dict[str, Any]:
    try:
        found = ecr.batch_get_image(**repository, imageIds=[image], acceptedMediaTypes=[*MANIFESTS, *INDEXES])["images"]
    except ecr.exceptions.RepositoryNotFoundException:
        found = []
    if not found:
        raise NotFound(
            f"There is no image {uri}: push it with `python -m snowcover.image push`, which prints what to set."
        )
    manifest: dict[str, Any] = json.loads(found[0]["imageManifest"])
    if "manifests" in manifest:  # an index, as buildx creates it: one image and its attestations
        images = [each for each in manifest["manifests"] if each.get("platform", {}).get("os") != "unknown"]
        return _manifest(ecr, repository, {"imageDigest": images[0]["digest"]}, uri)
    return manifest


def _blob(ecr: Any, repository: Mapping[str, str], digest: str) -> dict[str, Any]:
    url = ecr.get_download_url_for_layer(**repository, layerDigest=digest)["downloadUrl"]
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def _parts(name: str) -> tuple[str, dict[str, str]]:
    repository, at, digest = name.partition("@")
    if at:
        return repository.partition(":")[0], {"imageDigest": digest}
    repository, _, tag = name.partition(":")
    return repository, {"imageTag": tag or "latest"}
