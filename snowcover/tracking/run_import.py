"""The run of a job, imported from the job's own store into the user's: whole, and once."""

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
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from snowcover.tracking.artifacts import keep_all, local_folder
from snowcover.tracking.job_store import JobStore, RunImportError, job_store
from snowcover.tracking.store import BATCH, PARAMS, connect, experiment_id, log_datasets, run_tags
from snowcover.tracking_uri import sqlite_path

log = logging.getLogger(__name__)

# Tags whose value is the run's id in the job's store: of a copy that is whole, and of one that is not yet.
IMPORTED, IMPORTING = "brought_from", "bringing"
RUN_NAME = "mlflow.runName"
ERROR = "error"  # tag of a run that failed, which is gone once it is resumed: see recording.py
DESCRIPTION = "MLmodel"
LOCK_SECONDS = 1800  # other runs may be on their way into the same store


def import_run(store: Path, uri: str, experiment: str, tags: Mapping[str, str]) -> str:
    """Copy a job's run whole: parameters, tags, metrics with steps and times, dataset, artifacts, models, its end.

    Done twice, it is there once; an interrupted copy is removed and made again. A run that was resumed since, in
    another job, gets what is new of it.

    Args:
        store: folder with `mlflow.db` and `mlruns`, as the job left it; nothing outside of it is read.
        tags: more tags of the run, which win over those that it has.

    Returns:
        The run's id in the user's store.

    Raises:
        RunImportError: the job's store is not there, damaged, or has no run.
        CannotRecord: the user's store cannot be reached or written.
    """
    with job_store(store) as source, connect(uri) as client, _one_at_a_time(uri):
        target = experiment_id(client, uri, experiment)
        origin = source.run.info.run_id
        for run in _runs_with(client, target, IMPORTED, origin):
            if IMPORTING in run.data.tags:  # interrupted at the very last
                client.delete_tag(run.info.run_id, IMPORTING)
            _extend(source, client, run, tags)
            return run.info.run_id
        for run in _runs_with(client, target, IMPORTING, origin):
            log.info("An earlier import of the job's run was interrupted: it is made again.")
            _remove(client, run)
        return _import(source, client, target, tags)


def _one_at_a_time(uri: str) -> AbstractContextManager[Any]:
    path = sqlite_path(uri)
    if path is None:  # a server, which other machines may import runs into as well: but not this one
        digest = hashlib.sha256(f"{os.getuid()} {uri}".encode()).hexdigest()[:16]
        path = Path(tempfile.gettempdir()) / f"snowcover-{digest}"
    return FileLock(f"{path}.bringing.lock", timeout=LOCK_SECONDS)


def _runs_with(client: MlflowClient, experiment: str, tag: str, value: str) -> Sequence[Run]:
    return client.search_runs([experiment], f"tags.{tag} = '{value}'")


def _remove(client: MlflowClient, run: Run) -> None:
    for model in _models_of(client, run.info):
        client.delete_logged_model(model.model_id)
    client.delete_run(run.info.run_id)


def _models_of(client: MlflowClient, run: RunInfo) -> Sequence[LoggedModel]:
    return client.search_logged_models([run.experiment_id], f"source_run_id = '{run.run_id}'")


def _import(source: JobStore, client: MlflowClient, experiment: str, tags: Mapping[str, str]) -> str:
    origin = source.run.info
    known = {**source.run.data.tags, **{tag.key: tag.value for tag in run_tags(tags)}}
    name = known.setdefault(RUN_NAME, origin.run_name)
    run = client.create_run(experiment, origin.start_time, {**known, IMPORTING: origin.run_id}, name)
    try:
        client.log_batch(run.info.run_id, tags=run_tags(_description(source.run, run.info.run_id)), synchronous=True)
        _copy(source, client, run.info)
    except RunImportError:
        _remove(client, run)
        raise
    client.set_tag(run.info.run_id, IMPORTED, origin.run_id)  # from here on it is whole
    client.delete_tag(run.info.run_id, IMPORTING)
    return run.info.run_id


