"""The launcher's keys: their types, ranges and meaning."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from snowcover.checking import Section
from snowcover.config import Config, Texts
from snowcover.paths import Place

SECRET = re.compile(r"(?i)secret|token|passw|credential|access_key|api_?key")


class LaunchConfig(Section):
    """How jobs are sent and followed."""

    dry_run: bool
    """print each request and config, and send nothing"""
    wait: bool
    """wait for the jobs and bring their results home; false: start them and leave"""
    reuse: bool
    """take the result of a job of the same config that is complete, attach to one that runs"""
    max_parallel: Annotated[int, Field(ge=1)] | None
    """jobs that run at a time on rented machines; null: all"""
    max_cost_usd: Annotated[float, Field(gt=0)] | None
    """refuse to start jobs that together may cost more; null: no limit"""
    on_interrupt: Literal["stop", "detach"] | None
    """what Ctrl-C does with running jobs: stop them, or detach and leave them; null: ask"""
    on_failure: Literal["raise", "continue"]
    """raise: the command fails if a job did, after all have ended; continue: it goes on without that job"""
    prices: Place | None
    """path of a price table of your own, in the form of prices.yaml"""


class AwsConfig(Section):
    """The AWS account. What AWS itself refuses about these values is checked on the whole request."""

    region: str | None
    """AWS region, for example us-west-2; set AWS_REGION"""
    profile: str | None
    """profile of ~/.aws/config; null: the default chain of credentials"""
    role_arn: str | None
    """ARN of the role that jobs run as (an output of container/account.yaml); set SNOWCOVER_ROLE_ARN"""
    bucket: str | None
    """bucket for configs and results, in the same region; set SNOWCOVER_BUCKET"""
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$")]
    """folder of this project in the bucket"""
    image_uri: str | None
    """image in ECR, as `python -m snowcover.image push` prints it; set SNOWCOVER_IMAGE_URI"""
    algorithm_arn: str | None
    """SageMaker Algorithm in place of the image, as `python -m snowcover.algorithm register` prints it"""
    subnets: list[str]
    """subnets of a VPC to run in; with security_group_ids"""
    security_group_ids: list[str]
    """security groups of that VPC"""
    kms_key: str | None
    """KMS key that encrypts the job's disk and output; null: the account's default"""
    tags: Texts
    """your own tags on every job, for example {project: snow, owner: ana}"""
    environment: Texts
    """environment variables of the job; whoever may look at the job can read them"""

    @field_validator("environment")
    @classmethod
    def _holds_no_secret(cls, environment: dict[str, str]) -> dict[str, str]:
        for name in environment:
            if SECRET.search(name):
                raise ValueError(
                    f"{name} looks like a secret, which everybody who may see the job could read: give the job's role "
                    "the right instead"
                )
        return environment


class JobConfig(Config):
    """A training config with what says how it is launched."""

    aws: AwsConfig
    launch: LaunchConfig
