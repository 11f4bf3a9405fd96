"""The file of an SQLite store, looked at before MLflow opens it.

MLflow tries for minutes to open a folder, upgrades an old database without asking, and makes its tables in whatever
database it is given.
"""

import contextlib
import os
import sqlite3
import struct
from pathlib import Path

from mlflow.store.db.utils import _get_latest_schema_revision

from snowcover.secrets import masked_uri
from snowcover.tracking.errors import CannotRecord, Cause, schema_cause
from snowcover.tracking_uri import misread, sqlite_path

ELSEWHERE = "or record elsewhere with tracking.uri=..."
MAGIC = b"SQLite format 3\0"


def check_database(uri: str) -> None:
    """Refuse an SQLite address at which MLflow could not keep a run; other stores pass.

    Raises:
        CannotRecord
    """
    if not uri.startswith("sqlite"):
        return
    if misread(uri):
        raise CannotRecord(
            f"tracking.uri={masked_uri(uri)} has % or ? in its path, which an address cannot hold: rename that "
            "folder, or go into it and give tracking.uri=sqlite:///mlflow.db."
        )
    path = sqlite_path(uri)
    if path is None:
        raise CannotRecord(
            f"tracking.uri={uri} is a database in memory, gone when the run ends: give one such as sqlite:///mlflow.db."
        )
    _refuse(uri, _cause(path))


def check_tables(uri: str) -> None:
    """Refuse an SQLite file whose content MLflow could not keep a run in; to be called while no other process makes
    its tables.

    Raises:
        CannotRecord
    """
    path = sqlite_path(uri)
    if path is not None and path.is_file() and path.stat().st_size:
        _refuse(uri, _cause_within(path, uri))


def _refuse(uri: str, cause: Cause | None) -> None:
    if cause is not None:
        raise CannotRecord(f"MLflow cannot record at {masked_uri(uri)} ({cause.reason}): {cause.way_out}")


def _cause(path: Path) -> Cause | None:
    if path.is_dir():
        return Cause(f"{path} is a folder", f"give the path of a file in it, such as {path / 'mlflow.db'}, {ELSEWHERE}")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir():
        return Cause(f"{folder} is no folder", "give a store that can be reached and written with tracking.uri=...")
    for place in (folder, path):
        if place.exists() and not os.access(place, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            what = "the file" if place == path else "the folder, in which SQLite keeps its journal,"
            return Cause(f"{place} cannot be written", f"make {what} writable, {ELSEWHERE}")
    return None


def _cause_within(path: Path, uri: str) -> Cause | None:
    if (reason := _damage(path)) is not None:
        return Cause(f"{path} {reason}", f"put a backup of it in its place, or move it away, {ELSEWHERE}")
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            versions = "alembic_version" in tables and connection.execute("SELECT version_num FROM alembic_version")
            revisions = [version for (version,) in versions or ()]
    except sqlite3.OperationalError:  # locked: who opens it to write waits for that
        return None
    except sqlite3.DatabaseError as error:
        return Cause(f"{path} is damaged: {error}", f"put a backup of it in its place, or move it away, {ELSEWHERE}")
    if tables and not {"alembic_version", "experiments"} <= tables:
        return Cause(f"{path} holds the tables of another program", "give a file of its own with tracking.uri=...")
    if revisions and revisions[0] != _get_latest_schema_revision():  # type: ignore[no-untyped-call]
        return schema_cause(revisions[0], uri)
    return None


def _damage(path: Path) -> str | None:
    """What the first 100 bytes say against the file's size."""
    with path.open("rb") as file:
        header = file.read(100)
    if len(header) < 100 or not header.startswith(MAGIC):
        return "is no SQLite database"
    page_bytes, changes, pages, valid_for = (
        *struct.unpack(">H", header[16:18]),
        *struct.unpack(">II", header[24:32]),
        *struct.unpack(">I", header[92:96]),
    )
    page_bytes = 65536 if page_bytes == 1 else page_bytes
    if changes == valid_for and pages * page_bytes > path.stat().st_size:
        return "is cut short"
    return None
