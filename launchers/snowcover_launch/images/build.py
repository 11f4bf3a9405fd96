"""What an image is built from, how it is named, and Docker's arguments to build it."""

import platform
import subprocess
import sys
from dataclasses import dataclass

from snowcover import __version__
from snowcover.errors import UserError
from snowcover.provenance import PACKAGE, code_digest, commit
from snowcover_launch.backends.sagemaker.job_names import PROJECT
from snowcover_launch.images import engine

CHECKOUT = PACKAGE.parent
SOURCES = ("pyproject.toml", "README.md", "LICENSE", ".dockerignore", "conf", "snowcover", "container")
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host")
COMMIT_LENGTH, CONTENTS_LENGTH = 12, 8


class NoCheckout(UserError):
    """Images are built from a git checkout, and this is none."""


@dataclass(frozen=True)
class Source:
    """The checkout that images are built from."""

    sha: str
    """of the commit"""
    is_dirty: bool
    """whether files that go into an image were changed since"""
    contents: str
    """digest of these files as they are now"""
    code: str
    """digest of those files that a job runs"""

    @property
    def revision(self) -> str:
        return self.sha + self.dirty_suffix

    def tag(self, variant: str) -> str:
        """Tag of the image of a variant: version, commit (marked if files were changed), variant."""
        return f"{__version__}-{self.sha[:COMMIT_LENGTH]}{self.dirty_suffix}-{variant}"

    def image(self, variant: str) -> str:
        """The image's name on this machine."""
        return f"{PROJECT}:{self.tag(variant)}"

    @property
    def dirty_suffix(self) -> str:
        """Distinguishes images with different uncommitted changes; empty without changes."""
        return f"-dirty-{self.contents[:CONTENTS_LENGTH]}" if self.is_dirty else ""


def read_source() -> Source:
    """The checkout that images are built from, as it is now.

    Raises:
        NoCheckout: the package is not in a git checkout.
    """
    found, contents, code = commit(), code_digest(SOURCES), code_digest()
    if found is None or contents is None or code is None or not (CHECKOUT / "container" / "Dockerfile").is_file():
        raise NoCheckout("Images are built from a git checkout of snowcover, and this is not one: clone it.")
    command = ["git", "-C", str(CHECKOUT), "status", "--porcelain", "--", *SOURCES]
    changed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return Source(found.sha, bool(changed), contents, code)


def build_command(source: Source, variant: str) -> list[str]:
    """Arguments of `docker` that build and tag the image of a variant, for x86-64 on any machine."""
    arguments = {
        "VARIANT": variant,
        "VERSION": __version__,
        "COMMIT": source.revision,
        "CODE": source.code,
    }
    # SageMaker's machines are x86-64.
    foreign = [] if platform.machine().lower() in ("x86_64", "amd64") else ["--platform", "linux/amd64"]
    return [
        "build", *engine.network(), *foreign,
        *(word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")),
        # Without a value: Docker takes it from its environment, so that no process list shows a password.
        *(word for name in pip_settings() for word in ("--build-arg", name)),
        "--tag", source.image(variant), "--file", str(CHECKOUT / "container" / "Dockerfile"), str(CHECKOUT),
    ]  # fmt: skip


def pip_settings() -> dict[str, str]:
    """This machine's package indexes that a build can reach, as PIP_... settings."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found: dict[str, str] = {}
    # Lines such as global.index-url='...'; those of the environment, :env:.index-url='...', override them.
    for line in sorted(output.splitlines(), key=lambda line: line.startswith(":env:")):
        key, _, value = line.partition("=")
        name = key.rpartition(".")[2]
        words = [word for word in value.strip("'").replace("\\n", " ").split() if not word.startswith("file:")]
        if name in PIP_SETTINGS and words:
            found[f"PIP_{name.upper().replace('-', '_')}"] = " ".join(words)
    return found
