"""The files of a job on this machine, next to files that the user has added or changed in the same folders."""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from snowcover.errors import UserError

RECORD = ".fetched.json"  # in the job's folder: path of each file that was put there -> its SHA-256


class CannotWriteFiles(UserError):
    """The files of a job cannot be written to its folder."""


@contextlib.contextmanager
def new_files(folder: Path) -> Iterator[Path]:
    """A temporary folder for new files, on the same disk as the job's own; removed after the block.

    Raises:
        CannotWriteFiles: the disk is full or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as work:
            yield Path(work)
    except OSError as error:
        if error.errno is None:  # a network error, not one of this disk
            raise
        raise CannotWriteFiles(
            f"The job's files cannot be written to {folder} ({error.strerror}): free space there, or make it writable, "
            "and start the command again."
        ) from error


def put_files(new: Path, folder: Path) -> list[Path]:
    """Move all files below `new` to the same paths below a job's folder, each atomically.

    Other files stay, and so do files that were changed since this put them there.

    Returns:
        The files that stay although the job has other files of their names.
    """
    known = _read_record(folder)
    kept_files = []
    for path in sorted(path for path in new.rglob("*") if path.is_file()):
        name = path.relative_to(new).as_posix()
        target, digest = folder / name, _sha256(path)
        if _is_the_users(target, folder, {digest, known.get(name)}):
            kept_files.append(target)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)
        known[name] = digest
    _write_record(folder, known)
    return kept_files


def _is_the_users(target: Path, folder: Path, ours: set[str | None]) -> bool:
    """Whether something at a file's path was put there by the user."""
    above = target.relative_to(folder).parents
    if any((folder / parent).exists() and not (folder / parent).is_dir() for parent in above):
        return True
    if target.is_file():
        return _sha256(target) not in ours
    return os.path.lexists(target)


def _read_record(folder: Path) -> dict[str, str]:
    try:
        known = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, or damaged: all files that differ count as the user's
        return {}
    return known if isinstance(known, dict) else {}


def _write_record(folder: Path, known: dict[str, str]) -> None:
    part = folder / f"{RECORD}.part"
    part.write_text(json.dumps(known, indent=2), encoding="utf-8")
    os.replace(part, folder / RECORD)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