def _description(of: Run, run_id: str) -> dict[str, str]:
    """The run's description, if it has one, with the copy's id where it names its own: a way to map with it."""
    note = of.data.tags.get(MLFLOW_RUN_NOTE)
    return {} if note is None else {MLFLOW_RUN_NOTE: note.replace(of.info.run_id, run_id)}


def _extend(source: JobStore, client: MlflowClient, run: Run, tags: Mapping[str, str]) -> None:
    """Add to a copy what the run has logged since; of an older state, from which it was resumed, nothing is new."""
    (status, end_ms), known_ms = source.end(), run.info.end_time or 0
    if end_ms < known_ms:
        return
    run_id = run.info.run_id
    if end_ms > known_ms:
        gone = [tag for tag in (ERROR,) if tag in run.data.tags and tag not in source.run.data.tags]
        for tag in gone:
            client.delete_tag(run_id, tag)
        current = {**source.run.data.tags, **_description(source.run, run_id), **tags}
        client.log_batch(run_id, tags=run_tags(current), synchronous=True)
        _copy_metrics(source, client, run_id)
        _copy_artifacts(source, client, run.info)
        _replace_models(source, client, run.info)
        client.set_terminated(run_id, status, end_ms)  # last: until then it is older, and would get all of it again
    else:
        client.log_batch(run_id, tags=run_tags(tags), synchronous=True)


def _copy(source: JobStore, client: MlflowClient, run: RunInfo) -> None:
    params = [Param(key, value) for key, value in source.run.data.params.items()]
    for start in range(0, len(params), PARAMS):
        client.log_batch(run.run_id, params=params[start : start + PARAMS], synchronous=True)
    if source.run.inputs:
        log_datasets(client, run.run_id, source.run.inputs.dataset_inputs)
    _copy_metrics(source, client, run.run_id)
    _copy_artifacts(source, client, run)
    for model, step in source.models():
        _copy_model(source, client, model, step, run)
    client.set_terminated(run.run_id, *source.end())


def _copy_artifacts(source: JobStore, client: MlflowClient, run: RunInfo) -> None:
    if (artifacts := source.artifacts(source.run.info.artifact_uri)) is not None:
        _keep(artifacts, run.artifact_uri, lambda: client.log_artifacts(run.run_id, str(artifacts)))


def _replace_models(source: JobStore, client: MlflowClient, run: RunInfo) -> None:
    """Of the models that the copy has keep those that the run has yet, and copy the others of the run."""
    kept = {_described(model): model for model in _models_of(client, run)}
    new = [(model, step) for model, step in source.models() if kept.pop(_described(model), None) is None]
    for model in kept.values():
        client.delete_logged_model(model.model_id)
    for model, step in new:
        _copy_model(source, client, model, step, run)


def _described(model: LoggedModel) -> str:
    """All that one of other weights has otherwise: their digest is among the tags."""
    return repr((model.name, sorted(model.tags.items()), sorted(model.params.items())))


def _copy_metrics(source: JobStore, client: MlflowClient, run_id: str) -> None:
    """All values of all metrics that the copy has not got yet."""
    known = {
        _value(found) for key in client.get_run(run_id).data.metrics for found in client.get_metric_history(run_id, key)
    }
    waiting: list[Metric] = []
    for page in source.metrics():
        new = (found for found in page if _value(found) not in known)
        waiting += [Metric(found.key, found.value, found.timestamp, found.step) for found in new]
        while len(waiting) >= BATCH:
            client.log_batch(run_id, metrics=waiting[:BATCH], synchronous=True)
            del waiting[:BATCH]
    client.log_batch(run_id, metrics=waiting, synchronous=True)


def _value(metric: Metric) -> tuple[str, int, int, str]:
    return metric.key, metric.step, metric.timestamp, repr(metric.value)  # of which nan is not equal to itself


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
