"""Who we are at AWS, and in which region."""

import logging
import os
from functools import cache, cached_property
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ProfileNotFound
from botocore.session import Session

from snowcover_launch.aws.errors import NoCredentials

# Throttling begins at 5 to 16 parallel starts: let each client learn the rate that AWS allows. boto3 and the SageMaker
# SDK both take these from the environment, and the SDK from nowhere else.
RETRIES = {"AWS_RETRY_MODE": "adaptive", "AWS_MAX_ATTEMPTS": "10"}


for chatty in ("boto3", "botocore", "numexpr", "sagemaker.config", "urllib3"):
    logging.getLogger(chatty).setLevel(logging.WARNING)


class Account:
    """An AWS account, entered by the ordinary chain of credentials.

    Raises:
        NoCredentials: there is no such profile.
    """

    def __init__(self, region: str | None, profile: str | None) -> None:
        self._asked_region, self.profile = region, profile

    @cached_property
    def session(self) -> boto3.Session:
        for name, value in RETRIES.items():
            os.environ.setdefault(name, value)
        try:
            return boto3.Session(profile_name=self.profile, region_name=self._asked_region)
        except ProfileNotFound as error:
            raise NoCredentials(
                f"aws.profile={self.profile}: ~/.aws/config has no such profile; `aws configure list-profiles` lists "
                "them, AWS_PROFILE or aws.profile chooses one."
            ) from error

    @property
    def region(self) -> str:
        region: str = self.session.region_name
        return region

    def client(self, service: str) -> Any:
        """boto3's client, one for each service."""
        if service not in self._clients:
            self._clients[service] = self.session.client(service)
        return self._clients[service]

    @cached_property
    def _clients(self) -> dict[str, Any]:
        return {}

    def refresh_credentials(self) -> None:
        """Look for credentials again: the user may have signed in since the last ones expired."""
        for name in ("session", "_clients"):
            self.__dict__.pop(name, None)


def region_of_profile(profile: str | None) -> str | None:
    """The region that the environment or the profile names."""
    try:
        region: str | None = Session(profile=profile).get_config_variable("region")
    except ProfileNotFound:
        return "unknown"  # the profile itself is what is wrong; entering AWS says so
    return region


def credentials_settings(profile: str | None) -> dict[str, str]:
    """Environment variables that let another process enter AWS as we do; none where nobody is signed in."""
    try:
        credentials = Session(profile=profile).get_credentials()
    except BotoCoreError:
        return {}
    if credentials is None:
        return {}
    frozen = credentials.get_frozen_credentials()
    keys = {
        "AWS_ACCESS_KEY_ID": frozen.access_key,
        "AWS_SECRET_ACCESS_KEY": frozen.secret_key,
        "AWS_SESSION_TOKEN": frozen.token,
    }
    return {name: value for name, value in keys.items() if value}


@cache
def service_model(service: str) -> Any:
    """AWS's own description of what it takes, as botocore has it."""
    return Session().get_service_model(service)
