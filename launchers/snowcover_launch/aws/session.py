"""Who we are at AWS, and in which region."""

import logging
import os
from functools import cached_property
from typing import Any

import boto3
from botocore.exceptions import ProfileNotFound

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
