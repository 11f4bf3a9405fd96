"""A trained network as a run left it in MLflow: its weights, config and manifest, read as data."""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import yaml
from mlflow.entities import Run
from mlflow.models import Model
from mlflow.tracking import MlflowClient

from snowcover.baselines.stored import FILE, from_npz
from snowcover.checkpoints import METADATA, BadCheckpoint, load_with_sha256
from snowcover.data.layer_facts import LayerNumbers
from snowcover.data.layer_names import all_channels
from snowcover.errors import UserError
from snowcover.models.weights import pickled_weights
from snowcover.run_metadata import RunMetadata
from snowcover.secrets import masked_uri
from snowcover.tracking.store import connect
from snowcover.tracking_uri import sqlite_path

DEFAULT_URI = "sqlite:///mlflow.db"
CHECKPOINT = "checkpoints/best.ckpt"  # of networks that cannot be exported
WEIGHTS = "data/model.pth"
CONFIG, MANIFEST = "config.yaml", "manifest.csv"
GRID_TAGS = ("tiles.zoom", "tiles.size_px")  # of training.summary.grid_tags


class NoSuchRun(UserError):
    """The store has no such run or model, or it has no network."""


@dataclass(frozen=True)
class Fetched:
    """A checkpoint out of MLflow, and the text of its run's manifest."""

    checkpoint: Mapping[str, Any]
    uri: str
    sha256: str
    manifest: str


def fetch(address: str, tracking_uri: str | None) -> Fetched:
    """The network of a run (its id) or of a models:/ address.

    Raises:
        NoSuchRun, BadCheckpoint
        CannotRecord: the store does not answer.
    """
    store = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
    _refuse_missing(address, store)
    with connect(store) as client, tempfile.TemporaryDirectory() as scratch:
        if address.startswith("models:/"):
            files = _model_files(address, scratch, store)
            run = _run(client, str(Model.load(str(files / "MLmodel")).run_id), store)
            return _of_model(client, run, address, files, scratch)
        run = _run(client, address.removeprefix("runs:/"), store)
        return _of_run(client, run, scratch, store)


def fetch_tiles(run_id: str, tracking_uri: str | None) -> tuple[str, dict[str, Any]]:
    """The text of a run's manifest and its config: which ground it was trained on.

    Raises:
        NoSuchRun
        CannotRecord: the store does not answer.
    """
    store = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
    _refuse_missing(run_id, store)
    with connect(store) as client, tempfile.TemporaryDirectory() as scratch:
        run = _run(client, run_id, store)
        return _text(client, run, MANIFEST, scratch), yaml.safe_load(_text(client, run, CONFIG, scratch))


def _refuse_missing(address: str, store: str) -> None:
    path = sqlite_path(store)
    if path is not None and not path.is_file():  # MLflow would make an empty one
        raise NoSuchRun(f"{address} cannot be looked up: there is no {path}; name the store with tracking.uri=...")


def _run(client: MlflowClient, run_id: str, store: str) -> Run:
    try:
        return client.get_run(run_id)
    except mlflow.MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise NoSuchRun(f"{masked_uri(store)} has no run {run_id}: name its store, tracking.uri=...") from error


def _model_files(address: str, scratch: str, store: str) -> Path:
    try:
        return Path(mlflow.artifacts.download_artifacts(address, dst_path=f"{scratch}/model"))
    except mlflow.MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND"):
            raise
        raise NoSuchRun(f"{masked_uri(store)} has no model {address}: name its store, tracking.uri=...") from error


def _of_run(client: MlflowClient, run: Run, scratch: str, store: str) -> Fetched:
    run_id = run.info.run_id
    if any(file.path == CHECKPOINT for file in client.list_artifacts(run_id, "checkpoints")):
        checkpoint, sha256 = load_with_sha256(client.download_artifacts(run_id, CHECKPOINT, scratch))
        return Fetched(checkpoint, f"runs:/{run_id}/{CHECKPOINT}", sha256, _text(client, run, MANIFEST, scratch))
    models = run.outputs.model_outputs if run.outputs else []
    if not models:
        raise NoSuchRun(f"The run {run_id} has no network: it has not ended, or was not one of training.")
    address = f"models:/{models[0].model_id}"
    return _of_model(client, run, address, _model_files(address, scratch, store), scratch)


def _of_model(client: MlflowClient, run: Run, address: str, files: Path, scratch: str) -> Fetched:
    weights = files / WEIGHTS
    try:
        state = {f"mapper.{name}": value for name, value in pickled_weights(weights).items()}
        mean, std = (state[f"mapper.{name}"].flatten().tolist() for name in ("mean", "std"))
        temperature = float(state["mapper.temperature"])
    except Exception as error:  # whatever an unpickler makes of a file of another kind
        raise BadCheckpoint(f"{address} is no network that snowcover recorded: give a checkpoint instead.") from error
    config = yaml.safe_load(_text(client, run, CONFIG, scratch))
    data, tags = config["data"], run.data.tags
    bands, channels = data["bands"], all_channels(data.get("layers"))
    layers = LayerNumbers(channels, tuple(mean[len(bands) :]), tuple(std[len(bands) :]))
    metadata = RunMetadata(
        config=config,
        bands=bands,
        scale=data["scale"],
        offset=data["offset"],
        mean=mean[: len(bands)],
        std=std[: len(bands)],
        layers=layers,
        temperature=temperature,
        run_id=run.info.run_id,
        commit=_commit(run),
        **_baselines(client, run, scratch),
    )
    metadata.zoom, metadata.tile_size = (int(tags[tag]) if tag in tags else None for tag in GRID_TAGS)
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    return Fetched(
        {"state_dict": state, METADATA: metadata.to_dict()}, address, sha256, _text(client, run, MANIFEST, scratch)
    )


def _baselines(client: MlflowClient, run: Run, scratch: str) -> dict[str, Any]:
    """What the run kept of its baselines; nothing of a run that is older than they are."""
    run_id = run.info.run_id
    if not any(file.path == FILE for file in client.list_artifacts(run_id)):
        return {}
    return from_npz(Path(client.download_artifacts(run_id, FILE, scratch)).read_bytes(), f"runs:/{run_id}/{FILE}")


def _text(client: MlflowClient, run: Run, name: str, scratch: str) -> str:
    try:
        return Path(client.download_artifacts(run.info.run_id, name, scratch)).read_text(encoding="utf-8")
    except (OSError, mlflow.MlflowException) as error:
        raise NoSuchRun(f"The run {run.info.run_id} has no {name}: it was not one of snowcover's training.") from error


def _commit(run: Run) -> str | None:
    sha = run.data.tags.get("git.commit")
    return sha and sha + ("-dirty" if run.data.tags.get("git.dirty") == "true" else "")
