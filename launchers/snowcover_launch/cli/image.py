"""`python -m snowcover.image`: builds the image that SageMaker starts, tries it, pushes it."""

import argparse
import json
import logging
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from snowcover import __version__
from snowcover.checkout import PACKAGE, code_digest, commit
from snowcover.errors import UserError
from snowcover.terminal import log_to_terminal
from snowcover_launch.backends.sagemaker.request import PROJECT
from snowcover_launch.images import engine
from snowcover_launch.images.variants import VARIANTS

CHECKOUT = PACKAGE.parent
SOURCES = ("pyproject.toml", "README.md", "LICENSE", ".dockerignore", "conf", "snowcover", "container")
RECORD = Path("outputs/images.json")
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host")
COMMIT_LENGTH, CONTENTS_LENGTH = 12, 8

log = logging.getLogger(__name__)


class NoCheckout(UserError):
    """An image is made from a checkout, and there is none."""


class Dirty(UserError):
    """What would be pushed is not what the commit holds."""


@dataclass(frozen=True)
class Source:
    """What images are made from."""

    sha: str
    """of the commit"""
    is_dirty: bool
    """files that an image is made of were changed since"""
    contents: str
    """digest of these files as they are now"""
    code: str
    """digest of those among them that a job runs"""

    @property
    def revision(self) -> str:
        return self.sha + self.mark

    def tag(self, variant: str) -> str:
        return f"{__version__}-{self.sha[:COMMIT_LENGTH]}{self.mark}-{variant}"

    def image(self, variant: str) -> str:
        """The image's name on this machine."""
        return f"{PROJECT}:{self.tag(variant)}"

    @property
    def mark(self) -> str:
        """Other changes are another image, and have another name."""
        return f"-dirty-{self.contents[:CONTENTS_LENGTH]}" if self.is_dirty else ""


def main(arguments: list[str] | None = None) -> None:
    """Raises: UserError."""
    log_to_terminal()
    given = _parser().parse_args(arguments)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] # in order with what Docker shows
    source = _source()
    engine.refuse_without_engine()
    run: Callable[[Source, Sequence[str], argparse.Namespace], None] = given.run
    run(source, [given.variant] if given.variant else list(VARIANTS), given)


def _build(source: Source, variants: Sequence[str], given: argparse.Namespace) -> None:
    os.environ.setdefault("BUILDX_NO_DEFAULT_ATTESTATIONS", "1")  # SageMaker takes an image and no index of images
    for variant in variants:
        started = time.monotonic()
        engine.shown(*_build_command(source, variant))
        size_gb = int(engine.asked("image", "inspect", "--format", "{{.Size}}", source.image(variant))) / 1e9
        print(f"  {source.image(variant)}  {size_gb:.2f} GB, {time.monotonic() - started:.0f} s")
    print("Try it with `python -m snowcover.image try`, or with hw=docker.")


def _build_command(source: Source, variant: str) -> list[str]:
    arguments = {
        "VARIANT": variant,
        "VERSION": __version__,
        "COMMIT": source.revision,
        "CODE": source.code,
        **pip_settings(),
    }
    # SageMaker's machines are of this kind, whatever this one is.
    foreign = [] if platform.machine().lower() in ("x86_64", "amd64") else ["--platform", "linux/amd64"]
    return [
        "build", *engine.network(), *foreign,
        *(word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")),
        "--tag", source.image(variant), "--file", str(CHECKOUT / "container" / "Dockerfile"), str(CHECKOUT),
    ]  # fmt: skip


def pip_settings() -> dict[str, str]:
    """Where this machine's pip finds packages, as far as a build can go there, as PIP_... settings."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found: dict[str, str] = {}
    # Lines such as global.index-url='...'; what the environment says, as :env:.index-url='...', comes before that.
    for line in sorted(told.splitlines(), key=lambda line: line.startswith(":env:")):
        key, _, value = line.partition("=")
        name = key.rpartition(".")[2]
        words = [word for word in value.strip("'").replace("\\n", " ").split() if not word.startswith("file:")]
        if name in PIP_SETTINGS and words:
            found[f"PIP_{name.upper().replace('-', '_')}"] = " ".join(words)
    return found


def _try(source: Source, variants: Sequence[str], given: argparse.Namespace) -> None:
    from snowcover_launch.images.check import tried

    for variant in variants:
        print(
            f"  {source.image(variant)}",
            *tried(_built(source, variant), source.revision, source.code, variant),
            sep="\n    ",
        )


def _push(source: Source, variants: Sequence[str], given: argparse.Namespace) -> None:
    from snowcover_launch.images.push import push

    if source.is_dirty and not given.force:
        raise Dirty(
            f"Files that the image is made of were changed since {source.sha[:COMMIT_LENGTH]}: commit them "
            f"and build again, or push with --force, as `{source.mark}`."
        )
    images = {source.tag(variant): _built(source, variant) for variant in variants}
    pushed = push(images, given.overrides)
    known = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    RECORD.write_text(json.dumps(known | {image.uri: image.digest for image in pushed}, indent=2))
    for image in pushed:
        print(f"  {image.uri}  {image.digest}")
    print(f"export SNOWCOVER_IMAGE_URI={pushed[0].uri}")


def _built(source: Source, variant: str) -> str:
    image = source.image(variant)
    if not engine.asked("image", "ls", "--quiet", image).strip():
        raise engine.NoDocker(f"There is no image {image} here: `python -m snowcover.image build` makes it.")
    return image


def _source() -> Source:
    found, contents, code = commit(), code_digest(SOURCES), code_digest()
    if found is None or contents is None or code is None or not (CHECKOUT / "container" / "Dockerfile").is_file():
        raise NoCheckout("Images are made from a git checkout of snowcover, and this is none: clone it.")
    command = ["git", "-C", str(CHECKOUT), "status", "--porcelain", "--", *SOURCES]
    changed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return Source(found.sha, bool(changed), contents, code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m snowcover.image",
        description="The image that SageMaker starts, in two variants: current, and kepler for hw=p2.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, run, what in (
        ("build", _build, "build it from this checkout, named after version, commit and variant"),
        ("try", _try, "look at what it holds, and train a little in it without any network"),
        ("push", _push, "bring it to ECR, where SageMaker takes it from"),
    ):
        command = commands.add_parser(name, help=what, description=what)
        command.set_defaults(run=run)
        command.add_argument("--variant", choices=VARIANTS, help="by default both")
    command.add_argument("--force", action="store_true", help="push although files were changed since the commit")
    command.add_argument("overrides", nargs="*", help="keys of the config, for example aws.region=us-west-2")
    return parser
