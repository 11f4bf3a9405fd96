"""The launcher's keys: their types, ranges and meaning."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from snowcover.config import Config, Texts
from snowcover.nested import flat
from snowcover.paths import Place
from snowcover.secrets import is_secret_value, masked, masked_values
from snowcover.tracking_uri import real
from snowcover.validation import Section

OWN_TAGS = "snowcover:"  # prefix of our own tags on a job in AWS; all others are the user's
SWEEP_TAG = f"{OWN_TAGS}sweep"  # identifies a job that already exists as our own


class LaunchConfig(Section):
    """How jobs are started and watched."""

    dry_run: bool
    """print each request and config; send nothing"""
    wait: bool
    """wait for the jobs and import their results; false: start them and return"""
    reuse: bool
    """use the result of an identical job that is complete, attach to one that runs, resume one that stopped"""
    max_parallel: Annotated[int, Field(ge=1)] | None
    """jobs that run at a time on cloud instances; null: all"""
    max_cost_usd: Annotated[float, Field(gt=0)] | None
    """refuse to start jobs if the whole sweep may cost more; null: no limit"""
    on_interrupt: Literal["stop", "detach"] | None
    """what Ctrl-C does with running jobs: stop them, or detach and leave them; null: ask"""
    on_failure: Literal["raise", "continue"]
    """raise: the command fails if a job did, after all have ended; continue: a failed job does not fail the command"""
    prices: Place | None
    """path of your own price table, in the form of prices.yaml"""


class AwsConfig(Section):
    """The AWS account. AWS's own limits on these values are checked on the whole request."""

    region: str | None
    """AWS region, for example us-west-2; set AWS_REGION"""
    profile: str | None
    """profile of ~/.aws/config; null: the standard AWS credential chain"""
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
    """security groups of that VPC; if several instances train one run, they must allow UDP 500 and IP protocol 50 (ESP)
    between the instances, which encrypt their traffic"""
    kms_key: str | None
    """KMS key that encrypts the job's disk and output; null: the account's default"""
    tags: Texts
    """your own tags on every job, for example {project: snow, owner: ana}; ours begin with snowcover:"""
    environment: Texts
    """environment variables of the job; everybody who may see the job can read them"""

    @field_validator("environment", "tags")
    @classmethod
    def _holds_no_secret(cls, given: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        for name, value in given.items():
            if is_secret_value(name, value):
                raise ValueError(
                    f"{masked(name)} looks like a secret, which everybody who may see the job could read: grant the "
                    "job's role access instead" + (", or another name" if info.field_name == "environment" else "")
                )
        return given

    @field_validator("tags")
    @classmethod
    def _has_no_name_of_ours(cls, tags: dict[str, str]) -> dict[str, str]:
        if ours := [name for name in tags if name.startswith(OWN_TAGS)]:
            raise ValueError(f"tags that begin with {OWN_TAGS} are reserved: give {ours[0]} another name")
        return tags


class JobConfig(Config):
    """A training config with the keys that say how it is launched."""

    aws: AwsConfig
    launch: LaunchConfig

    @model_validator(mode="after")
    def _sends_no_secret(self) -> "JobConfig":
        """Everybody who may see a job elsewhere can read its config, in S3 or in a folder."""
        if self.hw.backend == "local":
            return self
        if real(self.tracking.uri) != self.tracking.uri:
            raise ValueError(
                "tracking.uri holds a password, which everybody who may see the job could read: use a server that "
                "admits the job by its network or its role (tracking=sagemaker_mlflow), or tracking=local"
            )
        values = self.model_dump(exclude={"aws", "launch"})
        shown = dict(flat(masked_values(values)))
        if keys := [key for key, value in flat(values) if shown[key] != value]:
            raise ValueError(
                f"{keys[0]} holds a secret, which everybody who may see the job could read: grant the job's role "
                "access instead"
            )
        return self
