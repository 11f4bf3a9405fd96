"""Images brought to ECR."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra_plugins.snowcover_launcher import _engine
from hydra_plugins.snowcover_launcher._algorithm import aws_config
from hydra_plugins.snowcover_launcher._plan import MissingAccount, region_of_profile
from hydra_plugins.snowcover_launcher._request import PROJECT


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
    from hydra_plugins.snowcover_launcher._aws import _registry as registry
    from hydra_plugins.snowcover_launcher._aws._session import Account

    aws = aws_config(list(overrides))
    if not (aws.region or region_of_profile(aws.profile)):
        raise MissingAccount("The image's repository is in a region: set AWS_REGION.")
    account = Account(aws.region, aws.profile)
    address, is_new = registry.repository(account, PROJECT, aws.kms_key)
    if is_new:
        print(f"  made the repository {address}")
    login = registry.login(account)
    # By standard input: a command line can be read by everybody on this machine.
    _engine.asked("login", "--username", login.user, "--password-stdin", login.registry, given=login.token)
    try:
        return [_pushed(account, address, tag, image) for tag, image in images.items()]
    finally:
        _engine.asked("logout", login.registry)  # the token is good for hours yet


def _pushed(account: Any, address: str, tag: str, image: str) -> Pushed:
    from hydra_plugins.snowcover_launcher._aws import _registry as registry

    uri = f"{address}:{tag}"
    if known := registry.pushed_digest(account, PROJECT, tag):  # and may not be overwritten
        print(f"  {uri} is there already")
        return Pushed(uri, known)
    _engine.asked("tag", image, uri)
    _engine.shown("push", uri)
    digests = _engine.asked("image", "inspect", "--format", '{{join .RepoDigests " "}}', uri).split()
    return Pushed(uri, next(each.partition("@")[2] for each in digests if each.startswith(f"{address}@")))
