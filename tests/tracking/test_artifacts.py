"""Where artifacts go, and that they cost no second copy; one model for each run."""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import LoggedModel

from snowcover.models.mapper import SnowMapper
from snowcover.tracking import CannotRecord, Recorder, import_run, models, recorded
from snowcover.tracking.artifacts import check_place
from tests.tracking.conftest import Left, execute

EXAMPLE = np.ones((2, 4, 60, 60), dtype=np.uint16)


def mapper(seed: int = 0) -> SnowMapper:
    torch.manual_seed(seed)
    return SnowMapper(torch.nn.Conv2d(4, 1, 1), 1e-4, 0.0, [0.5] * 4, [0.1] * 4).eval()


def models_of(uri: str, recorder: Recorder) -> list[LoggedModel]:
    client = MlflowClient(uri)
    experiment = client.get_run(recorder.run_id).info.experiment_id
    return list(client.search_logged_models([experiment], f"source_run_id = '{recorder.run_id}'"))


def test_a_checkpoint_in_a_local_store_is_the_run_s_own_file_and_text_a_copy(home: str) -> None:
    weights, result = Path("best.ckpt"), Path("result.json")
    weights.write_bytes(b"first")
    result.write_text("{}")
    with recorded(home, "home", "n", False) as recorder:
        for _ in range(2):
            recorder.artifact(weights, "checkpoints")
            recorder.artifact(result)
        kept = Path("mlruns/home") / recorder.run_id / "artifacts"
        assert (kept / "checkpoints/best.ckpt").samefile(weights)
        assert not (kept / "result.json").samefile(result)  # people edit text, which is not to change the record
        new = Path("new")
        new.write_bytes(b"second")
        new.replace(weights)  # as all of ours is written
        assert (kept / "checkpoints/best.ckpt").read_bytes() == b"first"
        recorder.artifact(weights, "checkpoints")
        assert (kept / "checkpoints/best.ckpt").read_bytes() == b"second"
    assert sorted(path.name for path in kept.rglob("*") if path.is_file()) == ["best.ckpt", "result.json"]


