"""The backup of a job's MLflow store, made while the store is written to."""

import sqlite3
import threading
from pathlib import Path

from container.store_backup import StoreBackup, copy_store, restore


def store(work: Path) -> sqlite3.Connection:
    work.mkdir()
    database = sqlite3.connect(work / "mlflow.db")
    database.execute("create table pairs (a int, b int)")
    database.commit()
    artifact(work, "config.yaml", "first")
    return database


def artifact(work: Path, name: str, text: str) -> None:
    path = work / "mlruns/1/run/artifacts" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_copy_started_during_a_transaction_is_consistent(tmp_path: Path) -> None:
    database = store(tmp_path / "work")
    database.executemany("insert into pairs values (?, 0)", [(number,) for number in range(1, 5001)])
    database.commit()
    database.execute("pragma cache_size = 2")  # pages, so that SQLite writes into the file before the commit
    database.execute("update pairs set b = a")
    copying = threading.Thread(target=copy_store, args=(tmp_path / "work", tmp_path / "kept"))
    copying.start()
    copying.join(timeout=0.5)
    database.commit()
    copying.join()
    copied = sqlite3.connect(tmp_path / "kept/mlflow.db")
    assert copied.execute("pragma integrity_check").fetchone() == ("ok",)
    assert copied.execute("select count(*), sum(a = b) from pairs").fetchone() in {(5000, 0), (5000, 5000)}


def test_a_restored_store_has_the_newest_of_each_file_and_none_of_sagemakers_marks(tmp_path: Path) -> None:
    work, copied = tmp_path / "work", tmp_path / "kept"
    store(work)
    copy_store(work, copied)
    artifact(work, "config.yaml", "changed")
    artifact(work, "pictures/tiles.png", "new")
    copy_store(work, copied)
    for mark in ("mlflow.db.sagemaker-uploading", ".mlflow.db.part", "mlruns/1/run/artifacts/x.sagemaker-uploaded"):
        (copied / mark).touch()
    assert restore(copied, tmp_path / "again")
    again = {path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*") if path.is_file()}
    assert again == {path.relative_to(work) for path in work.rglob("*") if path.is_file()}
    assert (tmp_path / "again/mlruns/1/run/artifacts/config.yaml").read_text() == "changed"


def test_nothing_is_restored_without_a_backup(tmp_path: Path) -> None:
    assert not restore(tmp_path / "kept", tmp_path / "work")
    copy_store(tmp_path / "work", tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_a_copy_is_made_once_for_each_checkpoint(tmp_path: Path) -> None:
    store(tmp_path / "work")
    checkpoint, copied = tmp_path / "last.ckpt", tmp_path / "kept"
    backup = StoreBackup(tmp_path / "work", copied, checkpoint)
    backup.copy_if_changed()
    assert not copied.exists()
    for content in ("one", "two"):
        new = tmp_path / "part"
        new.write_text(content)
        new.replace(checkpoint)
        backup.copy_if_changed()
        (copied / "mlflow.db").unlink()
    backup.copy_if_changed()
    assert not (copied / "mlflow.db").exists()


def test_a_complete_run_whose_last_checkpoint_was_removed_is_not_copied_again(tmp_path: Path) -> None:
    store(tmp_path / "work")
    checkpoint, copied = tmp_path / "last.ckpt", tmp_path / "kept"
    checkpoint.write_text("one")
    backup = StoreBackup(tmp_path / "work", copied, checkpoint)
    checkpoint.unlink()
    backup.copy_if_changed()
    assert not copied.exists()  # the model would be in S3 twice


def test_a_failed_copy_is_reported_and_does_not_end_the_training(tmp_path: Path, capfd) -> None:
    store(tmp_path / "work")
    (tmp_path / "kept").write_text("a file in the way")
    StoreBackup(tmp_path / "work", tmp_path / "kept", tmp_path / "last.ckpt").copy_now()
    assert "The MLflow store could not be copied to" in capfd.readouterr().err
