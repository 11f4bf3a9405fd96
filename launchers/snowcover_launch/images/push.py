"""Images brought to ECR."""

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
    """Bring images of this machine to the project's ECR repository, which is made if need be.

    Args:
        images: by their tags there.
        overrides: of the config's `aws`, as key=value.

    Raises:
        AwsError, MissingAccount, DockerFailed
    """
    from snowcover_launch.aws import registry
    from snowcover_launch.aws.session import Account, region_of_profile

    aws = aws_config(list(overrides))
    if not (aws.region or region_of_profile(aws.profile)):
        raise MissingAccount("The image's repository is in a region: set AWS_REGION.")
    account = Account(aws.region, aws.profile)
    address, is_new = registry.repository(account, PROJECT, aws.kms_key)
    if is_new:
        print(f"  made the repository {address}")
    login = registry.login(account)
    # By standard input: a command line can be read by everybody on this machine.
    engine.asked("login", "--username", login.user, "--password-stdin", login.registry, given=login.token)
    try:
        return [_pushed(account, address, tag, image) for tag, image in images.items()]
    finally:
        engine.asked("logout", login.registry)  # the token is good for hours yet


def _pushed(account: Any, address: str, tag: str, image: str) -> Pushed:
    from snowcover_launch.aws import registry

    uri = f"{address}:{tag}"
    if known := registry.pushed_digest(account, PROJECT, tag):  # and may not be overwritten
        print(f"  {uri} is there already")
        return Pushed(uri, known)
    engine.asked("tag", image, uri)
    engine.shown("push", uri)
    digests = engine.asked("image", "inspect", "--format", '{{join .RepoDigests " "}}', uri).split()
    return Pushed(uri, next(each.partition("@")[2] for each in digests if each.startswith(f"{address}@")))
