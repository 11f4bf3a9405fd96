"""A store that fails: waited for where that helps, else one sentence whose advice fits the cause."""

import contextlib
import logging
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from snowcover.run_metadata import RunMetadata
from snowcover.tracking import CannotRecord, recorded, retry
from snowcover.tracking.errors import cannot_record, passes
from snowcover.training.epochs import Epochs, MetricLogger
from tests.tracking.conftest import execute, runs

URI = "http://mlflow.lab:5000"
RUN = "0" * 32


@contextlib.contextmanager
def locked(uri: str) -> Iterator[sqlite3.Connection]:
    """As by a database browser in the middle of a change."""
    path = uri.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield connection


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite itself waits 20 s a call for MLflow: here a moment, and we no longer than another."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def shorten(connection: object, cursor: sqlite3.Cursor, statement: str, *_: object) -> None:
        if statement.startswith("PRAGMA busy_timeout"):
            cursor.execute("PRAGMA busy_timeout = 10")

    event.listen(Engine, "after_cursor_execute", shorten)
    monkeypatch.setattr(retry, "RETRY_S", 1.0)
    monkeypatch.setattr(retry, "LOG_AFTER_S", 0.0)
    yield
    event.remove(Engine, "after_cursor_execute", shorten)


def test_a_database_that_is_locked_for_a_while_is_waited_for(
    home: str, hasty: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retry, "RETRY_S", 300.0)
    with caplog.at_level(logging.INFO), recorded(home, "home", "n", False) as recorder, locked(home) as other:
        threading.Timer(0.5, other.rollback).start()
        recorder.metrics([(0, {"loss": 1.0})])
    assert caplog.text.count("Waiting for MLflow at") == 1
    assert "Traceback" not in caplog.text
    (run,) = runs(home)
    assert run.info.status == "FINISHED"
    assert [row.value for row in MlflowClient(home).get_metric_history(run.info.run_id, "loss")] == [1.0]


def test_a_database_that_stays_locked_is_one_message_and_the_run_is_failed_once_it_is_free(
    home: str, hasty: None, caplog: pytest.LogCaptureFixture
) -> None:
    message = (
        r"^MLflow cannot record at sqlite:.*\(database is locked\): end what keeps the database locked.*resume=auto"
    )
    with pytest.raises(CannotRecord, match=message) as error, recorded(home, "home", "n", False) as recorder:
        with locked(home) as other:
            with pytest.raises(CannotRecord):
                recorder.metrics([(0, {"loss": 1.0})])
            other.rollback()
        recorder.metrics([(0, {"loss": 1.0})])  # what comes later is recorded
        recorder.expect_store()
        with locked(home):
            recorder.tags({"end": "yes"})
    assert "\n" not in str(error.value)
    assert "Traceback" not in caplog.text
    (run,) = runs(home)
    assert run.info.status == "FAILED"
    assert run.data.metrics == {"loss": 1.0}


def test_an_outage_is_waited_for_once(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, calls = [0.0], []
    monkeypatch.setattr(retry.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(retry.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))

    def away() -> None:
        calls.append(clock[0])
        raise requests.ConnectionError("Max retries exceeded")

    patiently = retry.Retry(URI)
    for _ in range(2):
        with pytest.raises(CannotRecord):
            patiently(away)
    waited = len(calls) - 1
    assert waited > 5
    assert 100 < clock[0] <= retry.RETRY_S
    patiently.renew()
    with pytest.raises(CannotRecord):
        patiently(away)
    assert len(calls) == 2 * waited + 1


def test_a_run_that_is_deleted_while_it_trains_is_reported_with_the_way_to_restore_it(home: str) -> None:
    with pytest.raises(CannotRecord) as error, recorded(home, "home", "n", False) as recorder:
        MlflowClient(home).delete_run(recorder.run_id)
        recorder.metrics([(0, {"loss": 1.0})])
    text = (
        f"`MLFLOW_TRACKING_URI={home} mlflow runs restore --run-id {recorder.run_id}` brings it back, then resume with"
    )
    assert text in str(error.value)
    with pytest.raises(CannotRecord, match="was deleted"), recorded(home, "home", "n", False, recorder.run_id):
        pass


def test_a_run_that_is_deleted_while_it_trains_is_reported_once_and_not_each_epoch(
    home: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    history = [{"epoch": epoch, "val_iou": 0.5} for epoch in range(3)]
    with contextlib.suppress(CannotRecord), recorded(home, "home", "n", False) as recorder:
        epochs = Epochs(tmp_path, MetricLogger(recorder, resumed=False), None, 1, False)
        MlflowClient(home).delete_run(recorder.run_id)
        for count in (1, 2):
            epochs.record(SimpleNamespace(metadata=RunMetadata({}, [], 1, 0, [], [], history=history[:count])))  # type: ignore[arg-type]
        MlflowClient(home).restore_run(recorder.run_id)
        epochs.record(SimpleNamespace(metadata=RunMetadata({}, [], 1, 0, [], [], history=history)))  # type: ignore[arg-type]
    assert caplog.text.count("are recorded once MLflow takes them: MLflow cannot record at") == 1
    assert "mlflow runs restore --run-id" in caplog.text
    assert len(MlflowClient(home).get_metric_history(recorder.run_id, "val_iou")) == 3


def test_resuming_in_a_store_that_never_had_the_run_is_reported(home: str) -> None:
    message = rf"\(it has no run {RUN}\): give the store that holds it with tracking\.uri=\.\.\., or"
    with pytest.raises(CannotRecord, match=message), recorded(home, "home", "n", False, RUN):
        pass


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:9000])


