"""What an image is made of, how it is named, and the arguments that Docker makes it with."""

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
    """An image is made from a checkout, and there is none."""


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
        """Tag of the image of a variant: version, commit (marked if files were changed), variant."""
        return f"{__version__}-{self.sha[:COMMIT_LENGTH]}{self.mark}-{variant}"

    def image(self, variant: str) -> str:
        """The image's name on this machine."""
        return f"{PROJECT}:{self.tag(variant)}"

    @property
    def mark(self) -> str:
        """Other changes are another image, and have another name."""
        return f"-dirty-{self.contents[:CONTENTS_LENGTH]}" if self.is_dirty else ""


def read_source() -> Source:
    """The checkout that images are made from, as it is now.

    Raises:
        NoCheckout: the package is not in a git checkout.
    """
    found, contents, code = commit(), code_digest(SOURCES), code_digest()
    if found is None or contents is None or code is None or not (CHECKOUT / "container" / "Dockerfile").is_file():
        raise NoCheckout("Images are made from a git checkout of snowcover, and this is none: clone it.")
    command = ["git", "-C", str(CHECKOUT), "status", "--porcelain", "--", *SOURCES]
    changed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return Source(found.sha, bool(changed), contents, code)


def build_command(source: Source, variant: str) -> list[str]:
    """Arguments of `docker` that build and tag the image of a variant, for x86-64 whatever this machine is."""
    arguments = {
        "VARIANT": variant,
        "VERSION": __version__,
        "COMMIT": source.revision,
        "CODE": source.code,
    }
    # SageMaker's machines are of this kind, whatever this one is.
    foreign = [] if platform.machine().lower() in ("x86_64", "amd64") else ["--platform", "linux/amd64"]
    return [
        "build", *engine.network(), *foreign,
        *(word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")),
        # Without a value: Docker takes it from its environment, where no list of processes shows a password in it.
        *(word for name in pip_settings() for word in ("--build-arg", name)),
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
