"""What is added to a run that trains or has ended, and stays as it is otherwise."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from snowcover.tracking import store
from snowcover.tracking.recording import Recorder
from snowcover.tracking.retry import Retry
from snowcover.tracking_uri import absolute, real


@contextlib.contextmanager
def append_to_run(uri: str, run_id: str) -> Iterator[Recorder | None]:
    """Metrics, tags and files logged in the block join the run, whose status and times stay; None where the store
    has no such run, or it was deleted there.

    Raises:
        CannotRecord
    """
    uri = absolute(real(uri), Path.cwd())
    with store.connect(uri) as client:
        run = _active_run(client, run_id)
        yield None if run is None else Recorder(client, run, Retry(uri))


def _active_run(client: MlflowClient, run_id: str) -> Run | None:
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None
    return run if run.info.lifecycle_stage == "active" else None
