"""The places that a command writes to, tried before it reads anything: `out`, and the folder for temporary files."""

import contextlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from snowcover import storage
from snowcover.errors import UserError
from snowcover.storage import local

SCRATCH = "snowcover-prepare-"
LOCK = ".lock"


class Unwritable(UserError):
    """A place cannot be written to."""


def check_out(out: str) -> None:
    """Write something there and remove it again, folders that were not there too.

    Raises: Unwritable
    """
    try:
        _try_remote(out) if "://" in out else _try_folder(Path(out))
    except (OSError, storage.StorageError) as error:
        raise Unwritable(f"out={out} cannot be written to ({_why(error)}): name another place by out=...") from error


def check_scratch() -> None:
    """The same for temporary files; what killed commands have left there is removed.

    Raises: Unwritable
    """
    folder = Path(scratch_place())
    _remove_leftovers(folder)
    try:
        _try_folder(folder)
    except OSError as error:
        raise Unwritable(
            f"The folder for temporary files, {folder}, cannot be written to ({_why(error)}): name another by the "
            "environment variable TMPDIR."
        ) from error


def scratch_place() -> str:
    """Where temporary files go: TMPDIR, which Python would pass over without a word where it is no folder.

    Raises: Unwritable
    """
    named = os.environ.get("TMPDIR")
    if named and not os.path.isdir(named):
        raise Unwritable(f"TMPDIR={named} is no folder: make it, or name another place for temporary files.")
    try:
        return named or tempfile.gettempdir()
    except FileNotFoundError as error:
        raise Unwritable(f"No temporary folder can be written to ({error.strerror}): name one by TMPDIR.") from error


def _why(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _try_remote(out: str) -> None:
    probe = f"{out.rstrip('/')}/.{secrets.token_hex(8)}.tmp"
    storage.write(probe, b"")
    with contextlib.suppress(storage.StorageError):  # the right to write without that to remove is enough
        storage.delete(probe)


def _try_folder(folder: Path) -> None:
    """Raises: OSError"""
    made: list[Path] = []
    try:
        for place in [*reversed(folder.parents), folder]:
            if not place.exists():
                place.mkdir(exist_ok=True)
                made.append(place)
        with tempfile.TemporaryFile(dir=folder):
            pass
    finally:
        for place in reversed(made):
            with contextlib.suppress(OSError):  # a second command has begun to fill it
                place.rmdir()


@contextlib.contextmanager
def scratch_folder() -> Iterator[str]:
    """A folder for the block's temporary files, removed after it."""
    with (
        tempfile.TemporaryDirectory(prefix=SCRATCH, dir=scratch_place()) as folder,
        open(os.path.join(folder, LOCK), "xb") as lock,
    ):
        local.hold(lock)
        yield folder


def _remove_leftovers(place: Path) -> None:
    """Copies of scenes that a killed command has left, which may be large."""
    for folder in place.glob(f"{SCRATCH}*"):
        with contextlib.suppress(OSError):
            is_old = time.time() - folder.stat().st_mtime > local.LEFT_OVER_AFTER_S
            if is_old and folder.stat().st_uid == os.getuid() and not local.is_held(str(folder / LOCK)):
                shutil.rmtree(folder, ignore_errors=True)