def _scrambled(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:40960] = b"\xff" * (40960 - 4096)
    content[100:4096] = b"\xff" * (4096 - 100)
    path.write_bytes(content)


def _geopackage(path: Path) -> None:
    path.unlink()
    execute(path, "CREATE TABLE gpkg_contents (table_name TEXT)")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_folder, r"mlflow\.db is a folder\): give the path of a file in it, such as "),
        (_cut, r"mlflow\.db is cut short\): put a backup of it in its place, or move it away, "),
        (_scrambled, r"mlflow\.db is damaged: .*\): put a backup of it in its place"),
        (lambda path: path.write_text("no database " * 100), r"mlflow\.db is no SQLite database\): put a backup"),
        (_geopackage, r"holds the tables of another program\): give a file of its own with tracking\.uri=\.\.\."),
        (
            lambda path: execute(path, "UPDATE alembic_version SET version_num = 'acf3f17fdcc7'"),
            r"\(an older MLflow made its tables\): copy it somewhere safe, then run "
            r"`mlflow db upgrade sqlite:///\S+/mlflow\.db`, or record elsewhere",
        ),
        (
            lambda path: execute(path, "UPDATE alembic_version SET version_num = 'f00f00f00f00'"),
            r"\(a newer MLflow made its tables\): install that version here, or",
        ),
    ],
)
def test_a_file_that_mlflow_cannot_use_is_reported_and_left_as_it_was(
    home: str, damage: Callable[[Path], object], message: str
) -> None:
    path = Path("mlflow.db")
    damage(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(CannotRecord, match=message) as error, recorded(home, "home", "n", False):
        pass
    assert "\n" not in str(error.value)
    assert (path.read_bytes() if path.is_file() else None) == before


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(uri: str) -> None:
    with pytest.raises(CannotRecord, match="gone when the run ends"), recorded(uri, "e", "n", False):
        pass


@pytest.mark.parametrize("name", ["what?", "50%25"])
def test_an_address_that_means_another_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    uri = f"sqlite:///{tmp_path}/{name}/mlflow.db"
    with pytest.raises(CannotRecord, match=r"has % or \? in its path"), recorded(uri, "e", "n", False):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["two words", "what?", "Schnee#ü"])
def test_a_folder_of_any_name_keeps_its_store_in_it(
    tmp_path: Path, name: str, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(folder)
    shutil.copyfile(empty_database, "mlflow.db")
    Path("result.json").write_text("{}")
    with recorded("sqlite:///mlflow.db", "e", "n", False) as recorder:
        monkeypatch.chdir(tmp_path)  # as the run might
        recorder.metrics([(0, {"loss": 1.0})])
        recorder.artifact(folder / "result.json")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (folder / f"mlruns/e/{recorder.run_id}/artifacts/result.json").read_text() == "{}"


def rest_error(code: int, body: str = "") -> MlflowException:
    return MlflowException(f"API request to endpoint /api/2.0/mlflow/runs failed with error code {code} {body}")


@pytest.mark.parametrize(
    ("error", "way_out", "waits"),
    [
        (rest_error(401, "Unauthorized"), "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or", False),
        (rest_error(403), "ask for the right to write there, or record elsewhere", False),
        (rest_error(413), "the server, or a proxy before it, takes no file as large: raise its limit", False),
        (rest_error(429), "delete runs that are not needed, or ask for more room", True),
        (rest_error(503), "give a store that can be reached and written with tracking.uri=...", True),
        (OSError(28, "No space left on device"), "free some space, then resume with checkpoint.resume=auto", False),
        (RuntimeError("(sqlite3.OperationalError) attempt to write a readonly database"), "make the database", False),
        (MlflowException("(x.OperationalError) database is locked"), "end what keeps the database locked", True),
        (MlflowException("Names may only contain alphanumerics"), "give it a name of letters, digits", False),
        (ModuleNotFoundError("No module named 'psycopg2'", name="psycopg2"), "pip install psycopg2, or", False),
    ],
)
def test_each_cause_has_its_way_out(error: Exception, way_out: str, waits: bool) -> None:
    text = str(cannot_record(error, "http://ada:hunter2@mlflow.lab"))
    assert f"): {way_out}" in text
    assert "hunter2" not in text
    assert passes(error) == waits
