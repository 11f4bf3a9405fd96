"""How a store is reached: with little patience at first, one process at a time, and one sentence where it fails."""

import contextlib
import importlib.util
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Literal

import mlflow
from filelock import FileLock
from mlflow.entities import RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from snowcover.addresses import without_password
from snowcover.errors import UserError, first_line

Status = Literal["FINISHED", "FAILED", "KILLED"]

VALUE_LENGTH = 500  # of a parameter or tag; MLflow's smallest limit among its stores
BATCH = 900  # metrics a request; MLflow takes 1,000
PARAMS = 100  # parameters, or tags, a request: MLflow's limit
# Start-up must not take minutes to say that a server is away; later calls have MLflow's own patience again.
LITTLE_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
NO_LINKS = {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
ARN = re.compile(r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:\d{12}:mlflow-(tracking-server|app)/[A-Za-z0-9-]+")


class CannotRecord(UserError):
    """MLflow cannot be reached or written."""


@contextlib.contextmanager
def reached(uri: str) -> Iterator[MlflowClient]:
    """A client of a store that answers.

    Raises:
        CannotRecord: whatever goes wrong with the store in the block.
    """
    with told_as_a_sentence(uri), _addressed(uri), _by_default(NO_LINKS):
        with little_patience(), alone_in(uri):
            client = MlflowClient(uri)
            client.search_experiments(max_results=1)
        yield client


@contextlib.contextmanager
def told_as_a_sentence(uri: str) -> Iterator[None]:
    """Any error of the block is a CannotRecord: SQLAlchemy's, requests', boto's and MLflow's own mean the same here."""
    keep_quiet()
    _refuse_wrong_arn(uri)
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        way_out = "log in to AWS as somebody who may use that server, or " if _is_arn(uri) else ""
        raise CannotRecord(
            f"MLflow cannot record at {without_password(uri)} ({without_password(first_line(error))}): "
            f"{way_out}give a store that can be reached and written with tracking.uri=..."
        ) from error


def little_patience() -> AbstractContextManager[None]:
    """An HTTP server has one more try and ten seconds to answer in."""
    return _by_default(LITTLE_PATIENCE)


@contextlib.contextmanager
def _by_default(settings: Mapping[str, str]) -> Iterator[None]:
    """MLflow reads its settings from the environment at each call; those of the user stay."""
    added = [key for key in settings if key not in os.environ]
    os.environ.update({key: settings[key] for key in added})
    try:
        yield
    finally:
        for key in added:
            os.environ.pop(key, None)


def alone_in(uri: str) -> AbstractContextManager[Any]:
    """MLflow makes a database's tables without a lock: two runs that start at once would both make them."""
    path = uri.removeprefix("sqlite:///")
    return FileLock(f"{path}.lock", timeout=120) if path != uri else contextlib.nullcontext()


def experiment_id(client: MlflowClient, name: str) -> str:
    """The experiment of a name, made where there is none."""
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return client.create_experiment(name)
        except MlflowException:
            found = client.get_experiment_by_name(name)  # another process was faster
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise MlflowException(
            f"the experiment {name} was deleted: `mlflow experiments restore -x {found.experiment_id}` brings it back"
        )
    return found.experiment_id


def run_tags(values: Mapping[str, Any]) -> list[RunTag]:
    return [RunTag(key, str(value)[:VALUE_LENGTH]) for key, value in values.items()]


@contextlib.contextmanager
def _addressed(uri: str) -> Iterator[None]:
    """SageMaker's plugin signs requests for the server that this process records at, whatever the client's own."""
    if not _is_arn(uri):
        yield
        return
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)


def _is_arn(uri: str) -> bool:
    return uri.startswith("arn:")


def _refuse_wrong_arn(uri: str) -> None:
    if not _is_arn(uri):
        return
    if not ARN.fullmatch(uri):
        raise CannotRecord(
            f"tracking.uri={uri} is no ARN of a managed MLflow server: give the TrackingServerArn that "
            "`aws sagemaker list-mlflow-tracking-servers` shows, "
            "such as arn:aws:sagemaker:us-west-2:123456789012:mlflow-tracking-server/snow."
        )
    if importlib.util.find_spec("sagemaker_mlflow") is None:
        raise CannotRecord(f"MLflow reaches {uri} through a plugin that is not here: pip install sagemaker-mlflow.")


def keep_quiet() -> None:
    """Keep MLflow's own talk off the terminal."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # sagemaker-mlflow, where it is installed, takes each server's address for an ARN, and MLflow warns of every time;
    # urllib3 warns of each try, and the last one's error is told anyway
    for name in ("mlflow.tracking.request_header.registry", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.ERROR)
