"""Which code this is: the commit of the checkout, or that which an image was made from."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parent


@dataclass(frozen=True)
class Commit:
    """A commit of this project."""

    sha: str
    dirty: bool
    """files were changed since"""


def commit() -> Commit | None:
    """The checkout's commit, or the image's; None where the package was installed otherwise, or there is no git."""
    try:
        _git("ls-files", "--error-unmatch", "__init__.py")  # else some other project's checkout surrounds it
        return Commit(_git("rev-parse", "HEAD"), bool(_git("status", "--porcelain", "--untracked-files=no")))
    except (OSError, subprocess.SubprocessError):
        told = os.environ.get("SNOWCOVER_COMMIT")  # of container/Dockerfile
        return Commit(told.removesuffix("-dirty"), told.endswith("-dirty")) if told else None


def _git(*words: str) -> str:
    return subprocess.run(
        ["git", "-C", str(PACKAGE), *words], capture_output=True, text=True, check=True, timeout=10
    ).stdout.strip()
