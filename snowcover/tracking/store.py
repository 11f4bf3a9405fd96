"""How a store is reached: with short timeouts at first, one process at a time, and one message where it fails."""

import contextlib
import importlib.util
import logging
import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal

from filelock import FileLock
from mlflow.entities import DatasetInput, Experiment, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.tracking._tracking_service.utils import _use_tracking_uri
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from snowcover.errors import UserError
from snowcover.secrets import masked_values
from snowcover.tracking.artifacts import place_next_to
from snowcover.tracking.database import check_database, check_tables
from snowcover.tracking.errors import CannotRecord, cannot_record
from snowcover.tracking_uri import real, sqlite_path

Status = Literal["FINISHED", "FAILED", "KILLED"]

VALUE_LENGTH = 500  # of a parameter or tag; MLflow's smallest limit among its stores
NOTE_LENGTH = 5000  # of the one tag that is a text, a run's description
BATCH = 900  # metrics a request; MLflow takes 1,000
PARAMS = 100  # parameters, or tags, a request: MLflow's limit
LOCK_SECONDS = 120
# Start-up must not take minutes to say that a server is unreachable.
SHORT_TIMEOUTS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
FEW_RETRIES = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
QUIET = {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
# Else MLflow's pages take an experiment for one of language models, with prompts and judges; those of 3.17 do so
# anyway, unless their address says otherwise: see addresses.ui_hint.
KIND = {"mlflow.experimentKind": "custom_model_development"}
TAG = re.compile(r"[\w.\- :/]{1,250}")
ALREADY_THERE = re.compile(r"unique constraint|duplicate (key|entry)", re.I)  # SQLite and PostgreSQL, MySQL
ARN = re.compile(r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:\d{12}:mlflow-(tracking-server|app)/[A-Za-z0-9-]+")


@contextlib.contextmanager
def connect(uri: str) -> Iterator[MlflowClient]:
    """A client of a store that answers.

    Raises:
        CannotRecord: whatever goes wrong with the store in the block.
    """
    uri = real(uri)
    with mlflow_errors(uri), addressed(uri), _by_default(QUIET):
        with short_timeouts():
            found = client(uri)
        yield found


def client(uri: str) -> MlflowClient:
    """A client of a store that answers; a database that is not there yet is made.

    Raises:
        CannotRecord: an SQLite file that MLflow could not keep a run in.
        Exception: those of MLflow and of what it reaches the store through.
    """
    check_database(uri)
    with store_lock(uri):
        check_tables(uri)  # not before: another process may be making them
        found = MlflowClient(uri)
        found.search_experiments(max_results=1)
    return found


@contextlib.contextmanager
def mlflow_errors(uri: str) -> Iterator[None]:
    """Any error of the block is a CannotRecord: SQLAlchemy's, requests', boto's and MLflow's own mean the same here."""
    keep_quiet()
    _refuse_wrong_arn(uri)
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise cannot_record(error, uri) from error


def short_timeouts() -> AbstractContextManager[None]:
    """An HTTP server has one more try and ten seconds to answer in."""
    return _by_default(SHORT_TIMEOUTS)


def few_retries() -> AbstractContextManager[None]:
    """An HTTP server has one more try: who waits longer says so (see retry.py), which MLflow does not."""
    return _by_default(FEW_RETRIES)


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


def store_lock(uri: str) -> AbstractContextManager[Any]:
    """MLflow makes a database's tables without a lock: two runs that start at once would both make them."""
    path = sqlite_path(uri)
    if path is None:
        return contextlib.nullcontext()
    path.absolute().parent.mkdir(parents=True, exist_ok=True)
    return FileLock(f"{path}.lock", timeout=LOCK_SECONDS)


def experiment_id(client: MlflowClient, uri: str, name: str) -> str:
    """The id of the experiment of a name, made where there is none."""
    return str(experiment(client, uri, name).experiment_id)


def experiment(client: MlflowClient, uri: str, name: str) -> Experiment:
    """The experiment of a name, made where there is none.

    Raises:
        CannotRecord: it was deleted, or its name differs in case.
    """
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return client.get_experiment(client.create_experiment(name, place_next_to(uri, name), KIND))
        except MlflowException:
            found = client.get_experiment_by_name(name)  # another process was faster
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise MlflowException(
            f"the experiment {name} was deleted: `mlflow experiments restore -x {found.experiment_id}` brings it back"
        )
    if found.name != name:
        raise CannotRecord(
            f"The store takes {name} for its experiment {found.name}: give experiment_name={found.name}, or another."
        )
    return found


def log_datasets(client: MlflowClient, run_id: str, datasets: Sequence[DatasetInput]) -> None:
    """Name the datasets of a run. MLflow looks for them and then adds those it lacks, without a lock: where another run
    on the same tiles was faster to add them, a second look finds them."""
    try:
        client.log_inputs(run_id, datasets)
    except MlflowException as error:
        if not ALREADY_THERE.search(str(error)):
            raise
        client.log_inputs(run_id, datasets)


def has_run(client: MlflowClient, run_id: str) -> bool:
    """Whether a store knows a run, deleted or not."""
    try:
        client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    return True


def refuse_wrong_tags(tags: Iterable[str]) -> None:
    """MLflow takes a tag of any name when a run is created, but not when the run is resumed.

    Raises:
        CannotRecord
    """
    for key in tags:
        if not TAG.fullmatch(key) or posixpath.normpath(key) != key or key.startswith(("/", "..")):
            raise CannotRecord(
                f"tracking.tags: MLflow takes no tag called {key[:60]!r}: give it a name of letters, digits, spaces "
                "and _ - . : /, of at most 250 characters."
            )


def run_tags(values: Mapping[str, Any]) -> list[RunTag]:
    """Tags as MLflow takes them, secrets in values masked."""
    return [RunTag(key, value) for key, value in shown_values(values).items()]


def shown_values(values: Mapping[str, Any]) -> dict[str, str]:
    """Values of tags or parameters as whoever sees the run may read them, and as long as MLflow takes them."""
    lengths = {MLFLOW_RUN_NOTE: NOTE_LENGTH}
    return {key: str(value)[: lengths.get(key, VALUE_LENGTH)] for key, value in masked_values(values).items()}


@contextlib.contextmanager
def addressed(uri: str) -> Iterator[None]:
    """MLflow's own address is this store's, in the environment too; afterwards it is what it was.

    Some of MLflow knows no other: SageMaker's plugin signs requests for that server alone.
    """
    variable = os.environ.get("MLFLOW_TRACKING_URI")
    try:
        with _use_tracking_uri(uri):
            yield
    finally:
        if variable is not None:
            os.environ["MLFLOW_TRACKING_URI"] = variable


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
    # urllib3 warns of each try, and the last one's error is reported anyway
    for name in ("mlflow.tracking.request_header.registry", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # the first logs an error that is reported anyway, in a hundred lines; the other of each load that it cannot record
    for name in ("mlflow.store.db.utils", "mlflow.system_metrics"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
