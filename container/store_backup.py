"""A copy of the job's own MLflow store beside its checkpoints, so that an interrupted job goes on in the same run."""

import contextlib
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

DATABASE, ARTIFACTS = "mlflow.db", "mlruns"
PART = ".part"
NOT_OURS = shutil.ignore_patterns(f".*{PART}", "*.sagemaker-*")  # broken off; SageMaker's marks of files on their way


class StoreBackup:
    """Keeps a copy whenever there is a new checkpoint."""

    def __init__(self, work: Path, kept: Path, checkpoint: Path) -> None:
        self._work, self._kept, self._checkpoint = work, kept, checkpoint
        self._seen = self._mark()

    def copy_if_changed(self) -> None:
        """Copy the store if the checkpoint was replaced since the last copy."""
        mark = self._mark()
        if mark is not None and mark != self._seen:  # removed, the run is complete, and is handed over whole
            self._seen = mark
            self.keep()

    def keep(self) -> None:
        """Copy the store now. A failure is printed, not raised: it must not end the training."""
        try:
            copy_store(self._work, self._kept)
        except (OSError, sqlite3.Error) as error:  # the training goes on, and the next copy may succeed
            print(f"The MLflow store could not be copied to {self._kept}: {error}", file=sys.stderr, flush=True)

    def _mark(self) -> tuple[int, int] | None:
        with contextlib.suppress(FileNotFoundError):
            found = self._checkpoint.stat()
            return found.st_ino, found.st_mtime_ns
        return None


def copy_store(work: Path, target: Path) -> None:
    """The artifacts that are new or changed, and the database as it is at this moment, though it may be written to."""
    if not (work / DATABASE).is_file():
        return
    for path in (work / ARTIFACTS).rglob("*"):
        copy = target / path.relative_to(work)
        if path.is_file() and not _same(path, copy):
            with whole_file(copy) as part:
                shutil.copy2(path, part)
    with whole_file(target / DATABASE) as part:
        _back_up(work / DATABASE, part)


def restore(kept: Path, work: Path) -> bool:
    """Puts a kept store to where the training works; False where there is none."""
    if not (kept / DATABASE).is_file():
        return False
    shutil.copytree(kept, work, ignore=NOT_OURS, dirs_exist_ok=True)
    return True


def _back_up(database: Path, copy: Path) -> None:
    """SQLite's own copying: that of the file alone might catch it in the middle of a transaction."""
    with contextlib.closing(sqlite3.connect(database)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def _same(path: Path, copy: Path) -> bool:
    if not copy.is_file():
        return False
    ours, its = path.stat(), copy.stat()
    return (ours.st_size, ours.st_mtime_ns) == (its.st_size, its.st_mtime_ns)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to that takes the given name once the block has ended well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}{PART}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
