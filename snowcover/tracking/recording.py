"""One run, recorded while it trains."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import DatasetInput, InputTag, Metric, Param, Run
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.tracking import MlflowClient
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from snowcover.errors import Stopped, first_line
from snowcover.secrets import masked
from snowcover.tracking import artifacts, models, store
from snowcover.tracking.environment import refuse_other_experiment, refuse_other_run
from snowcover.tracking.errors import is_locked
from snowcover.tracking.retry import Retry
from snowcover.tracking.store import BATCH, PARAMS, VALUE_LENGTH, run_tags, shown_values
from snowcover.tracking_uri import absolute, real

log = logging.getLogger(__name__)

ERROR = "error"  # tag of a run that failed
STOP_RETRY_S = 20.0  # whoever stops a run waits no longer than that


class Recorder:
    """One MLflow run, written to. A store that is locked or unreachable is waited for, up to two minutes an outage;
    whatever cannot be recorded then, or is refused, is a CannotRecord with the way out."""

    def __init__(self, client: MlflowClient, run: Run, retry: Retry) -> None:
        self._client = client
        self._run = run
        self._retry = retry

    @property
    def run_id(self) -> str:
        return str(self._run.info.run_id)

    @property
    def experiment_id(self) -> str:
        return str(self._run.info.experiment_id)

    def expect_store(self) -> None:
        """Wait for the store again at its next failure, after an outage in which calls no longer waited: to be called
        before what must be recorded, such as the end of a run."""
        self._retry.renew()

    def local_artifacts(self) -> Path | None:
        """The folder of this machine that takes the run's artifacts; None where they go elsewhere."""
        return artifacts.local_folder(self._run.info.artifact_uri)

    def params(self, values: Mapping[str, Any]) -> None:
        """Log parameters, in batches that MLflow takes; secrets in values are masked."""
        entries = [Param(key, value) for key, value in shown_values(values).items()]
        for start in range(0, len(entries), PARAMS):
            self._batch(params=entries[start : start + PARAMS])

    def tags(self, values: Mapping[str, Any]) -> None:
        """Set tags; secrets in values are masked."""
        self._batch(tags=run_tags(values))

    def describe(self, text: Callable[[str], str]) -> None:
        """Set the run's description, which is Markdown, to what `text` makes of the one that it has."""
        before = self._ask(lambda: self._client.get_run(self.run_id)).data.tags.get(MLFLOW_RUN_NOTE, "")
        self.tags({MLFLOW_RUN_NOTE: text(before)})

    def metrics(self, rows: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        """Rows of (step, values)."""
        now = int(time.time() * 1000)
        entries = [Metric(key, float(value), now, step) for step, row in rows for key, value in row.items()]
        for start in range(0, len(entries), BATCH):
            self._batch(metrics=entries[start : start + BATCH])

    def last_step(self, metric: str) -> int:
        """The highest step at which a metric is recorded, -1 where it is not."""
        history = self._ask(lambda: self._client.get_metric_history(self.run_id, metric))
        return max((entry.step for entry in history), default=-1)

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Keep a file among the run's artifacts, in place of one of its name. Where they are on this machine it costs
        no space: it is a second name of the file (a copy for text, which people edit), so `path` may be replaced
        later but must not be written into."""
        place = artifacts.local_folder(self._run.info.artifact_uri)
        if place is None:
            self._ask(lambda: self._client.log_artifact(self.run_id, str(path), folder))
        else:
            self._ask(lambda: artifacts.keep(path, place / folder if folder else place))

    def dataset(self, name: str, digest: str) -> None:
        """The manifest, as the run's dataset, once; MLflow takes 36 characters of its digest."""
        source = CodeDatasetSource({"manifest": "manifest.csv"})
        entry = MetaDataset(source, name=masked(name)[:VALUE_LENGTH], digest=digest[:36])  # type: ignore[abstract]
        given = DatasetInput(entry._to_mlflow_entity(), [InputTag("mlflow.data.context", "training")])
        self._ask(lambda: store.log_datasets(self._client, self.run_id, [given]))

    def model(self, mapper: Any, example: np.ndarray[Any, Any], metrics: Sequence[str] = ()) -> bool:
        """Keep the network as the run's MLflow model: raw tiles [N, C, H, W] in, snow probability [N, H, W] out.

        Done again, as after a kill, the run still has one model; one of other weights is replaced. Nothing of it is
        left elsewhere, on this machine its files are made where they stay.

        Args:
            example: two raw tiles [2, C, h, w].
            metrics: names of the run's metrics whose latest values are this network's scores.

        Returns:
            Whether MLflow has it now; some network of hundreds may not export, which is a warning and a tag.

        Raises:
            CannotRecord
        """
        run = self._ask(lambda: self._client.get_run(self.run_id))
        weights = models.digest(mapper)
        model = self._ask(lambda: models.find_complete(self._client, run, weights))
        if model is None:
            try:
                with models.exported(mapper, example, run) as files:
                    model = self._ask(lambda: models.keep_model(self._client, run, files, weights))
            except models.NotExported as error:
                reason = first_line(error)
                log.warning("This network could not be kept as an MLflow model (%s): its checkpoint has it.", reason)
                self.tags({"model_not_exported": reason})
                return False
        whole = model
        self._ask(lambda: models.link_to_run(self._client, run, whole, metrics))
        return True

    def _batch(self, **entries: Any) -> None:
        self._ask(lambda: self._client.log_batch(self.run_id, **entries, synchronous=True))

    def _ask(self, act: Any) -> Any:
        with store.few_retries():
            return self._retry(act)


@contextlib.contextmanager
def recorded(
    uri: str,
    experiment: str,
    name: str,
    system_metrics: bool,
    run_id: str | None = None,
    tags: Mapping[str, str] | None = None,
    own_store: bool = False,
) -> Iterator[Recorder]:
    """A run that ends FINISHED, FAILED (with the error as a tag) or KILLED as the block does.

    It is a run of its own, whatever MLflow's environment names. Before the block begins it is known that the store
    and its artifact place can be written.

    Args:
        run_id: resume this run instead of starting one.
        own_store: the store is this job's own; a run that was recorded elsewhere is continued in a new one.
        tags: on the run from its first moment; those that MLflow sets itself, such as its user, give way to them.

    Raises:
        CannotRecord: MLflow cannot be reached or written, or its environment names another run or experiment.
    """
    uri = absolute(real(uri), Path.cwd())
    with store.addressed(uri):
        recorder = _begin(uri, experiment, name, run_id, tags or {}, own_store)
        monitor = _monitor(uri, recorder, recorder.run_id == run_id) if system_metrics else None
        try:
            yield recorder
        except BaseException as error:
            _end(recorder, monitor, "KILLED" if isinstance(error, Stopped) else "FAILED", error)
            raise
        recorder.expect_store()
        _finish(recorder, monitor, "FINISHED")


def _begin(
    uri: str, experiment: str, name: str, run_id: str | None, tags: Mapping[str, str], own_store: bool
) -> Recorder:
    refuse_other_run(run_id)
    store.refuse_wrong_tags(tags)
    retry = Retry(uri)

    def begin() -> tuple[MlflowClient, Run]:
        with store.short_timeouts():
            client = store.client(uri)
            place = store.experiment(client, uri, experiment)
            refuse_other_experiment(experiment, place.experiment_id)
            if run_id is not None and not (own_store and not store.has_run(client, run_id)):
                return client, _resumed(client, uri, experiment, run_id, tags)
            artifacts.check_place(uri, experiment, place.artifact_location)
            given = {tag.key: tag.value for tag in run_tags(tags)}
            return client, client.create_run(place.experiment_id, tags=resolve_tags(given), run_name=masked(name))

    with store.mlflow_errors(uri):
        client, run = retry(begin, is_locked)  # a server that is unreachable now may be a wrong address
        mlflow.start_run(run.info.run_id, log_system_metrics=False)  # what a user's own code logs goes there
    return Recorder(client, run, retry)


def _resumed(client: MlflowClient, uri: str, experiment: str, run_id: str, tags: Mapping[str, str]) -> Run:
    run = client.get_run(run_id)
    place = artifacts.local_folder(run.info.artifact_uri)
    if place is not None:
        artifacts.check_place(uri, experiment, str(place.parent.parent))
    client.log_batch(run_id, tags=run_tags(tags), synchronous=True)
    if ERROR in run.data.tags:  # of when it failed; it is resumed now
        client.delete_tag(run_id, ERROR)
    return run


def _monitor(uri: str, recorder: Recorder, resumed: bool) -> SystemMetricsMonitor:
    monitor = SystemMetricsMonitor(recorder.run_id, resume_logging=resumed, tracking_uri=uri)  # type: ignore[no-untyped-call]
    monitor.start()  # type: ignore[no-untyped-call]
    return monitor


def _finish(recorder: Recorder, monitor: SystemMetricsMonitor | None, status: store.Status) -> None:
    """End the run, whose system metrics are logged before."""
    try:
        recorder._ask(lambda: recorder._client.set_terminated(recorder.run_id, status))
    finally:
        with contextlib.suppress(Exception):  # logged above
            mlflow.end_run(status)
        if monitor is not None:
            monitor.finish()  # type: ignore[no-untyped-call]


def _end(recorder: Recorder, monitor: SystemMetricsMonitor | None, status: store.Status, error: BaseException) -> None:
    recorder._retry.renew(STOP_RETRY_S)
    try:
        if status == "FAILED":
            recorder.tags({ERROR: f"{type(error).__name__}: {error}"})
    except Exception as second:
        log.debug("The error is not in MLflow: %s", second)
    try:
        _finish(recorder, monitor, status)
    except Exception as second:  # the first error is the one to report
        log.warning("MLflow could not record that the run ended %s: %s", status, first_line(second))
