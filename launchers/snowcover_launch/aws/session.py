"""The AWS account and region, and its boto3 clients."""

import logging
import os
from functools import cache, cached_property
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ProfileNotFound
from botocore.session import Session

from snowcover_launch.aws.errors import NoCredentials

# AWS throttles from 5 to 16 parallel starts: let each client adapt to the rate it allows. boto3 and the SageMaker SDK
# both read these from the environment, and the SDK from nowhere else.
RETRIES = {"AWS_RETRY_MODE": "adaptive", "AWS_MAX_ATTEMPTS": "10"}


for noisy in ("boto3", "botocore", "numexpr", "sagemaker.config", "urllib3"):
    logging.getLogger(noisy).setLevel(logging.WARNING)


class Account:
    """An AWS account, through the standard AWS credential chain.

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
        """The boto3 client of a service, created once."""
        if service not in self._clients:
            self._clients[service] = self.session.client(service)
        return self._clients[service]

    @cached_property
    def _clients(self) -> dict[str, Any]:
        return {}

    def refresh_credentials(self) -> None:
        """Load credentials again: the user may have signed in since they expired."""
        for name in ("session", "_clients"):
            self.__dict__.pop(name, None)


def region_of_profile(profile: str | None) -> str | None:
    """The region of the environment or the profile."""
    try:
        region: str | None = Session(profile=profile).get_config_variable("region")
    except ProfileNotFound:
        return "unknown"  # the profile does not exist; opening a session says so
    return region


def credentials_environment(profile: str | None) -> dict[str, str]:
    """Environment variables with our credentials, for another process; none if there are no credentials."""
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
    """AWS's own description of a service's requests, from botocore."""
    return Session().get_service_model(service)
