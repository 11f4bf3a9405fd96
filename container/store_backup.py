"""A backup of the job's own MLflow store next to its checkpoints: an interrupted job resumes in the same run."""

import contextlib
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

DATABASE, ARTIFACTS = "mlflow.db", "mlruns"
PART = ".part"
EXCLUDED = shutil.ignore_patterns(f".*{PART}", "*.sagemaker-*")  # partial files, SageMaker's upload markers


class StoreBackup:
    """Copies the store whenever there is a new checkpoint."""

    def __init__(self, work: Path, backup: Path, checkpoint: Path) -> None:
        self._work, self._backup, self._checkpoint = work, backup, checkpoint
        self._seen = self._mark()

    def copy_if_changed(self) -> None:
        """Copy the store if the checkpoint was replaced since the last copy."""
        mark = self._mark()
        if mark is not None and mark != self._seen:  # if it was removed, the run is complete and is exported whole
            self._seen = mark
            self.copy_now()

    def copy_now(self) -> None:
        """Copy the store now. A failure is printed, not raised: it must not end the training."""
        try:
            copy_store(self._work, self._backup)
        except (OSError, sqlite3.Error) as error:  # training continues, and the next copy may succeed
            print(f"The MLflow store could not be copied to {self._backup}: {error}", file=sys.stderr, flush=True)

    def _mark(self) -> tuple[int, int] | None:
        with contextlib.suppress(FileNotFoundError):
            found = self._checkpoint.stat()
            return found.st_ino, found.st_mtime_ns
        return None


def copy_store(work: Path, target: Path) -> None:
    """Copy new and changed artifacts, and a consistent snapshot of the database, which may be in use."""
    if not (work / DATABASE).is_file():
        return
    for path in (work / ARTIFACTS).rglob("*"):
        copy = target / path.relative_to(work)
        if path.is_file() and not _same(path, copy):
            with whole_file(copy) as part:
                shutil.copy2(path, part)
    with whole_file(target / DATABASE) as part:
        _back_up(work / DATABASE, part)


def restore(backup: Path, work: Path) -> bool:
    """Restore a backup to the working folder; False if there is none."""
    if not (backup / DATABASE).is_file():
        return False
    shutil.copytree(backup, work, ignore=EXCLUDED, dirs_exist_ok=True)
    return True


def _back_up(database: Path, copy: Path) -> None:
    """Uses SQLite's backup: copying the file could catch it in the middle of a transaction."""
    with contextlib.closing(sqlite3.connect(database)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def _same(path: Path, copy: Path) -> bool:
    if not copy.is_file():
        return False
    original, copied = path.stat(), copy.stat()
    return (original.st_size, original.st_mtime_ns) == (copied.st_size, copied.st_mtime_ns)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path to write to, renamed to `path` if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}{PART}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
