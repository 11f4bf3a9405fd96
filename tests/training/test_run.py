"""One run from a checked config to what MLflow keeps of it, with real tiles and a real database."""

import json
import math
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
import yaml
from mlflow import MlflowClient

from snowcover import checkpoints
from snowcover.config import Config
from snowcover.data.loader import Batch, TileLoader
from snowcover.errors import Stopped, UserError
from snowcover.tracking import Recorder
from snowcover.training import finish
from snowcover.training.batches import Batches
from snowcover.training.module import SnowModule
from snowcover.training.plots.outcome import draw_outcome
from snowcover.training.run import fit
from tests.making import QUICK, TINY_UNET, config, sources
from tests.servers import Bucket

pytestmark = pytest.mark.training

SMALL = (
    *TINY_UNET,
    "optimizer.lr=1e-3",
    "trainer.max_epochs=3",
    "trainer.batch_size=6",
    *QUICK,
)
TIMES = ("tiles_per_second", "peak_memory_gb")


@pytest.fixture
def here(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(finish, "draw_outcome", lambda *_: None)  # a third of a short run; drawn in one
    # Absolute, for MLflow keeps a connection for each address; set, for it leaves the last one set itself.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    return tmp_path


def small(tiles: Path | str, *overrides: str) -> Config:
    return config("data=tiles", sources(tiles), "tracking.system_metrics=false", "hw=cpu", *SMALL, *overrides)


def history(folder: Path) -> list[dict[str, float]]:
    """Of all epochs: in last.ckpt while there are more to come, in best.ckpt afterwards."""
    paths = [folder / "checkpoints" / name for name in ("last.ckpt", "best.ckpt")]
    path = next(path for path in paths if path.is_file())
    rows = checkpoints.load(str(path))["snowcover"]["history"]
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows]


def the_run(**filters: str) -> Any:
    client = MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    (run,) = client.search_runs(experiments)
    return client, run


def recorded(client: MlflowClient, run_id: str, metric: str) -> list[tuple[int, float]]:
    return [(entry.step, entry.value) for entry in client.get_metric_history(run_id, metric)]


def stop_at(monkeypatch: pytest.MonkeyPatch, epoch: int, batch: int) -> Callable[[], None]:
    """Raise Stopped in the middle of an epoch, as a signal would; returns what undoes it."""
    step = SnowModule.training_step

    def stopping(self: SnowModule, tiles: Any, index: int) -> Any:
        if (self.current_epoch, index) == (epoch, batch):
            raise Stopped("Stopped by SIGTERM.")
        return step(self, tiles, index)

    monkeypatch.setattr(SnowModule, "training_step", stopping)
    return lambda: monkeypatch.setattr(SnowModule, "training_step", step)


def takes_raw_tiles_and_needs_nothing_of_ours(client: MlflowClient, run: Any) -> None:
    (logged,) = client.search_logged_models([run.info.experiment_id])
    model = mlflow.pytorch.load_model(logged.model_uri)
    raw = np.random.default_rng(0).integers(1, 8000, (3, 4, 128, 192)).astype(np.uint16)
    raw[:, :, :7] = 0
    with torch.no_grad():
        probability = model(torch.from_numpy(raw))
    assert probability.shape == (3, 128, 192)
    assert probability[:, :7].isnan().all()
    assert ((probability[:, 7:] >= 0) & (probability[:, 7:] <= 1)).all()
    assert "snowcover" not in type(model).__module__
    with torch.no_grad():
        again = model.eval()(torch.from_numpy(raw))
    assert torch.equal(again.nan_to_num(-1), probability.nan_to_num(-1))
    signature = mlflow.models.get_model_info(logged.model_uri).signature
    assert signature.inputs.inputs[0].shape == (-1, 4, -1, -1)
    assert signature.inputs.inputs[0].type == np.dtype("uint16")


