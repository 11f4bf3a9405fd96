"""One run, recorded while it trains."""

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Metric, Param
from mlflow.models import ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types.schema import Schema, TensorSpec

from snowcover.errors import Stopped, first_line
from snowcover.tracking import store
from snowcover.tracking.store import BATCH, PARAMS, VALUE_LENGTH, run_tags

log = logging.getLogger(__name__)


class Recorder:
    """One MLflow run, written to."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client = client
        self.run_id = run_id

    def params(self, values: Mapping[str, Any]) -> None:
        entries = [Param(key, str(value)[:VALUE_LENGTH]) for key, value in values.items()]
        for start in range(0, len(entries), PARAMS):
            self._client.log_batch(self.run_id, params=entries[start : start + PARAMS])

    def tags(self, values: Mapping[str, Any]) -> None:
        self._client.log_batch(self.run_id, tags=run_tags(values))

    def metrics(self, rows: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        """Rows of (step, values)."""
        now = int(time.time() * 1000)
        entries = [Metric(key, float(value), now, step) for step, row in rows for key, value in row.items()]
        for start in range(0, len(entries), BATCH):
            self._client.log_batch(self.run_id, metrics=entries[start : start + BATCH])

    def last_step(self, metric: str) -> int:
        """The highest step at which a metric is recorded, -1 where it is not."""
        return max((entry.step for entry in self._client.get_metric_history(self.run_id, metric)), default=-1)

    def artifact(self, path: Path, folder: str | None = None) -> None:
        self._client.log_artifact(self.run_id, str(path), folder)

    def dataset(self, name: str, digest: str) -> None:
        """The manifest, as the run's dataset; MLflow takes 36 characters of its digest."""
        source = CodeDatasetSource({"manifest": "manifest.csv"})
        entry = MetaDataset(source, name=name[:VALUE_LENGTH], digest=digest[:36])  # type: ignore[abstract]
        mlflow.log_input(entry, context="training")

    def model(self, mapper: Any, example: np.ndarray[Any, Any]) -> None:
        """The network as an MLflow model: raw tiles [N, C, H, W] in, snow probability [N, H, W] out."""
        import torch

        shape = (-1, example.shape[1], -1, -1)
        signature = ModelSignature(
            Schema([TensorSpec(example.dtype, shape, name=None)]),
            Schema([TensorSpec(np.dtype("float32"), (-1, -1, -1), name=None)]),
        )
        requirement = f"torch=={torch.__version__.partition('+')[0]}"
        mlflow.pytorch.log_model(
            mapper, name="model", signature=signature, input_example=example, pip_requirements=[requirement]
        )


@contextlib.contextmanager
def recorded(
    uri: str,
    experiment: str,
    name: str,
    system_metrics: bool,
    run_id: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> Iterator[Recorder]:
    """A run that ends FINISHED, FAILED (with the error as a tag) or KILLED as the block does.

    Args:
        run_id: go on with this run instead of beginning one.
        tags: on the run from its first moment; those that MLflow sets itself, such as its user, give way to them.

    Raises:
        CannotRecord: MLflow cannot be reached or written.
    """
    client = _begin(uri, experiment, name, system_metrics, run_id, tags or {})
    run = mlflow.active_run()
    assert run is not None
    recorder = Recorder(client, run.info.run_id)
    try:
        yield recorder
    except BaseException as error:
        _end(recorder, "KILLED" if isinstance(error, Stopped) else "FAILED", error)
        raise
    mlflow.end_run("FINISHED")


def _begin(
    uri: str, experiment: str, name: str, system_metrics: bool, run_id: str | None, tags: Mapping[str, str]
) -> MlflowClient:
    with store.told_as_a_sentence(uri), store.little_patience():
        with store.alone_in(uri):
            mlflow.set_tracking_uri(uri)
            client = MlflowClient(uri)
            experiment_id = store.experiment_id(client, experiment)
        mlflow.start_run(
            run_id, experiment_id=None if run_id else experiment_id, run_name=None if run_id else name,
            tags={tag.key: tag.value for tag in run_tags(tags)}, log_system_metrics=system_metrics,
        )  # fmt: skip
    return client


def _end(recorder: Recorder, status: store.Status, error: BaseException) -> None:
    try:
        if status == "FAILED":
            recorder.tags({"error": f"{type(error).__name__}: {error}"})
        mlflow.end_run(status)
    except Exception as second:  # the first error is the one to tell
        log.warning("MLflow could not be told that the run ended %s: %s", status, first_line(second))
