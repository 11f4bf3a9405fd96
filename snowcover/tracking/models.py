"""The network as an MLflow model of its run: one, however often the end of a run is repeated."""

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Metric, Run
from mlflow.models import Model, ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types.schema import Schema, TensorSpec

from snowcover.tracking.artifacts import local_folder

NAME = "model"
DESCRIPTION = "MLmodel"
WEIGHTS = "weights_sha256"  # tag of a model that is whole: of which weights


class NotExported(Exception):
    """torch cannot export this network."""


@contextmanager
def exported(mapper: Any, example: np.ndarray[Any, Any], run: Run) -> Iterator[Path]:
    """The network as files of an MLflow model: raw tiles [N, C, H, W] in, snow probability [N, H, W] out.

    They are made on the disk that keeps the run's artifacts where that is this machine's, so that they need only be
    renamed.

    Raises:
        NotExported
    """
    artifacts = local_folder(run.info.artifact_uri)
    scratch = Path(tempfile.mkdtemp()) if artifacts is None else artifacts.parent / "model.part"
    shutil.rmtree(scratch, ignore_errors=True)  # of an earlier end that was interrupted
    scratch.parent.mkdir(parents=True, exist_ok=True)
    try:
        _export(mapper, example, scratch)
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _export(mapper: Any, example: np.ndarray[Any, Any], folder: Path) -> None:
    import torch

    from snowcover.compat import check_export, raw_tensor
    from snowcover.models.exported import exported as graph_of

    shape = (-1, example.shape[1], -1, -1)
    signature = ModelSignature(
        Schema([TensorSpec(example.dtype, shape, name=None)]),
        Schema([TensorSpec(np.dtype("float32"), (-1, -1, -1), name=None)]),
    )
    requirement = f"torch=={torch.__version__.partition('+')[0]}"
    try:
        check_export()
        graph = graph_of(mapper, raw_tensor(example))
        with _without_warnings():
            mlflow.pytorch.save_model(  # pickled: what torch.export.load gives raises on eval()
                graph, folder, mlflow_model=Model(), signature=signature, input_example=example,
                pip_requirements=[requirement], serialization_format="pickle",
            )  # fmt: skip
    except OSError:  # the disk's fault, not the network's
        raise
    except Exception as error:
        raise NotExported(str(error)) from error


@contextmanager
def _without_warnings() -> Iterator[None]:
    """MLflow warns of pickled models, which might hold code of others: this one is the run's own."""
    logger = logging.getLogger("mlflow.pytorch")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def digest(mapper: Any) -> str:
    """SHA-256 of a network's weights and the names that they have."""
    total = hashlib.sha256()
    for name, tensor in mapper.state_dict().items():
        total.update(name.encode())
        total.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()


def find_complete(client: MlflowClient, run: Run, weights: str) -> LoggedModel | None:
    """The run's model where it is whole and of these weights."""
    found = _of(client, run)
    return next((model for model in found if _is_whole(model) and model.tags.get(WEIGHTS) == weights), None)


def keep_model(client: MlflowClient, run: Run, files: Path, weights: str) -> LoggedModel:
    """Make the files the run's one model. One that was interrupted, or is of other weights, is filled again: MLflow
    forgets no model that a run once named."""
    found = _of(client, run)
    model = found[0] if found else _begin(client, run)
    if model.tags.get(WEIGHTS):
        client.set_logged_model_tags(model.model_id, {WEIGHTS: ""})  # until the new files are there
    _describe(files, model, run)
    folder = local_folder(model.artifact_location)
    if folder is None:
        client.log_model_artifacts(model.model_id, str(files))
    else:
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        files.replace(folder)
    if not _is_whole(model):
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    client.set_logged_model_tags(model.model_id, {WEIGHTS: weights})
    return model


def link_to_run(client: MlflowClient, run: Run, model: LoggedModel, metrics: Sequence[str]) -> None:
    """Name the model among what came out of the run, and the run's latest values of these metrics as its scores; any
    other model of the run is removed."""
    for other in _of(client, run):
        if other.model_id != model.model_id:
            client.delete_logged_model(other.model_id)
    outputs = run.outputs.model_outputs if run.outputs else []
    if model.model_id not in {output.model_id for output in outputs}:
        client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, step=0)])
    known = {(score.key, score.step, score.timestamp) for score in model.metrics or []}
    histories = [client.get_metric_history(run.info.run_id, key) for key in metrics]
    latest = [max(history, key=lambda score: (score.step, score.timestamp)) for history in histories if history]
    scores = [
        Metric(score.key, score.value, score.timestamp, score.step, model.model_id)
        for score in latest
        if (score.key, score.step, score.timestamp) not in known
    ]
    client.log_batch(run.info.run_id, metrics=scores, synchronous=True)


def _begin(client: MlflowClient, run: Run) -> LoggedModel:
    return client.create_logged_model(run.info.experiment_id, NAME, run.info.run_id, params=run.data.params)


def _of(client: MlflowClient, run: Run) -> list[LoggedModel]:
    """The models of a run, whole ones first."""
    found = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
    return sorted(found, key=lambda model: (not _is_whole(model), model.creation_timestamp))


def _is_whole(model: LoggedModel) -> bool:
    return bool(model.status == LoggedModelStatus.READY)


def _describe(files: Path, model: LoggedModel, run: Run) -> None:
    """Let the model's own description name the store's model and run."""
    described = Model.load(str(files / DESCRIPTION))
    described.artifact_path = model.artifact_location
    described.model_id = described.model_uuid = model.model_id
    described.run_id = run.info.run_id
    described.save(str(files / DESCRIPTION))