def test_a_run_leaves_everything_that_is_needed_to_compare_and_use_it(
    site: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finish, "draw_outcome", draw_outcome)
    exported = small(site, "tracking.export_model=true")
    objective = fit(exported, here / "run", ["model=unet", "optimizer.lr=1e-3", "+x.y=1"])
    client, run = the_run()
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "unet-tu-test_resnet optimizer.lr=1e-3 +x.y=1"
    assert run.data.params["trainer.max_epochs"] == "3"
    assert run.data.params["model.encoder_name"] == "tu-test_resnet"
    assert run.data.tags["override.optimizer.lr"] == "1e-3"
    assert run.data.tags["override.model"] == "unet"
    assert {"device", "precision", "host", "version.torch", "git.commit", "git.dirty"} <= set(run.data.tags)

    rows = history(here / "run")
    assert recorded(client, run.info.run_id, "val_iou") == [(i, row["val_iou"]) for i, row in enumerate(rows)]
    for name in ("train_loss", "val_loss", "val_f1", "val_kappa", "val_mcc", "tiles_per_second", "peak_memory_gb"):
        assert [step for step, _ in recorded(client, run.info.run_id, name)] == [0, 1, 2], name
    steps_per_epoch = math.ceil(22 / 6)
    assert [s for s, _ in recorded(client, run.info.run_id, "loss")] == list(range(3 * steps_per_epoch))
    assert objective == max(row["val_iou"] for row in rows)

    (entry,) = run.inputs.dataset_inputs
    digest = checkpoints.load(str(here / "run/checkpoints/best.ckpt"))["snowcover"]["manifest_digest"]
    assert digest.startswith(entry.dataset.digest)

    def names(folder: str = "") -> set[str]:
        return {Path(file.path).name for file in client.list_artifacts(run.info.run_id, folder or None)}

    assert {"config.yaml", "manifest.csv", "split.csv", "result.json"} <= names()
    assert not names("checkpoints")  # each weight once: in the model
    assert names("pictures") == {
        "tiles.png",
        "confusion.png",
        "precision_recall.png",
        "learning_curves.png",
        "split.png",
        "reliability.png",
    }
    assert yaml.safe_load((here / "run/config.yaml").read_text())["trainer"]["max_epochs"] == 3
    result = json.loads((here / "run/result.json").read_text())
    assert result["objective"] == objective
    assert rows[result["best_epoch"] - 1]["val_iou"] == objective
    assert run.data.metrics["test_iou"] == pytest.approx(result["test"]["iou"])
    assert {"test_brightness_iou", "test_ece", "test_ece_uncalibrated"} <= set(run.data.metrics)
    about = checkpoints.load(str(here / "run/checkpoints/best.ckpt"))["snowcover"]
    assert about["temperature"] == rows[result["best_epoch"] - 1]["val_temperature"] != 1
    takes_raw_tiles_and_needs_nothing_of_ours(client, run)


def test_the_same_seed_gives_identical_losses_with_any_number_of_workers(site: Path, here: Path) -> None:
    fit(small(site, "data.augment.brightness=0.1"), here / "a", [])
    fit(small(site, "data.augment.brightness=0.1", "hw.data_workers=1"), here / "b", [])
    assert history(here / "a") == history(here / "b")
    fit(small(site, "data.augment.brightness=0.1", "seed=7"), here / "c", [])
    assert history(here / "a") != history(here / "c")


