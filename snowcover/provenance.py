"""Which code this is: the commit of the checkout, or that which an image was made from."""

import hashlib
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parent
CODE = ("pyproject.toml", "snowcover", "container")
"""what a job runs, below the checkout; its config is composed here"""


@dataclass(frozen=True)
class Commit:
    """A commit of this project."""

    sha: str
    dirty: bool
    """files were changed since"""


def commit() -> Commit | None:
    """The checkout's commit, or the image's; None where the package was installed otherwise, or there is no git."""
    try:
        _refuse_others_checkout()
        return Commit(_git("rev-parse", "HEAD"), bool(_git("status", "--porcelain", "--untracked-files=no")))
    except (OSError, subprocess.SubprocessError):
        given = os.environ.get("SNOWCOVER_COMMIT")  # of container/Dockerfile
        sha, mark, _ = (given or "").partition("-dirty")
        return Commit(sha, bool(mark)) if given else None


def code_digest(names: Sequence[str] = CODE) -> str | None:
    """SHA-256 of the checkout's files of these names as they are now, committed or not; None where there is none.

    Equal in every checkout of the same files, whatever else was committed or changed.
    """
    try:
        _refuse_others_checkout()
        listed = _git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *names, place=_root())
    except (OSError, subprocess.SubprocessError):
        return None
    digest = hashlib.sha256()
    for name in sorted(set(listed.split("\0")) - {""}):
        path = _root() / name
        if path.is_file():  # else it was deleted without git
            content = path.read_bytes().replace(b"\r\n", b"\n")  # as git may check files out elsewhere
            digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _refuse_others_checkout() -> None:
    """Raises: CalledProcessError: some other project's checkout surrounds the package, or none."""
    _git("ls-files", "--error-unmatch", "__init__.py")


def _root() -> Path:
    return PACKAGE.parent


def _git(*words: str, place: Path | None = None) -> str:
    return subprocess.run(
        ["git", "-C", str(place or PACKAGE), *words], capture_output=True, text=True, check=True, timeout=10
    ).stdout.strip()
