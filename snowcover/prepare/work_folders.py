"""The folders that a command writes to, tested before it reads anything: `out`, and that for temporary files."""

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
    """A folder cannot be written to."""


def check_out(out: str) -> None:
    """Write a probe to `out` and remove it, with the folders created for it.

    Raises: Unwritable
    """
    try:
        _try_remote(out) if "://" in out else _try_folder(Path(out))
    except (OSError, storage.StorageError) as error:
        raise Unwritable(f"out={out} cannot be written to ({_reason(error)}): choose another out=...") from error


def check_scratch() -> None:
    """The same for the temporary folder; leftovers of killed commands are removed.

    Raises: Unwritable
    """
    folder = Path(temporary_root())
    _remove_leftovers(folder)
    try:
        _try_folder(folder)
    except OSError as error:
        raise Unwritable(
            f"The folder for temporary files, {folder}, cannot be written to ({_reason(error)}): set another with the "
            "environment variable TMPDIR."
        ) from error


def temporary_root() -> str:
    """The folder for temporary files: TMPDIR, which Python would silently ignore if it is not a folder.

    Raises: Unwritable
    """
    named = os.environ.get("TMPDIR")
    if named and not os.path.isdir(named):
        raise Unwritable(f"TMPDIR={named} is not a folder: create it, or set another folder for temporary files.")
    try:
        return named or tempfile.gettempdir()
    except FileNotFoundError as error:
        raise Unwritable(f"No temporary folder can be written to ({error.strerror}): set one with TMPDIR.") from error


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _try_remote(out: str) -> None:
    probe = f"{out.rstrip('/')}/.{secrets.token_hex(8)}.tmp"
    storage.write(probe, b"")
    with contextlib.suppress(storage.StorageError):  # permission to write without permission to delete is enough
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
            with contextlib.suppress(OSError):  # a second command has started to fill it
                place.rmdir()


@contextlib.contextmanager
def scratch_folder() -> Iterator[str]:
    """A temporary folder that is removed at the end of the block."""
    with (
        tempfile.TemporaryDirectory(prefix=SCRATCH, dir=temporary_root()) as folder,
        open(os.path.join(folder, LOCK), "xb") as lock,
    ):
        local.hold(lock)
        yield folder


def _remove_leftovers(place: Path) -> None:
    """Remove copies of scenes that a killed command left behind, which may be large."""
    for folder in place.glob(f"{SCRATCH}*"):
        with contextlib.suppress(OSError):
            is_old = time.time() - folder.stat().st_mtime > local.LEFT_OVER_AFTER_S
            if is_old and folder.stat().st_uid == os.getuid() and not local.is_held(str(folder / LOCK)):
                shutil.rmtree(folder, ignore_errors=True)
