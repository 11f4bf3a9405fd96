"""The end of a run: what is safe when, what is left of it to do, and what it leaves on the disk."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import mlflow
import pytest
import torch
import yaml
from mlflow import MlflowClient

from snowcover import checkpoints
from snowcover.config import Config
from snowcover.finite import NotFinite
from snowcover.run_metadata import RunMetadata
from snowcover.tracking import CannotRecord, Recorder
from snowcover.trained_model import ModelOverrides, load_trained_model
from snowcover.training import build, finish
from snowcover.training.finish import NotRecorded
from snowcover.training.module import SnowModule
from snowcover.training.resume import CannotResume, ResumePoint
from snowcover.training.run import fit
from tests.making import QUICK, TINY_UNET, config, sources

pytestmark = pytest.mark.training

SMALL = (*TINY_UNET, "optimizer.lr=1e-3", "trainer.max_epochs=1", "hw=cpu")


@pytest.fixture
def here(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with a database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(finish, "draw_outcome", lambda *_: None)  # a third of a short run; drawn in others
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    return tmp_path


def small(site: Path, folder: Path, *overrides: str) -> Config:
    tracking = (f"tracking.uri=sqlite:///{folder}/mlflow.db", "tracking.system_metrics=false")
    return config("data=tiles", sources(site), "trainer.batch_size=6", *SMALL, *tracking, *overrides)


def the_run(folder: Path) -> tuple[MlflowClient, Any]:
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    (run,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    return client, run


def away(*_: object) -> None:
    raise CannotRecord("MLflow cannot record at sqlite:///mlflow.db (database is locked): end what keeps it locked.")


def must_not(what: str) -> Callable[..., None]:
    def called(*_: object, **__: object) -> None:
        raise AssertionError(f"{what} once more")

    return called


def bytes_on_disk(*folders: Path) -> int:
    """Each file once, however many names it has."""
    files = [path.stat() for folder in folders for path in folder.rglob("*") if path.is_file()]
    return sum({found.st_ino: found.st_size for found in files}.values())


def test_what_mlflow_did_not_take_in_the_end_is_made_good_without_training_and_each_weight_is_kept_twice_at_most(
    site: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Beside the weights of this encoder all else is small; without a schedule a longer run is the same one.
    large = ("model.encoder_name=resnet18", "scheduler=none")
    auto = small(site, here, *large, "checkpoint.resume=auto")
    run_folder, kept = here / "outputs/snowcover/1", here / "outputs/snowcover/1/checkpoints"
    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "model", away)
        with pytest.raises(NotRecorded, match=r"safe in .*result\.json and .*best\.ckpt.*resume=auto .*is locked"):
            fit(auto, run_folder, [])  # the first start of a restart loop: there is nothing to resume yet
    result = json.loads((run_folder / "result.json").read_text())
    assert result["best_epoch"] == 1
    assert {path.name for path in kept.iterdir()} == {"best.ckpt", "last.ckpt"}
    assert the_run(here)[1].info.status == "FAILED"

    with monkeypatch.context() as patch:
        patch.setattr(lightning.Trainer, "fit", must_not("trained"))
        patch.setattr(lightning.Trainer, "test", must_not("tested"))
        for _ in range(2):  # the second has nothing to do
            assert fit(auto, here / "outputs/snowcover/2", []) == result["objective"]
    client, run = the_run(here)
    assert run.info.status == "FINISHED"
    assert "error" not in run.data.tags
    for metric in ("val_loss", "test_iou"):
        assert [entry.step for entry in client.get_metric_history(run.info.run_id, metric)] == [0], metric
    assert json.loads((run_folder / "result.json").read_text()) == result
    assert [path.name for path in kept.iterdir()] == ["best.ckpt"]
    best = checkpoints.load(str(kept / "best.ckpt"))
    assert set(best) == {"state_dict", "snowcover"}
    weights = sum(value.numel() * value.element_size() for value in best["state_dict"].values())
    assert bytes_on_disk(run_folder, here / "mlruns") <= 2.2 * weights
    (logged,) = client.search_logged_models([run.info.experiment_id])
    mlflow.pytorch.load_model(f"{logged.artifact_location}").eval()
    with pytest.raises(CannotResume, match=r"best\.ckpt holds weights alone.*keep_last=true"):
        fit(
            small(site, here, *large, "checkpoint.resume=auto", "trainer.max_epochs=2"),
            here / "outputs/snowcover/3",
            [],
        )


KILLED = """
import importlib, os, signal
from pathlib import Path
import yaml
from snowcover.validation import checked
from snowcover.config import Config
from snowcover.training.run import fit

