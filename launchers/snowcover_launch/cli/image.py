"""`python -m snowcover.image`: builds the image that SageMaker starts, tests it, pushes it."""

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from snowcover.errors import UserError
from snowcover.terminal import log_to_terminal
from snowcover_launch.images import engine
from snowcover_launch.images.build import COMMIT_LENGTH, Source, build_command, pip_settings, read_source
from snowcover_launch.images.variants import VARIANTS

RECORD = Path("outputs/images.json")

log = logging.getLogger(__name__)


class UncommittedChanges(UserError):
    """The image would not match its commit."""


def main(arguments: list[str] | None = None) -> None:
    """Raises: UserError."""
    log_to_terminal()
    given = _parser().parse_args(arguments)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] # in order with Docker's output
    source = read_source()
    engine.refuse_without_engine()
    run: Callable[[Source, Sequence[str], argparse.Namespace], None] = given.run
    run(source, [given.variant] if given.variant else list(VARIANTS), given)


def _build(source: Source, variants: Sequence[str], given: argparse.Namespace) -> None:
    os.environ.setdefault("BUILDX_NO_DEFAULT_ATTESTATIONS", "1")  # SageMaker does not accept an image index
    for variant in variants:
        started = time.monotonic()
        engine.run_docker(*build_command(source, variant), environment=pip_settings() | engine.builder())
        size_gb = int(engine.docker_output("image", "inspect", "--format", "{{.Size}}", source.image(variant))) / 1e9
        print(f"  {source.image(variant)}  {size_gb:.2f} GB, {time.monotonic() - started:.0f} s")
    print("Try it with `python -m snowcover.image try`, or with hw=docker.")


def _try(source: Source, variants: Sequence[str], given: argparse.Namespace) -> None:
    from snowcover_launch.images.check import try_image

    for variant in variants:
        print(
            f"  {source.image(variant)}",
            *try_image(_local_image(source, variant), source.revision, source.code, variant),
            sep="\n    ",
        )


def _push(source: Source, variants: Sequence[str], given: argparse.Namespace) -> None:
    from snowcover_launch.images.push import push

    if source.is_dirty and not given.force:
        raise UncommittedChanges(
            f"Files in the image were changed since {source.sha[:COMMIT_LENGTH]}: commit them "
            f"and build again, or push with --force, as `{source.dirty_suffix}`."
        )
    images = {source.tag(variant): _local_image(source, variant) for variant in variants}
    pushed = push(images, given.overrides)
    known = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    RECORD.write_text(json.dumps(known | {image.uri: image.digest for image in pushed}, indent=2))
    for image in pushed:
        print(f"  {image.uri}  {image.digest}")
    print(f"export SNOWCOVER_IMAGE_URI={pushed[0].uri}")


def _local_image(source: Source, variant: str) -> str:
    image = source.image(variant)
    if not engine.docker_output("image", "ls", "--quiet", image).strip():
        raise engine.NoDocker(f"There is no image {image} here: build it with `python -m snowcover.image build`.")
    return image


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m snowcover.image",
        description="The image that SageMaker starts, in two variants: current, and kepler for hw=p2.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, run, what in (
        ("build", _build, "build it from this checkout, named after version, commit and variant"),
        ("try", _try, "check its contents, and train a little in it without network access"),
        ("push", _push, "push it to ECR, from where SageMaker pulls it"),
    ):
        command = commands.add_parser(name, help=what, description=what)
        command.set_defaults(run=run)
        command.add_argument("--variant", choices=VARIANTS, help="default: both")
    command.add_argument("--force", action="store_true", help="push although files were changed since the commit")
    command.add_argument("overrides", nargs="*", help="keys of the config, for example aws.region=us-west-2")
    return parser
