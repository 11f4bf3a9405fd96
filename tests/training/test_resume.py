"""Where a run begins, by what lies in its folders; the checkpoints are made by hand, nothing is trained."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from snowcover import checkpoints
from snowcover.config import Config
from snowcover.identity import run_digest
from snowcover.run_metadata import RunMetadata
from snowcover.training import resume, run_record
from snowcover.training.resume import CannotResume
from snowcover.training.run_folder import InUse, NoFolder, folder_lock, move_log
from snowcover.training.run_record import Record
from tests.making import config


def small(*overrides: str) -> Config:
    return config("model=unet", "scheduler=none", "trainer.max_epochs=2", *overrides)


def save(path: Path, of: Config, epochs: int, goes_on: bool = True, **more: Any) -> Path:
    history = [{"epoch": epoch, "val_iou": 0.5 + epoch / 10} for epoch in range(epochs)]
    metadata = RunMetadata(resume.public(of), [], 1, 0, [], [], history=history, run_id="abc", **more)
    state: dict[str, Any] = {"optimizer_states": []} if goes_on else {}
    checkpoints.save({"state_dict": {"w": torch.zeros(1)}, checkpoints.METADATA: metadata.to_dict(), **state}, path)
    return path


def test_auto_with_nothing_to_resume_starts_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for place in ([], [f"checkpoint.dir={tmp_path}/kept"]):
        with caplog.at_level(logging.INFO):
            start = resume.resume_point(small("checkpoint.resume=auto", *place), tmp_path / "outputs/snowcover/1")
        assert start.resumed_from is None
        assert "there is no run of exactly this config yet, so a new one starts" in caplog.messages[-1]


@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt"])
@pytest.mark.parametrize("key", ["auto", "null"])
def test_what_another_run_saved_is_never_overwritten(tmp_path: Path, name: str, key: str) -> None:
    save(tmp_path / name, small("optimizer.lr=1"), 1, goes_on=name == "last.ckpt")
    with pytest.raises(CannotResume, match=r"lr was 1 and is now|holds another run's"):
        resume.resume_point(small(f"checkpoint.dir={tmp_path}", f"checkpoint.resume={key}"), tmp_path / "run")


def test_a_checkpoint_of_another_place_is_not_resumed_over_another_run(tmp_path: Path) -> None:
    save(tmp_path / "kept/best.ckpt", small("seed=3"), 1)
    last = save(tmp_path / "job/last.ckpt", small(), 1)
    with pytest.raises(CannotResume, match=r"kept holds another run's best\.ckpt"):
        resume.resume_point(small(f"checkpoint.dir={tmp_path}/kept", f"checkpoint.resume={last}"), tmp_path / "run")


def test_a_complete_run_is_known_by_its_best_checkpoint_alone(tmp_path: Path) -> None:
    folder = tmp_path / "outputs/snowcover/1"
    best = save(folder / "checkpoints/best.ckpt", small(), 2, goes_on=False)
    run_record.write(folder, Record(run_digest(small().model_dump()), "abc", "", "2026"))
    (tmp_path / "outputs/snowcover/run.json").write_text('{"identity": "half of a fi')  # no run, and no reason to fail
    for key in ("auto", str(best), str(folder / "checkpoints/last.ckpt")):
        start = resume.resume_point(small(f"checkpoint.resume={key}"), tmp_path / "outputs/snowcover/2")
        assert (start.resumed_from, start.folder) == (str(best), folder)
        assert start.metadata is not None
        assert not resume.training_left(small().trainer, start.metadata.history)
        with pytest.raises(
            CannotResume, match=r"best\.ckpt holds weights alone.*checkpoint\.init_from=.*keep_last=true"
        ):
            resume.resume_point(small(f"checkpoint.resume={key}", "trainer.max_epochs=3"), tmp_path / "x")


def test_a_run_that_saves_elsewhere_is_found_in_its_own_folder(tmp_path: Path) -> None:
    elsewhere = f"checkpoint.dir={tmp_path}/kept"
    save(tmp_path / "kept/last.ckpt", small(), 1)
    run_record.write(tmp_path / "outputs/snowcover/1", Record("", "abc", "", "2026"))
    start = resume.resume_point(small(elsewhere, "checkpoint.resume=auto"), tmp_path / "outputs/snowcover/2")
    assert (start.folder, start.checkpoint_dir) == (tmp_path / "outputs/snowcover/1", tmp_path / "kept")


def test_patience_that_is_longer_now_leaves_something_to_train() -> None:
    history = [{"val_iou": value} for value in (0.5, 0.4, 0.3)]
    trainer = small("trainer.max_epochs=9", "trainer.patience_epochs=2").trainer
    assert not resume.training_left(trainer, history)
    assert resume.training_left(trainer.model_copy(update={"patience_epochs": 3}), history)


def test_a_folder_is_one_runs_at_a_time_and_tidied_of_what_a_kill_left(tmp_path: Path) -> None:
    kept = ["best.ckpt", "notes.tmp"]
    for name in (*kept, ".best.ckpt.123.part", ".last.ckpt.7.part", f".{'0a' * 8}.tmp"):
        (tmp_path / name).touch()
    with folder_lock(tmp_path):
        assert sorted(path.name for path in tmp_path.iterdir()) == kept
        with (
            pytest.raises(InUse, match=r"Another process trains into .* give another checkpoint\.dir"),
            folder_lock(tmp_path),
        ):
            pass
    with folder_lock(tmp_path / "new"):
        assert (tmp_path / "new").is_dir()
    assert not (tmp_path / "new").exists()  # nothing was saved there
    with (
        pytest.raises(NoFolder, match=r"No checkpoint can be saved in .*hydra\.run\.dir"),
        folder_lock(tmp_path / "best.ckpt/x"),
    ):
        pass


def test_the_log_of_a_run_that_resumes_is_in_its_own_folder_and_no_other_is_left(tmp_path: Path) -> None:
    before, folder = tmp_path / "2", tmp_path / "1"
    before.mkdir()
    folder.mkdir()
    (folder / "train.log").write_text("first\n")
    handler = logging.FileHandler(before / "train.log")
    logging.getLogger().addHandler(handler)
    try:
        logging.getLogger("test").warning("second")
        move_log(before, folder)
        logging.getLogger("test").warning("third")
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
    assert (folder / "train.log").read_text().splitlines() == ["first", "second", "third"]
    assert not before.exists()
