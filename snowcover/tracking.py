"""What a run leaves in MLflow. The only place that imports mlflow."""

import contextlib
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

# Before mlflow is imported: a researcher's run tells nobody but the researcher.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
logging.getLogger("numexpr").setLevel(logging.WARNING)  # greets when pandas loads it
# Start-up must not take minutes to say that a server is away; later calls have MLflow's own patience again.
FIRST_CALL = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}

import mlflow  # noqa: E402 - after the settings that it reads when imported
from mlflow.data.code_dataset_source import CodeDatasetSource  # noqa: E402
from mlflow.data.meta_dataset import MetaDataset  # noqa: E402
from mlflow.entities import Metric, Param, RunTag  # noqa: E402
from mlflow.models import ModelSignature  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402
from mlflow.types.schema import Schema, TensorSpec  # noqa: E402

from snowcover.checking import without_password  # noqa: E402
from snowcover.errors import Stopped, UserError, first_line  # noqa: E402

log = logging.getLogger(__name__)

VALUE_LENGTH = 500  # of a parameter or tag; MLflow's smallest limit among its stores
BATCH = 900  # metrics a request; MLflow takes 1,000


class CannotRecord(UserError):
    """MLflow cannot be reached or written."""


class Recorder:
    """One MLflow run, written to."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client = client
        self.run_id = run_id

    def params(self, values: Mapping[str, Any]) -> None:
        entries = [Param(key, str(value)[:VALUE_LENGTH]) for key, value in values.items()]
        for start in range(0, len(entries), 100):
            self._client.log_batch(self.run_id, params=entries[start : start + 100])

    def tags(self, values: Mapping[str, Any]) -> None:
        self._client.log_batch(self.run_id, tags=[RunTag(k, str(v)[:VALUE_LENGTH]) for k, v in values.items()])

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
    uri: str, experiment: str, name: str, system_metrics: bool, run_id: str | None = None
) -> Iterator[Recorder]:
    """A run that ends FINISHED, FAILED (with the error as a tag) or KILLED as the block does.

    Args:
        run_id: go on with this run instead of beginning one.

    Raises:
        CannotRecord: MLflow cannot be reached or written.
    """
    client = _begin(uri, experiment, name, system_metrics, run_id)
    run = mlflow.active_run()
    assert run is not None
    recorder = Recorder(client, run.info.run_id)
    try:
        yield recorder
    except BaseException as error:
        _end(recorder, "KILLED" if isinstance(error, Stopped) else "FAILED", error)
        raise
    mlflow.end_run("FINISHED")


def _begin(uri: str, experiment: str, name: str, system_metrics: bool, run_id: str | None) -> MlflowClient:
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    kept = {key: os.environ.get(key) for key in FIRST_CALL}
    os.environ.update({key: value for key, value in FIRST_CALL.items() if kept[key] is None})
    try:
        with _alone_in(uri):
            mlflow.set_tracking_uri(uri)
            found = mlflow.set_experiment(experiment)
        mlflow.start_run(
            run_id, experiment_id=None if run_id else found.experiment_id, run_name=None if run_id else name,
            log_system_metrics=system_metrics,
        )  # fmt: skip
        return MlflowClient(uri)
    except Exception as error:  # SQLAlchemy's, requests' and MLflow's own kinds all mean the same here
        raise CannotRecord(
            f"MLflow cannot record at {without_password(uri)} ({without_password(first_line(error))}): "
            "give a store that can be reached and written "
            "with tracking.uri=..."
        ) from error
    finally:
        for key, value in kept.items():
            if value is None:
                os.environ.pop(key, None)


def _alone_in(uri: str) -> AbstractContextManager[Any]:
    """MLflow makes a database's tables without a lock: two runs that start at once would both make them."""
    path = uri.removeprefix("sqlite:///")
    return FileLock(f"{path}.lock", timeout=120) if path != uri else contextlib.nullcontext()


def _end(recorder: Recorder, status: str, error: BaseException) -> None:
    try:
        if status == "FAILED":
            recorder.tags({"error": f"{type(error).__name__}: {error}"})
        mlflow.end_run(status)
    except Exception as second:  # the first error is the one to tell
        log.warning("MLflow could not be told that the run ended %s: %s", status, first_line(second))
