"""`python -m snowcover.algorithm`: the SageMaker Algorithm that stands for the image."""

import argparse
import hashlib
from typing import Any

from snowcover.errors import UserError
from snowcover_launch.backends.sagemaker.limits import check_limits
from snowcover_launch.backends.sagemaker.machines import instance_types
from snowcover_launch.backends.sagemaker.request import INPUT_CHANNEL, PROJECT, metric_definitions
from snowcover_launch.compose import aws_config
from snowcover_launch.config import AwsConfig


class NoImage(UserError):
    """There is no image to register, or another one is registered."""


def main(arguments: list[str] | None = None) -> None:
    """Raises: UserError."""
    given = _parser().parse_args(arguments)
    from snowcover_launch.aws.session import Account

    aws = aws_config(given.overrides)
    account = Account(aws.region, aws.profile)
    if given.command == "register":
        _register(account, aws, given.name)
    else:
        _show(account, given.name or aws.algorithm_arn or _name(aws, None))


def algorithm_request(name: str, image: str, machines: list[str]) -> dict[str, Any]:
    """CreateAlgorithm's request: one input channel, `config`, as File; the scores of each epoch as metrics."""
    return {
        "AlgorithmName": name,
        "AlgorithmDescription": "Trains snow-mask networks from the one config of its input channel",
        "TrainingSpecification": {
            "TrainingImage": image,
            "SupportedTrainingInstanceTypes": machines,
            "SupportsDistributedTraining": True,
            "MetricDefinitions": metric_definitions(),
            "TrainingChannels": [
                {
                    "Name": INPUT_CHANNEL,
                    "Description": "the composed config, one YAML file",
                    "IsRequired": True,
                    "SupportedContentTypes": ["application/x-yaml"],
                    "SupportedInputModes": ["File"],
                }
            ],
        },
    }


def _register(account: Any, aws: AwsConfig, given: str | None) -> None:
    from snowcover_launch.aws import algorithms as algorithm
    from snowcover_launch.aws.errors import NotFound

    if not aws.image_uri:
        raise NoImage(
            "There is no image to register: set SNOWCOVER_IMAGE_URI, as `python -m snowcover.image push` prints it."
        )
    name = _name(aws, given)
    variant = "kepler" if aws.image_uri.endswith("-kepler") else "current"
    try:
        known = algorithm.describe(account, name)
    except NotFound:
        request = algorithm_request(name, aws.image_uri, instance_types(variant))
        check_limits(request, "CreateAlgorithm")
        algorithm.create(account, request)
    else:
        if known.image != aws.image_uri:
            raise NoImage(f"{name} already exists, with the image {known.image}: leave out --name, or give another.")
    print(_format_algorithm(algorithm.wait_until_completed(account, name)))


def _show(account: Any, name: str) -> None:
    from snowcover_launch.aws import algorithms as algorithm

    print(_format_algorithm(algorithm.describe(account, name)))


def _format_algorithm(state: Any) -> str:
    return (
        f"  algorithm  {state.name} ({state.status})\n  image      {state.image}\n"
        f"  machines   {', '.join(state.instance_types)}\n"
        f"To run jobs from it: unset SNOWCOVER_IMAGE_URI; export SNOWCOVER_ALGORITHM_ARN={state.arn}"
    )


def _name(aws: AwsConfig, given: str | None) -> str:
    """The given name, else one made from the image's address: another image gives another name."""
    return given or f"{PROJECT}-{hashlib.sha256(str(aws.image_uri).encode()).hexdigest()[:12]}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m snowcover.algorithm",
        description="The SageMaker Algorithm of an image: jobs may use it instead of the image.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in (("register", "create it from aws.image_uri and wait until it is ready"), ("show", "show it")):
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument("--name", help="of the algorithm; default: one made from the image's address")
        command.add_argument("overrides", nargs="*", help="keys of the config, for example aws.region=us-west-2")
    return parser
