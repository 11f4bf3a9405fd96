"""MLflow stores as jobs leave them, and a user's own."""

import contextlib
import hashlib
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput

from snowcover.tracking import recorded
from snowcover.training.run import fit
from tests.making import config, sources

OF_A_COPY = {"brought_from"}  # tags that only a copy has
DESCRIPTION = "MLmodel"


@dataclass(frozen=True)
class Left:
    """What a job left: a folder that is no longer where the job wrote it, and what a user saw there."""

    folder: Path
    run_id: str
    whole: dict[str, Any]


def everything(uri: str, run_id: str) -> dict[str, Any]:
    """All that MLflow keeps of a run, without what names the store it is in."""
    client = MlflowClient(uri)
    run = client.get_run(run_id)
    histories = {key: client.get_metric_history(run_id, key) for key in run.data.metrics}
    models = [client.get_logged_model(output.model_id) for output in run.outputs.model_outputs]
    return {
        "name": run.info.run_name,
        "status": run.info.status,
        "times": (run.info.start_time, run.info.end_time),
        "params": run.data.params,
        "tags": {
            key: value.replace(run_id, "this run") for key, value in run.data.tags.items() if key not in OF_A_COPY
        },
        "metrics": {
            key: sorted((each.timestamp, each.step, repr(each.value)) for each in history)
            for key, history in histories.items()
        },
        "latest": {key: repr(value) for key, value in run.data.metrics.items()},  # nan is not equal to itself
        "datasets": [entry.to_dictionary() for entry in run.inputs.dataset_inputs],
        "files": _digests(run.info.artifact_uri, uri),
        "steps": [output.step for output in run.outputs.model_outputs],
        "models": [
            {
                "name": model.name,
                "status": model.status,
                "params": model.params,
                "tags": model.tags,
                "metrics": sorted((each.key, each.timestamp, each.step, each.value) for each in model.metrics or []),
                "files": _digests(model.artifact_location, uri),
            }
            for model in models
        ],
    }


def runs(uri: str) -> list[Any]:
    """The runs of the experiment `home`."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("home")
    return list(client.search_runs([experiment.experiment_id])) if experiment else []


def execute(database: Path, *statements: str) -> None:
    """Change a store behind MLflow's back."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def _digests(artifact_uri: str, uri: str) -> dict[str, str]:
    folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=artifact_uri, tracking_uri=uri))
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != DESCRIPTION  # which names the store
    }


def _moved(work: Path, to: Path) -> Path:
    to.mkdir(parents=True)
    for name in ("mlflow.db", "mlruns"):
        (work / name).rename(to / name)
    shutil.rmtree(work)
    return to


@pytest.fixture(scope="session")
def trained(site: Path, empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Left:
    """A real training's store."""
    work = tmp_path_factory.mktemp("machine")
    uri = f"sqlite:///{work}/mlflow.db"
    shutil.copyfile(empty_database, work / "mlflow.db")
    small = ("model=unet", "model.encoder_name=tu-mobilenetv3_small_050", "trainer.max_epochs=2", "hw=cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        patch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", ".1")  # a second or two is all that it trains
        composed = config(
            "data=tiles", sources(site), *small, f"tracking.uri={uri}", "+tracking.tags={job: job-1}",
            "experiment_name=on-the-machine",
        )  # fmt: skip
        fit(composed, work / "run", ["optimizer.lr=1e-3"])
    (run,) = MlflowClient(uri).search_runs(["1"])
    whole = everything(uri, run.info.run_id)
    return Left(_moved(work, tmp_path_factory.mktemp("fetched") / "mlflow"), run.info.run_id, whole)


@pytest.fixture(scope="session")
def little(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Left:
    """A store with little in it, of each kind; tests work on copies."""
    work = tmp_path_factory.mktemp("machine")
    uri = f"sqlite:///{work}/mlflow.db"
    shutil.copyfile(empty_database, work / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        with recorded(uri, "on-the-machine", "little", False, tags={"job": "job-1"}) as recorder:
            recorder.params({"optimizer.lr": 1e-3})
            recorder.metrics([(step, {"loss": 1 / (1 + step), "nan": float("nan")}) for step in range(40)])
            recorder.metrics([(epoch, {"val_iou": epoch / 10}) for epoch in range(3)])
            recorder.dataset("ASO_20180528", "d1" * 20)
            (work / "result.json").write_text("{}")
            recorder.artifact(work / "result.json")
            _little_model(MlflowClient(uri), recorder.run_id, work)
    whole = everything(uri, recorder.run_id)
    return Left(_moved(work, tmp_path_factory.mktemp("fetched") / "mlflow"), recorder.run_id, whole)


def _little_model(client: MlflowClient, run_id: str, work: Path) -> None:
    model = client.create_logged_model("1", "model", run_id, {"kind": "little"}, {"optimizer.lr": "0.001"})
    (work / DESCRIPTION).write_text(f"artifact_path: {model.artifact_location}\nrun_id: {run_id}\n")
    client.log_model_artifact(model.model_id, str(work / DESCRIPTION))
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 2)])
    client.finalize_logged_model(model.model_id, "READY")


@pytest.fixture
def left(little: Left, tmp_path: Path) -> Left:
    """The little store, to do with as a test likes."""
    folder = Path(shutil.copytree(little.folder, tmp_path / "left"))
    return Left(folder, little.run_id, little.whole)


@pytest.fixture
def home(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The user's store, in an empty working folder."""
    folder = tmp_path / "home"
    folder.mkdir()
    shutil.copyfile(empty_database, folder / "mlflow.db")
    monkeypatch.chdir(folder)
    yield f"sqlite:///{folder}/mlflow.db"