def test_across_file_systems_it_is_a_copy(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def other_device(*_: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    Path("best.ckpt").write_bytes(b"weights")
    monkeypatch.setattr("os.link", other_device)
    with recorded(home, "home", "n", False) as recorder:
        recorder.artifact(Path("best.ckpt"))
    assert Path(f"mlruns/home/{recorder.run_id}/artifacts/best.ckpt").read_bytes() == b"weights"


def test_a_renamed_project_is_reported_before_training_and_its_old_place_is_not_made_again(
    home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recorded(home, "home", "n", False) as first:
        pass
    renamed = tmp_path / "renamed"
    Path.cwd().rename(renamed)
    monkeypatch.chdir(renamed)
    uri = f"sqlite:///{renamed}/mlflow.db"
    message = (
        rf"The experiment home in {uri} keeps its artifacts in {tmp_path}/home/mlruns/home, which is not there any "
        r"more: .*ln -s.*experiment_name="
    )
    for run_id in (None, first.run_id):
        with pytest.raises(CannotRecord, match=message), recorded(uri, "home", "n", False, run_id):
            pass
    assert not (tmp_path / "home").exists()
    assert len(MlflowClient(uri).search_runs(["1"])) == 1
    (tmp_path / "home").symlink_to(renamed)
    with recorded(uri, "home", "n", False):
        pass


def test_artifacts_that_go_elsewhere_are_reported_with_the_way_out(
    home: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "project/mlruns").mkdir(parents=True)
    MlflowClient(home).create_experiment("copied", str(tmp_path / "project/mlruns/1"))
    with caplog.at_level(logging.WARNING), recorded(home, "copied", "n", False):
        pass
    assert f"artifacts of the experiment copied go to {tmp_path}/project/mlruns/1, where it was created" in caplog.text
    assert "experiment_name=..." in caplog.text


def test_artifacts_stay_next_to_the_database_whatever_folder_the_first_run_began_in(
    home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    (other / "best.ckpt").write_bytes(b"weights")
    with recorded(home, "home", "n", False) as recorder:
        recorder.artifact(other / "best.ckpt")
    assert (tmp_path / f"home/mlruns/home/{recorder.run_id}/artifacts/best.ckpt").is_file()
    assert [path.name for path in other.iterdir()] == ["best.ckpt"]


@pytest.fixture
def of_others(empty_database: Path, home: str) -> Iterator[Path]:
    """A folder with a store, as somebody sees it who is neither its owner nor root."""
    with recorded(home, "home", "n", False):
        pass  # loads what a stranger could not
    folder = Path(tempfile.mkdtemp())  # not tmp_path, which only its owner may enter
    shutil.copyfile(empty_database, folder / "mlflow.db")
    (folder / "mlruns").mkdir()
    for path in (folder, folder / "mlflow.db", folder / "mlruns"):
        path.chmod(0o777)
    am_root = os.geteuid() == 0  # to whom permissions mean nothing
    if am_root:
        os.seteuid(65534)
    yield folder
    if am_root:
        os.seteuid(0)
    for path in (folder, folder / "mlruns"):
        path.chmod(0o777)
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "mlflow.db",
            r"mlflow\.db cannot be written\): make the file writable, or record elsewhere with",
        ),
        (
            "",
            r" cannot be written\): make the folder, in which SQLite keeps its journal, writable, or record elsewhere",
        ),
        ("mlruns", r"artifact folder \S+/mlruns/home cannot be written \(Permission denied\): .* with tracking\.uri="),
    ],
)
def test_a_store_that_is_read_only_is_reported_before_the_run_begins(of_others: Path, name: str, message: str) -> None:
    euid = os.geteuid()
    if os.getuid() == 0:
        os.seteuid(0)
    (of_others / name).chmod(0o555)
    os.seteuid(euid)
    uri = f"sqlite:///{of_others}/mlflow.db"
    with pytest.raises(CannotRecord, match=message) as error, recorded(uri, "home", "n", False):
        pass
    assert "\n" not in str(error.value)
    assert not list(MlflowClient(uri).search_runs(["0", "1"]))


@pytest.mark.slow
def test_killed_while_the_model_is_kept_and_resumed_there_is_one_model(
    home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    for call in ("finalize_logged_model", "log_outputs"):
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, call, killed)
            with pytest.raises(KeyboardInterrupt), recorded(home, "home", "n", False) as recorder:
                recorder.model(mapper(), EXAMPLE)
        with recorded(home, "home", "n", False, recorder.run_id) as again:
            again.metrics([(3, {"test_iou": 0.5, "val_iou": 0.4})])
            assert again.model(mapper(), EXAMPLE, ["test_iou"])
        (model,) = models_of(home, recorder)
        assert model.status == "READY"
        assert [(score.key, score.step, score.value) for score in model.metrics] == [("test_iou", 3, 0.5)]
        run = MlflowClient(home).get_run(recorder.run_id)
        assert [output.model_id for output in run.outputs.model_outputs] == [model.model_id]
        assert not list(Path("mlruns").rglob("*.part"))


@pytest.mark.slow
def test_a_model_is_exported_once_and_again_only_where_its_weights_are_others(
    home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    exports: list[Path] = []
    export = models._export
    monkeypatch.setattr(models, "_export", lambda *given: (exports.append(given[2]), export(*given)))
    with recorded(home, "home", "n", False) as recorder:
        for seed in (0, 0, 1, 1):
            assert recorder.model(mapper(seed), EXAMPLE)
    assert len(exports) == 2
    (model,) = models_of(home, recorder)
    assert model.tags[models.WEIGHTS] == models.digest(mapper(1)) != models.digest(mapper(0))
    assert (Path(model.artifact_location) / "MLmodel").is_file()


def test_a_network_that_cannot_be_exported_leaves_no_model_and_a_tag(home: str) -> None:
    class Stubborn(torch.nn.Module):
        def forward(self, raw: torch.Tensor) -> torch.Tensor:
            raise ValueError("of its own mind")

    with recorded(home, "home", "n", False) as recorder:
        assert not recorder.model(Stubborn(), EXAMPLE)
    assert not models_of(home, recorder)
    assert "of its own mind" in MlflowClient(home).get_run(recorder.run_id).data.tags["model_not_exported"]


def test_a_job_s_run_is_imported_without_a_second_copy(left: Left, home: str) -> None:
    (artifacts,) = left.folder.glob(f"mlruns/*/{left.run_id}/artifacts")
    (artifacts / "checkpoints").mkdir()
    (artifacts / "checkpoints/best.ckpt").write_bytes(b"weights")
    brought = import_run(left.folder, home, "home", {})
    kept = Path(f"mlruns/home/{brought}/artifacts")
    assert (kept / "checkpoints/best.ckpt").samefile(artifacts / "checkpoints/best.ckpt")
    assert (kept / "result.json").read_text() == "{}"
    described = next(left.folder.rglob("models/*/artifacts/MLmodel")).read_text()
    assert left.run_id in described  # which the copy's own description did not write into
    assert brought not in described


def test_a_model_that_was_deleted_in_a_job_s_store_is_not_imported(left: Left, home: str) -> None:
    execute(left.folder / "mlflow.db", "UPDATE logged_models SET lifecycle_stage = 'deleted'")
    import_run(left.folder, home, "home", {})
    experiment = MlflowClient(home).get_experiment_by_name("home")
    assert not MlflowClient(home).search_logged_models([experiment.experiment_id])


def test_a_server_that_keeps_artifacts_in_a_folder_of_its_own_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CannotRecord, match=r"start the server with --serve-artifacts .* with tracking\.uri=\.\.\."):
        check_place("http://mlflow.lab:5000", "home", "/srv/not-here/mlruns/1")
    check_place("http://localhost:5000", "home", str(tmp_path / "1"))  # which is this machine, or a shared disk
    check_place("http://mlflow.lab:5000", "home", "mlflow-artifacts:/1")
