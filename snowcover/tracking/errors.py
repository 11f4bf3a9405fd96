"""Why a store could not be written, by the errors of MLflow, SQLAlchemy, requests and boto; and what helps."""

import errno
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlflow.store.db import utils

from snowcover.errors import UserError, first_line
from snowcover.secrets import masked, masked_uri, secrets_in

SETTING = "tracking.uri=..."
ANOTHER = f"give a store that can be reached and written with {SETTING}"
RESUME = "then resume with checkpoint.resume=auto"
# What is found anywhere in an error or those that led to it -> what to do; the first that fits counts.
ADVICE = {
    r"database (table )?is locked|database is busy": (
        "end what keeps the database locked (a database browser, a backup, another program), "
        f"{RESUME}, or record elsewhere with tracking.uri=..."
    ),
    r"readonly database|read-only file system": (
        "make the database and its folder writable, or record elsewhere with tracking.uri=..."
    ),
    r"disk is full|No space left on device|Disk quota exceeded": f"free some space, {RESUME}",
    r"file is not a database|disk image is malformed|disk I/O error": (
        "put a backup of the database in its place, or move it away, and a new one is made"
    ),
    r"[Tt]ag name|[Pp]arameter name|[Mm]etric name|Names may only contain": (
        "give it a name of letters, digits, spaces and _ - . : /, of at most 250 characters"
    ),
    r"\b401\b|Unauthorized|not authenticated": (
        "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, to those of an account "
        "of that server"
    ),
    r"NoCredentials|Unable to locate credentials|ExpiredToken|InvalidAccessKeyId|SignatureDoesNotMatch": (
        "log in to AWS as somebody who may use that server, or give a store that can be reached and written with "
        "tracking.uri=..."
    ),
    r"\b403\b|PERMISSION_DENIED|Permission denied|AccessDenied|Forbidden": (
        "ask for the right to write there, or record elsewhere with tracking.uri=..."
    ),
    r"NoSuchBucket": "the place of the experiment's artifacts is gone: make it again, or give another experiment_name",
    r"\b413\b|Request Entity Too Large": "the server, or a proxy before it, takes no file as large: raise its limit",
    r"\b429\b|RESOURCE_EXHAUSTED|RESOURCE_LIMIT_EXCEEDED|QUOTA": (
        f"delete runs that are not needed, or ask for more room, {RESUME}"
    ),
}
# Where MLflow says a page about it
REASONS = {
    r"filesystem tracking backend": "MLflow keeps no runs in plain folders any more",
    r"unsupported URI|Unity Catalog tracking URI": "MLflow knows no such kind of store",
}
LOCKED = re.compile(r"database (table )?is locked|database is busy|LockTimeout|lock .* could not be acquired", re.I)
PASSING = re.compile(
    r"Max retries exceeded|Connection (aborted|refused|reset|to .* timed out)|Read timed out|RemoteDisconnected"
    r"|TEMPORARILY_UNAVAILABLE|failed with error code (429|5\d\d)|too many (429|5\d\d) error"
    r"|could not connect to server",
    re.I,
)
SCHEMA = re.compile(r"out-of-date database schema \(found version (\w+), but expected (\w+)\)")
UNKNOWN_SCHEMA = re.compile(r"Can't locate revision identified by '(\w+)'")
DELETED_RUN = re.compile(r"[Rr]un (?:with ID )?(\w{32})\b.*(?:in the deleted state|Current state is deleted)", re.S)
NO_RUN = re.compile(r"Run (?:with id=|')(\w{32})'? not found")


class CannotRecord(UserError):
    """MLflow cannot be reached or written."""


@dataclass(frozen=True)
class Cause:
    """Why a store failed."""

    reason: str
    way_out: str


def cannot_record(error: BaseException, uri: str) -> CannotRecord:
    """The one message for whatever went wrong with a store."""
    cause = _cause(error, uri)
    # SQLAlchemy and requests repeat the address, whole or in parts.
    reason = masked(cause.reason, secrets_in(uri))
    return CannotRecord(f"MLflow cannot record at {masked_uri(uri)} ({reason}): {cause.way_out}")


def is_locked(error: BaseException) -> bool:
    """Whether another program only keeps the database for itself for now."""
    return bool(LOCKED.search(_text(error)))


def passes(error: BaseException) -> bool:
    """Whether the same call may succeed in a while: the database is locked, or the server is unreachable."""
    return is_locked(error) or bool(PASSING.search(_text(error)))


def is_newer(revision: str) -> bool:
    """Whether a database's schema is of a newer MLflow than this one: it does not know its revision."""
    from alembic.script import ScriptDirectory

    folder = Path(utils.__file__).parent.parent / "db_migrations"
    return revision not in {script.revision for script in ScriptDirectory(str(folder)).walk_revisions()}


def schema_cause(revision: str, uri: str) -> Cause:
    """What to do about a database whose schema is not this MLflow's."""
    if is_newer(revision):
        return Cause(
            "a newer MLflow made its tables", "install that version here, or record elsewhere with tracking.uri=..."
        )
    shown = shlex.quote(masked_uri(uri))
    return Cause(
        "an older MLflow made its tables",
        f"copy it somewhere safe, then run `mlflow db upgrade {shown}`, or record elsewhere with tracking.uri=...",
    )


def _cause(error: BaseException, uri: str) -> Cause:
    text = _text(error)
    if found := SCHEMA.search(text) or UNKNOWN_SCHEMA.search(text):
        return schema_cause(found[1], uri)
    if found := DELETED_RUN.search(text):
        shown = shlex.quote(masked_uri(uri))
        return Cause(
            f"the run {found[1]} was deleted",
            f"`MLFLOW_TRACKING_URI={shown} mlflow runs restore --run-id {found[1]}` brings it back, {RESUME}",
        )
    if found := NO_RUN.search(text):
        return Cause(
            f"it has no run {found[1]}",
            "give the store that holds it with tracking.uri=..., or start a new run from the checkpoint's weights with "
            "checkpoint.init_from=...",
        )
    if isinstance(error, ModuleNotFoundError):
        return Cause(f"Python's package {error.name} is not here", f"pip install {error.name}, or {ANOTHER}")
    for pattern, reason in REASONS.items():
        if re.search(pattern, text):
            return Cause(reason, f"give a database such as sqlite:///mlflow.db or a server with {SETTING}")
    reason = _reason(error)
    for pattern, advice in ADVICE.items():
        if re.search(pattern, text):
            return Cause(reason, advice)
    return Cause(reason, ANOTHER)


def _reason(error: BaseException) -> str:
    """The error in its own words, without the names that Python and SQL have for it."""
    if isinstance(error, OSError) and error.errno == errno.EACCES and error.filename:
        return f"{error.filename} cannot be written"
    return re.sub(r"^\((?:sqlite3|builtins|psycopg2|pymysql)\.\w+\) ", "", first_line(error))


def _text(error: BaseException) -> str:
    return "\n".join(f"{type(each).__name__}: {each}" for each in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
