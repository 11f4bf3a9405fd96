"""Where an experiment's artifacts go, and how a file comes there; on this machine without a second copy."""

import contextlib
import logging
import os
import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from snowcover.secrets import masked_uri
from snowcover.tracking.errors import CannotRecord
from snowcover.tracking_uri import sqlite_path

log = logging.getLogger(__name__)

ARTIFACTS = "mlruns"  # next to the database
# What people open and change in a run's folder is copied, or their change would be in MLflow, too; so is MLmodel.
EDITED = {"", ".csv", ".json", ".log", ".txt", ".yaml"}


def place_next_to(uri: str, experiment: str) -> str | None:
    """Where a new experiment of an SQLite store keeps its artifacts: next to the database, whatever folder the first
    run was started in. None where the store decides."""
    path = sqlite_path(uri)
    return str(path.absolute().parent / ARTIFACTS / experiment) if path is not None else None


def local_folder(address: str) -> Path | None:
    """The folder of this machine that an artifact address means; None for any other place."""
    parts = urlsplit(address)
    if len(parts.scheme) > 1 and parts.scheme != "file":
        return None
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else Path(address)


def check_place(uri: str, experiment: str, address: str) -> None:
    """See that artifacts can be kept, and say so where they go elsewhere than next to the database.

    Args:
        address: the experiment's artifact place.

    Raises:
        CannotRecord
    """
    folder = local_folder(address)
    if folder is None:
        return
    if not (folder.is_dir() or folder.parent.is_dir()):
        expected = place_next_to(uri, experiment)
        if expected is None or folder != Path(expected):
            raise _gone(uri, experiment, folder)
    _refuse_read_only(uri, folder)
    database = sqlite_path(uri)
    if database is not None and database.absolute().parent not in folder.parents:
        log.warning(
            "The artifacts of the experiment %s go to %s, where it was created, and not next to %s: "
            "experiment_name=... begins one that keeps them there.",
            experiment, folder, database,
        )  # fmt: skip


def _gone(uri: str, experiment: str, folder: Path) -> CannotRecord:
    shown = masked_uri(uri)
    if sqlite_path(uri) is None:  # the server has no place of its own for artifacts, and names a folder that it sees
        return CannotRecord(
            f"The server at {shown} keeps the artifacts of the experiment {experiment} in its own folder {folder}, "
            "which is not on this machine: start the server with --serve-artifacts and record in a new experiment "
            "(experiment_name=...), or give another store with tracking.uri=..."
        )
    return CannotRecord(
        f"The experiment {experiment} in {shown} keeps its artifacts in {folder}, which is not there any more: was the "
        f"project's folder renamed? Move it back, link {folder.parent} to where its artifacts are now (ln -s), or "
        "record in a new experiment with experiment_name=..."
    )


def _refuse_read_only(uri: str, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CannotRecord(
            f"MLflow cannot record at {masked_uri(uri)}: its artifact folder {folder} cannot be written "
            f"({error.strerror}): make it writable, or record elsewhere with tracking.uri=..."
        ) from error


def keep(path: Path, folder: Path) -> None:
    """A file under its own name in a folder of this machine, whole or not at all: a second name of the same bytes
    where the file system can and nobody edits such files, else a copy."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f".{path.name}.*.part"):
        left.unlink(missing_ok=True)
    part = folder / f".{path.name}.{os.getpid()}.part"
    try:
        if path.suffix in EDITED or not _linked(path, part):
            shutil.copyfile(path, part)
        part.replace(folder / path.name)
    finally:
        part.unlink(missing_ok=True)  # which is there still where both names were the same file's


def keep_all(folder: Path, to: Path) -> None:
    """Every file below a folder, at the same place below another; see `keep`."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            keep(path, to / path.parent.relative_to(folder))


def _linked(path: Path, part: Path) -> bool:
    with contextlib.suppress(OSError):  # another file system, or one without hard links
        os.link(path, part)
        return True
    return False