@pytest.mark.parametrize(
    "overrides",
    [
        ("scheduler=none",), ("scheduler=cosine",), ("scheduler=onecycle",),
        ("scheduler=plateau", "scheduler.patience=0"), ("hw.precision=bf16-mixed",),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_stopped_run_resumes_as_if_it_had_never_stopped(
    site: Path, here: Path, monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...]
) -> None:
    fit(small(site, *overrides, "experiment_name=whole"), here / "outputs/whole/1", [])
    undo = stop_at(monkeypatch, epoch=2, batch=1)
    with pytest.raises(Stopped):
        fit(small(site, *overrides, "experiment_name=cut"), here / "outputs/cut/1", [])
    client = MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    (cut,) = client.search_runs([client.get_experiment_by_name("cut").experiment_id])
    assert cut.info.status == "KILLED"
    undo()
    fit(small(site, *overrides, "experiment_name=cut", "checkpoint.resume=auto"), here / "outputs/cut/2", [])

    assert history(here / "outputs/cut/1") == history(here / "outputs/whole/1")
    (whole,) = client.search_runs([client.get_experiment_by_name("whole").experiment_id])
    (cut,) = client.search_runs([client.get_experiment_by_name("cut").experiment_id])
    assert cut.info.status == "FINISHED"
    for metric in ("loss", "lr", "val_iou", "train_loss", "test_iou"):
        assert recorded(client, cut.info.run_id, metric) == recorded(client, whole.info.run_id, metric), metric


class StoppedAtStart(TileLoader):
    def __iter__(self) -> Iterator[Batch]:
        os.kill(os.getpid(), signal.SIGTERM)
        return super().__iter__()


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_stop_while_batches_are_asked_for_is_told_as_a_stop(
    split: str, site: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_loader = Batches._loader

    def make_stopping(batches: Batches, name: str, *seed: int) -> TileLoader:
        loader = make_loader(batches, name, *seed)
        if name == split:
            loader.__class__ = StoppedAtStart
        return loader

    monkeypatch.setattr(Batches, "_loader", make_stopping)
    with pytest.raises(Stopped, match=r"^Stopped by SIGTERM\.$"):
        fit(small(site, "trainer.max_epochs=1"), here / "run", [])
    assert the_run()[1].info.status == "KILLED"


def test_a_run_stopped_in_its_first_epoch_resumes_too(site: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undo = stop_at(monkeypatch, epoch=0, batch=2)
    with pytest.raises(Stopped):
        fit(small(site), here / "outputs/snowcover/1", [])
    undo()
    fit(small(site, "checkpoint.resume=auto"), here / "outputs/snowcover/2", [])
    _, run = the_run()
    assert [row["epoch"] for row in history(here / "outputs/snowcover/1")] == [0, 1, 2]
    assert run.info.status == "FINISHED"


def test_a_resumed_run_in_s3_brings_its_best_epoch_along(
    site: Path, here: Path, s3: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    undo = stop_at(monkeypatch, epoch=2, batch=0)
    with pytest.raises(Stopped):
        fit(small(site), here / "outputs/snowcover/1", [])
    undo()
    for name in ("best.ckpt", "last.ckpt"):
        s3.put(f"job/checkpoints/{name}", (here / "outputs/snowcover/1/checkpoints" / name).read_bytes())
    fit(small(site, f"checkpoint.resume={s3.uri}/job/checkpoints/last.ckpt"), here / "elsewhere", [])
    assert [row["epoch"] for row in history(here / "elsewhere")] == [0, 1, 2]
    assert (here / "elsewhere/checkpoints/best.ckpt").is_file()


def test_resuming_with_another_learning_rate_is_refused_and_weights_alone_are_not(site: Path, here: Path) -> None:
    fit(small(site, "scheduler=none"), here / "outputs/snowcover/1", [])
    best = here / "outputs/snowcover/1/checkpoints/best.ckpt"
    with pytest.raises(UserError, match=r"optimizer\.lr was 0\.001 and is now 0\.0001.*checkpoint\.init_from="):
        fit(small(site, "scheduler=none", "optimizer.lr=1e-4", f"checkpoint.resume={best}"), here / "x", [])
    slower = ("scheduler=none", "optimizer.lr=1e-4", "trainer.max_epochs=1")
    fit(small(site, *slower, f"checkpoint.init_from={best}"), here / "new", [])
    first = history(here / "new")[0]
    assert first["epoch"] == 0
    assert first["lr_at_end"] == 1e-4
    assert first["train_loss"] < history(here / "outputs/snowcover/1")[0]["train_loss"]


def test_a_run_that_began_from_weights_resumes_with_the_same_command(
    site: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(small(site, "trainer.max_epochs=1", "experiment_name=first"), here / "outputs/first/1", [])
    chained = f"checkpoint.init_from={here}/outputs/first/1/checkpoints/best.ckpt"
    undo = stop_at(monkeypatch, epoch=1, batch=1)
    with pytest.raises(Stopped):
        fit(small(site, chained, "trainer.max_epochs=2"), here / "outputs/snowcover/1", [])
    undo()
    before = history(here / "outputs/snowcover/1")
    fit(small(site, chained, "trainer.max_epochs=2", "checkpoint.resume=auto"), here / "outputs/snowcover/2", [])
    assert history(here / "outputs/snowcover/1")[:1] == before
    assert len(history(here / "outputs/snowcover/1")) == 2


def test_a_longer_run_resumes_from_a_finished_one(site: Path, here: Path) -> None:
    steady = ("scheduler=none", "checkpoint.keep_last=true")
    fit(small(site, *steady, "trainer.max_epochs=2"), here / "outputs/snowcover/1", [])
    done = fit(small(site, *steady, "trainer.max_epochs=2", "checkpoint.resume=auto"), here / "outputs/snowcover/2", [])
    assert done == json.loads((here / "outputs/snowcover/1/result.json").read_text())["objective"]
    assert (here / "outputs/snowcover/1/checkpoints/last.ckpt").is_file()  # having nothing to do takes nothing away
    fit(small(site, *steady, "trainer.max_epochs=3", "checkpoint.resume=auto"), here / "outputs/snowcover/3", [])
    assert [row["epoch"] for row in history(here / "outputs/snowcover/1")] == [0, 1, 2]


def test_patience_ends_a_run_that_no_longer_improves(site: Path, here: Path) -> None:
    fit(small(site, "optimizer.lr=0", "trainer.patience_epochs=1", "trainer.max_epochs=9"), here / "run", [])
    rows = history(here / "run")
    best = max(range(len(rows)), key=lambda index: rows[index]["val_iou"])
    assert len(rows) == best + 2 < 9


def test_a_failed_run_ends_failed_with_its_error(site: Path, here: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError):
        fit(small(tmp_path / "nothing"), here / "run", [])
    _, run = the_run()
    assert run.info.status == "FAILED"
    assert run.data.tags["error"].startswith("NoTiles: No mask tiles under")


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "sqlite:////dev/null/mlflow.db", "file:./mlruns"])
def test_a_store_that_cannot_record_is_reported_before_training(site: Path, here: Path, uri: str) -> None:
    with pytest.raises(UserError, match="MLflow cannot record at .* with tracking.uri="):
        fit(small(site, f"tracking.uri={uri}"), here / "run", [])
    assert not (here / "run/checkpoints").exists()


def test_a_password_in_the_tracking_uri_is_kept_nowhere(
    site: Path, here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = small(site, f"tracking.uri='sqlite://user:hunter2@/{here}/mlflow.db'")
    from snowcover.training.run import resume

    assert "hunter2" not in json.dumps(resume.public(secret))


def test_mlflow_unreachable_for_an_epoch_loses_nothing(site: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, calls = Recorder.metrics, []

    def flaky(self: Recorder, rows: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        calls.append(len(rows))
        if len(calls) in (1, 3):
            raise ConnectionError("server away")
        metrics(self, rows)

    monkeypatch.setattr(Recorder, "metrics", flaky)
    fit(small(site), here / "run", [])
    client, run = the_run()
    assert [step for step, _ in recorded(client, run.info.run_id, "val_iou")] == [0, 1, 2]
    assert [step for step, _ in recorded(client, run.info.run_id, "loss")] == list(range(12))


def snapshot_at(monkeypatch: pytest.MonkeyPatch, epoch: int, take: Callable[[], object]) -> None:
    """Call `take` in the first step of an epoch."""
    step = SnowModule.training_step

    def taking(self: SnowModule, tiles: Any, index: int) -> Any:
        if (self.current_epoch, index) == (epoch, 0):
            take()
        return step(self, tiles, index)

    monkeypatch.setattr(SnowModule, "training_step", taking)


@pytest.mark.parametrize("older", ["mlflow.db", "run/checkpoints"])
def test_copies_of_checkpoint_and_store_from_two_moments_give_each_epoch_once(
    site: Path, here: Path, monkeypatch: pytest.MonkeyPatch, older: str
) -> None:
    copy = shutil.copy if older == "mlflow.db" else shutil.copytree
    snapshot_at(monkeypatch, 1, lambda: copy(here / older, here / "copy"))
    stop_at(monkeypatch, epoch=3, batch=1)
    with pytest.raises(Stopped):
        fit(small(site, "trainer.max_epochs=4"), here / "run", [])
    monkeypatch.undo()
    monkeypatch.chdir(here)
    store = "copy" if older == "mlflow.db" else "mlflow.db"
    last = here / ("run/checkpoints" if older == "mlflow.db" else "copy") / "last.ckpt"
    goes_on = ("trainer.max_epochs=4", f"checkpoint.resume={last}", f"tracking.uri=sqlite:///{here}/{store}")
    fit(small(site, *goes_on), here / "again", [])
    client = MlflowClient(f"sqlite:///{here}/{store}")
    (run,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    for metric in ("val_iou", "train_loss", "lr_at_end"):
        assert [step for step, _ in recorded(client, run.info.run_id, metric)] == [0, 1, 2, 3], metric
    for metric in ("loss", "lr"):
        assert [step for step, _ in recorded(client, run.info.run_id, metric)] == list(range(16)), metric


def test_a_store_that_takes_half_of_an_epoch_gets_the_other_half_alone(
    site: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics, calls = Recorder.metrics, []

    def torn(self: Recorder, rows: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        calls.append(len(rows))
        metrics(self, rows[:3] if len(calls) == 2 else rows)
        if len(calls) == 2:
            raise ConnectionError("server away")

    monkeypatch.setattr(Recorder, "metrics", torn)
    fit(small(site), here / "run", [])
    client, run = the_run()
    assert [step for step, _ in recorded(client, run.info.run_id, "val_iou")] == [0, 1, 2]
    assert [step for step, _ in recorded(client, run.info.run_id, "loss")] == list(range(12))


def test_a_run_that_resumes_in_a_new_folder_has_there_what_it_was_made_from(
    site: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undo = stop_at(monkeypatch, epoch=1, batch=0)
    with pytest.raises(Stopped):
        fit(small(site, f"checkpoint.dir={here}/kept"), here / "first", [])
    undo()
    again = (f"checkpoint.dir={here}/kept", f"checkpoint.resume={here}/kept/last.ckpt")
    fit(small(site, *again), here / "second", [])
    for name in ("manifest.csv", "split.csv"):
        assert (here / "second" / name).read_bytes() == (here / "first" / name).read_bytes()
    assert (here / "second/split.png").is_file()
    assert yaml.safe_load((here / "second/config.yaml").read_text())["seed"] == 0
