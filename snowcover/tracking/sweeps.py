"""What a command records of the jobs that it sent: their parent run, and what is known of a job once it has ended."""

import json
import logging
import time
from collections.abc import Mapping

from mlflow.entities import Metric
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from snowcover.errors import first_line
from snowcover.secrets import masked
from snowcover.tracking.run_import import IMPORTING
from snowcover.tracking.store import Status, connect, experiment_id, run_tags

log = logging.getLogger(__name__)

COSTS = "job.costs"
ADD_UP = ("job_billable_seconds", "job_warm_pool_seconds", "job_cost_usd")


def open_sweep(uri: str, experiment: str, name: str, tags: Mapping[str, str]) -> str:
    """Begin the parent run of a sweep; a run whose tag mlflow.parentRunId is its id is found under it.

    Returns:
        The parent run's id.

    Raises:
        CannotRecord
    """
    given = {tag.key: tag.value for tag in run_tags(tags)}
    with connect(uri) as client:
        run = client.create_run(experiment_id(client, uri, experiment), tags=resolve_tags(given), run_name=masked(name))
    return run.info.run_id


def close_sweep(uri: str, run_id: str, status: Status, metrics: Mapping[str, float] | None = None) -> None:
    """End the parent run of a sweep. An unreachable store is no reason for the sweep to fail: it is a warning."""
    try:
        note(uri, run_id, {}, metrics or {})
        with connect(uri) as client:
            client.set_terminated(run_id, status)
    except Exception as error:
        log.warning("The sweep's run %s stays open: %s", run_id, first_line(error))


def run_of_job(uri: str, job: str) -> str | None:
    """The run that a job recorded, whole, by its tag `job`; the last one started where it was started again.

    Raises:
        CannotRecord
    """
    with connect(uri) as client:
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        runs = client.search_runs(
            experiments, f"tags.job = '{job}'", max_results=10, order_by=["attributes.start_time DESC"]
        )
    return next((run.info.run_id for run in runs if IMPORTING not in run.data.tags), None)


def note(
    uri: str, run_id: str, tags: Mapping[str, str], metrics: Mapping[str, float], description: str | None = None
) -> None:
    """Put tags and metrics on a run, which may have ended. Done twice, they are there once.

    Args:
        description: the run's, Markdown; None leaves it as it is.

    Raises:
        CannotRecord
    """
    now = int(time.time() * 1000)
    tags = tags if description is None else {**tags, MLFLOW_RUN_NOTE: description}
    with connect(uri) as client:
        known = client.get_run(run_id).data.metrics
        new = [Metric(key, float(value), now, 0) for key, value in metrics.items() if known.get(key) != value]
        client.log_batch(run_id, metrics=new, tags=run_tags(tags), synchronous=True)


def note_job(uri: str, run_id: str, job: str, tags: Mapping[str, str], metrics: Mapping[str, float]) -> None:
    """Put on a run what is known of a job that it was trained in. What jobs cost adds up over all that the run went
    through, each of which is in the tag job.costs.

    Raises:
        CannotRecord
    """
    with connect(uri) as client:
        known = client.get_run(run_id).data.tags.get(COSTS)
    costs: dict[str, dict[str, float]] = json.loads(known) if known else {}
    costs.setdefault(job, {}).update({name: value for name, value in metrics.items() if name in ADD_UP})
    sums = {name: sum(cost.get(name, 0) for cost in costs.values()) for name in ADD_UP if name in metrics}
    note(uri, run_id, {**tags, COSTS: json.dumps(costs)}, {**metrics, **sums})
