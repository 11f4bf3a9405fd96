"""The run of a job, brought from the job's own store into the user's: whole, and once."""

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Metric, Param, Run, RunInfo
from mlflow.tracking import MlflowClient

from snowcover.addresses import sqlite_path
from snowcover.tracking.artifacts import keep_all, local_folder
from snowcover.tracking.job_store import CannotBring, JobStore, job_store
from snowcover.tracking.store import BATCH, PARAMS, experiment_id, reached, run_tags

log = logging.getLogger(__name__)

# Tags whose value is the run's id in the job's store: of a copy that is whole, and of one that is not yet.
BROUGHT, BRINGING = "brought_from", "bringing"
RUN_NAME = "mlflow.runName"
DESCRIPTION = "MLmodel"
LOCK_SECONDS = 1800  # other runs may be on their way into the same store


def bring_run(store: Path, uri: str, experiment: str, tags: Mapping[str, str]) -> str:
    """Copy a job's run whole: parameters, tags, metrics with steps and times, dataset, artifacts, models, its end.

    Done twice, it is there once; a copy that was broken off is removed and made again.

    Args:
        store: folder with `mlflow.db` and `mlruns`, as the job left it; nothing outside of it is read.
        tags: more tags of the run, which win over those that it has.

    Returns:
        The run's id in the user's store.

    Raises:
        CannotBring: the job's store is not there, damaged, or has no run.
        CannotRecord: the user's store cannot be reached or written.
    """
    with job_store(store) as source, reached(uri) as client, _one_at_a_time(uri):
        home = experiment_id(client, uri, experiment)
        origin = source.run.info.run_id
        for run in _runs_with(client, home, BROUGHT, origin):
            if BRINGING in run.data.tags:  # broken off at the very last
                client.delete_tag(run.info.run_id, BRINGING)
            client.log_batch(run.info.run_id, tags=run_tags(tags), synchronous=True)
            return run.info.run_id
        for run in _runs_with(client, home, BRINGING, origin):
            log.info("An earlier copy of the job's run was broken off: it is made again.")
            _remove(client, run)
        return _bring(source, client, home, tags)


def _one_at_a_time(uri: str) -> AbstractContextManager[Any]:
    path = sqlite_path(uri)
    if path is None:  # a server, which other machines may bring runs to as well: but not this one
        digest = hashlib.sha256(f"{os.getuid()} {uri}".encode()).hexdigest()[:16]
        path = Path(tempfile.gettempdir()) / f"snowcover-{digest}"
    return FileLock(f"{path}.bringing.lock", timeout=LOCK_SECONDS)


def _runs_with(client: MlflowClient, experiment: str, tag: str, value: str) -> Sequence[Run]:
    return client.search_runs([experiment], f"tags.{tag} = '{value}'")


def _remove(client: MlflowClient, run: Run) -> None:
    for model in client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'"):
        client.delete_logged_model(model.model_id)
    client.delete_run(run.info.run_id)


def _bring(source: JobStore, client: MlflowClient, experiment: str, tags: Mapping[str, str]) -> str:
    origin = source.run.info
    known = {**source.run.data.tags, **{tag.key: tag.value for tag in run_tags(tags)}}
    name = known.setdefault(RUN_NAME, origin.run_name)
    run = client.create_run(experiment, origin.start_time, {**known, BRINGING: origin.run_id}, name)
    try:
        _copy(source, client, run.info)
    except CannotBring:
        _remove(client, run)
        raise
    client.set_tag(run.info.run_id, BROUGHT, origin.run_id)  # from here on it is whole
    client.delete_tag(run.info.run_id, BRINGING)
    return run.info.run_id


def _copy(source: JobStore, client: MlflowClient, run: RunInfo) -> None:
    origin = source.run.info
    params = [Param(key, value) for key, value in source.run.data.params.items()]
    for start in range(0, len(params), PARAMS):
        client.log_batch(run.run_id, params=params[start : start + PARAMS], synchronous=True)
    if source.run.inputs:
        client.log_inputs(run.run_id, source.run.inputs.dataset_inputs)
    last_ms = _copy_metrics(source, client, run.run_id)
    if (artifacts := source.artifacts(origin.artifact_uri)) is not None:
        _keep(artifacts, run.artifact_uri, lambda: client.log_artifacts(run.run_id, str(artifacts)))
    for model, step in source.models():
        _copy_model(source, client, model, step, run)
    if origin.status in ("FINISHED", "FAILED", "KILLED"):
        client.set_terminated(run.run_id, origin.status, origin.end_time)
    else:  # its process was killed before it could say so
        client.set_terminated(run.run_id, "KILLED", last_ms or origin.start_time)


def _copy_metrics(source: JobStore, client: MlflowClient, run_id: str) -> int:
    """Returns the time of the last one in milliseconds, 0 where there is none."""
    last_ms = 0
    waiting: list[Metric] = []
    for page in source.metrics():
        waiting += [Metric(found.key, found.value, found.timestamp, found.step) for found in page]
        last_ms = max([last_ms, *(found.timestamp for found in page)])
        while len(waiting) >= BATCH:
            client.log_batch(run_id, metrics=waiting[:BATCH], synchronous=True)
            del waiting[:BATCH]
    client.log_batch(run_id, metrics=waiting, synchronous=True)
    return last_ms


def _copy_model(source: JobStore, client: MlflowClient, model: LoggedModel, step: int, run: RunInfo) -> None:
    new = client.create_logged_model(
        run.experiment_id, model.name, run.run_id, model.tags, model.params, model.model_type
    )
    client.log_outputs(run.run_id, [LoggedModelOutput(new.model_id, step)])
    if (artifacts := source.artifacts(model.artifact_location)) is not None:
        _keep(artifacts, new.artifact_location, lambda: client.log_model_artifacts(new.model_id, str(artifacts)))
        if (artifacts / DESCRIPTION).is_file():
            _describe(client, artifacts / DESCRIPTION, new, run)
    scores = [
        Metric(
            found.key, found.value, found.timestamp, found.step, new.model_id, found.dataset_name, found.dataset_digest
        )
        for found in model.metrics or []
    ]
    client.log_batch(run.run_id, metrics=scores, synchronous=True)
    if model.status in (LoggedModelStatus.READY, LoggedModelStatus.FAILED):
        client.finalize_logged_model(new.model_id, model.status)


def _keep(files: Path, address: str, upload: Callable[[], None]) -> None:
    """All files of a folder; without a second copy where their place is on this machine."""
    folder = local_folder(address)
    if folder is None:
        upload()
    else:
        keep_all(files, folder)


def _describe(client: MlflowClient, old: Path, new: LoggedModel, run: RunInfo) -> None:
    """Let the model's own description name this store's model and run."""
    text = yaml.safe_load(old.read_text())
    names = {
        "artifact_path": new.artifact_location,
        "model_id": new.model_id,
        "model_uuid": new.model_id,
        "run_id": run.run_id,
    }
    text.update({key: value for key, value in names.items() if key in text})
    with tempfile.TemporaryDirectory() as folder:
        description = Path(folder) / DESCRIPTION
        description.write_text(yaml.safe_dump(text, sort_keys=False))
        client.log_model_artifact(new.model_id, str(description))