def killed(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

importlib.import_module("snowcover.{module}").{name} = killed
fit(checked(Config, yaml.safe_load(Path("config.yaml").read_text())), Path("outputs/snowcover/1"), [])
"""


def test_killed_while_the_model_is_recorded_and_again_before_it_is_marked_a_run_is_there_once(
    site: Path, here: Path
) -> None:
    auto = small(site, here, "checkpoint.resume=auto")
    (here / "config.yaml").write_text(yaml.safe_dump(auto.model_dump()))
    for module, name in (("tracking.models", "link_to_run"), ("training.run_record", "mark_recorded")):
        program = [sys.executable, "-c", KILLED.format(module=module, name=name)]
        done = subprocess.run(program, capture_output=True, text=True, check=False, env=os.environ)
        assert done.returncode == -signal.SIGKILL, done.stderr
    fit(auto, here / "outputs/snowcover/2", [])
    client, run = the_run(here)
    assert run.info.status == "FINISHED"
    (model,) = client.search_logged_models([run.info.experiment_id])
    assert str(model.status) == "READY"
    assert [output.model_id for output in run.outputs.model_outputs] == [model.model_id]
    assert [entry.step for entry in client.get_metric_history(run.info.run_id, "test_iou")] == [0]
    assert not (here / "outputs/snowcover/2").exists()


def test_where_no_model_is_to_be_exported_mlflow_keeps_the_best_checkpoint_and_maps_by_it(
    site: Path, here: Path
) -> None:
    fit(small(site, here, *QUICK), here / "run", [])
    client, run = the_run(here)
    assert run.info.status == "FINISHED"
    assert not client.search_logged_models([run.info.experiment_id])
    assert [file.path for file in client.list_artifacts(run.info.run_id, "checkpoints")] == ["checkpoints/best.ckpt"]
    found = load_trained_model(run.info.run_id, ModelOverrides(), f"sqlite:///{here}/mlflow.db")
    assert found.checkpoint_sha256 == checkpoints.load_with_sha256(str(here / "run/checkpoints/best.ckpt"))[1]


def test_a_loss_that_is_not_finite_ends_the_run_and_leaves_no_best_checkpoint(site: Path, here: Path) -> None:
    message = (
        r"loss is not finite in epoch 1, at step [123]: lower optimizer\.lr \(it was 1e\+30 then\), or .*clip_norm"
    )
    with pytest.raises(NotFinite, match=message):
        fit(small(site, here, "optimizer=sgd", "optimizer.lr=1e30", "scheduler=none"), here / "run", [])
    assert [path.name for path in (here / "run/checkpoints").iterdir()] == ["last.ckpt"]
    assert checkpoints.load(str(here / "run/checkpoints/last.ckpt"))["snowcover"]["history"] == []
    run = the_run(here)[1]
    assert run.info.status == "FAILED"
    assert run.data.tags["error"].startswith("NotFinite: The training loss is not finite in epoch 1")
    assert not (here / "run/result.json").exists()


def test_running_statistics_that_are_no_numbers_end_the_run_though_the_loss_is_one(
    site: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = SnowModule.training_step

    def spoiling(self: SnowModule, batch: Any, index: int) -> torch.Tensor:
        if (self.current_epoch, index) == (1, 3):
            self.mapper.network.encoder.model.bn1.running_var[0] = torch.inf
        return step(self, batch, index)

    monkeypatch.setattr(SnowModule, "training_step", spoiling)
    with pytest.raises(NotFinite, match=r"Weights are not finite after epoch 2 \(.*bn1\.running_var\)"):
        fit(small(site, here, "trainer.max_epochs=3"), here / "run", [])
    for name in ("best.ckpt", "last.ckpt"):  # which are read only if their weights are finite
        assert len(checkpoints.load(str(here / "run/checkpoints" / name))["snowcover"]["history"]) == 1


def test_weights_to_begin_with_are_looked_at_before_any_tile(here: Path) -> None:
    checkpoints.save({"state_dict": {"conv.weight": torch.full((2,), torch.nan)}}, here / "bad.ckpt")
    with pytest.raises(checkpoints.BadCheckpoint, match=r"bad\.ckpt holds .* not finite \(conv\.weight\)"):
        fit(small(here / "no-tiles", here, f"checkpoint.init_from={here}/bad.ckpt"), here / "run", [])
    checkpoints.save({"state_dict": {"conv.weight": torch.ones(2)}}, here / "other.ckpt")
    with pytest.raises(checkpoints.BadCheckpoint, match=r"other\.ckpt does not fit this network"):
        fit(small(here / "no-tiles", here, f"checkpoint.init_from={here}/other.ckpt"), here / "run", [])


def test_a_schedule_of_single_steps_resumes_with_as_many_steps_an_epoch_alone(here: Path) -> None:
    before = RunMetadata({}, [], 1, 0, [], [], steps_per_epoch=8)
    start = ResumePoint(here, here / "checkpoints", "last.ckpt", before)
    with pytest.raises(CannotResume, match=r"epochs of 8 steps, and here they have 4.*hw\.devices as before"):
        build._refuse_other_steps(small(here, here, "scheduler=onecycle"), start, before, 4)
    build._refuse_other_steps(small(here, here, "scheduler=cosine"), start, before, 4)
