"""The MLflow store that a job left in a folder: read, and never written."""

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
from mlflow.db import upgrade
from mlflow.entities import LoggedModel, Metric, Run, ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from snowcover.errors import UserError, first_line
from snowcover.tracking.store import keep_quiet

DATABASE, ARTIFACTS = "mlflow.db", "mlruns"
COMPANIONS = ("", "-wal", "-journal")  # what SQLite has next to a database that was not closed
ENDED = ("FINISHED", "FAILED", "KILLED")
PAGE = 5000  # values of a metric at a time


class RunImportError(UserError):
    """What a job left of its MLflow run cannot be read."""


class JobStore:
    """One run of a job, and what belongs to it."""

    def __init__(self, store: Any, folder: Path) -> None:
        self._store = store
        self._folder = folder
        with _readable(folder):
            self.run = self._last_started()

    def metrics(self) -> Iterator[list[Metric]]:
        """Every value of every metric, some thousands at a time."""
        for key in self.run.data.metrics:
            token: str | None = None
            while True:
                with _readable(self._folder):
                    page = self._store.get_metric_history(self.run.info.run_id, key, PAGE, token)
                yield list(page)
                token = page.token
                if not token:
                    break

    def end(self) -> tuple[str, int]:
        """How the run ended, and when in milliseconds; one whose process was killed when it logged its last metric."""
        info = self.run.info
        if info.status in ENDED:
            return info.status, info.end_time or info.start_time
        return "KILLED", max((found.timestamp for page in self.metrics() for found in page), default=info.start_time)

    def models(self) -> Iterator[tuple[LoggedModel, int]]:
        """The models that came out of the run, each with its step; without those that were deleted since."""
        for output in self.run.outputs.model_outputs if self.run.outputs else []:
            with _readable(self._folder):
                model = self._model(output.model_id)
            if model is not None:
                yield model, output.step

    def _model(self, model_id: str) -> LoggedModel | None:
        try:
            return self._store.get_logged_model(model_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise

    def artifacts(self, uri: str) -> Path | None:
        """The folder of this machine that an address of the job's machine means; None where nothing was kept.

        Raises:
            RunImportError: it leads out of the job's folder.
        """
        root = (self._folder / ARTIFACTS).resolve()
        _, known, rest = f"/{uri}".rpartition(f"/{ARTIFACTS}/")
        path = root / rest
        if not known or not path.resolve().is_relative_to(root):
            raise RunImportError(f"The run in {self._folder} names artifacts at {uri}, outside of its {ARTIFACTS}.")
        if not path.is_dir():
            return None
        _refuse_links(path)
        return path

    def _last_started(self) -> Run:
        experiments = [found.experiment_id for found in self._store.search_experiments(ViewType.ALL)]
        runs = self._store.search_runs(
            experiments, "", ViewType.ACTIVE_ONLY, max_results=1, order_by=["attributes.start_time DESC"]
        )
        if not runs:
            raise RunImportError(f"{self._folder / DATABASE} holds no run: the job ended before it started one.")
        return self._store.get_run(runs[0].info.run_id)  # with its inputs and outputs


@contextlib.contextmanager
def job_store(folder: Path) -> Iterator[JobStore]:
    """The store in a folder of `mlflow.db` and `mlruns`, as a job left it. A copy of its database is what is opened.

    Raises:
        RunImportError: it is not there, damaged, of a newer MLflow, or has no run.
    """
    keep_quiet()
    with tempfile.TemporaryDirectory() as scratch:
        copy = _copy(folder, Path(scratch))
        address = f"sqlite:///{copy}"
        with _readable(folder):
            # The job's MLflow may be older than this one, and its tables then lack something.
            upgrade.main([address], standalone_mode=False)
            store = SqlAlchemyStore(address, scratch)  # type: ignore[no-untyped-call]
        try:
            yield JobStore(store, folder)
        finally:
            store.engine.dispose()


def _copy(folder: Path, scratch: Path) -> Path:
    database = folder / DATABASE
    if not database.is_file():
        raise RunImportError(f"{folder} is no job's MLflow store: it has no {DATABASE}.")
    for name in (ARTIFACTS, *(DATABASE + suffix for suffix in COMPANIONS)):
        if (folder / name).is_symlink():
            raise RunImportError(f"{folder / name} is a link: a job leaves none, so it is not followed.")
    for suffix in COMPANIONS:
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(folder / (DATABASE + suffix), scratch / (DATABASE + suffix))
    _refuse_damaged(scratch / DATABASE, database)
    return scratch / DATABASE


def _refuse_damaged(copy: Path, database: Path) -> None:
    try:
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as error:
        verdict, tables = str(error), set()
    if verdict != "ok":
        raise RunImportError(f"{database} is damaged ({' '.join(verdict.split())}): fetch the job's output again.")
    if not {"alembic_version", "runs"} <= tables:
        raise RunImportError(f"{database} is no MLflow database: it lacks MLflow's tables.")


def _refuse_links(folder: Path) -> None:
    for parent, folders, files in os.walk(folder):
        for path in (Path(parent, name) for name in (*folders, *files)):
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise RunImportError(
                    f"{path} is neither file nor folder: a job leaves no such artifact, so none is read."
                )


@contextlib.contextmanager
def _readable(folder: Path) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise RunImportError(
            f"MLflow {mlflow.__version__} cannot read {folder / DATABASE} ({first_line(error)}): "
            "if a newer MLflow wrote it, install that version here."
        ) from error
