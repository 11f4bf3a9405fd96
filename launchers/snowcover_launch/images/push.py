"""Pushes images to ECR."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from snowcover_launch.backends.sagemaker.request import PROJECT
from snowcover_launch.compose import aws_config
from snowcover_launch.errors import MissingAccount
from snowcover_launch.images import engine


@dataclass(frozen=True)
class Pushed:
    """An image in ECR."""

    uri: str
    digest: str


def push(images: Mapping[str, str], overrides: Sequence[str]) -> list[Pushed]:
    """Push local images to the project's ECR repository, which is created if needed.

    Args:
        images: local names by their tags in ECR.
        overrides: of the config's `aws`, as key=value.

    Raises:
        AwsError, MissingAccount, DockerFailed
    """
    from snowcover_launch.aws import registry
    from snowcover_launch.aws.session import Account, region_of_profile

    aws = aws_config(list(overrides))
    if not (aws.region or region_of_profile(aws.profile)):
        raise MissingAccount("The image's repository needs a region: set AWS_REGION.")
    account = Account(aws.region, aws.profile)
    address, is_new = registry.repository(account, PROJECT, aws.kms_key)
    if is_new:
        print(f"  created the repository {address}")
    login = registry.login(account)
    # Through standard input: everybody on this machine can read command lines.
    engine.docker_output("login", "--username", login.user, "--password-stdin", login.registry, stdin=login.token)
    try:
        return [_push_one(account, address, tag, image) for tag, image in images.items()]
    finally:
        engine.docker_output("logout", login.registry)  # the token stays valid for hours


def _push_one(account: Any, address: str, tag: str, image: str) -> Pushed:
    from snowcover_launch.aws import registry

    uri = f"{address}:{tag}"
    if known := registry.pushed_digest(account, PROJECT, tag):  # tags are immutable
        print(f"  {uri} already exists")
        return Pushed(uri, known)
    engine.docker_output("tag", image, uri)
    engine.run_docker("push", uri)
    digests = engine.docker_output("image", "inspect", "--format", '{{join .RepoDigests " "}}', uri).split()
    return Pushed(uri, next(each.partition("@")[2] for each in digests if each.startswith(f"{address}@")))
