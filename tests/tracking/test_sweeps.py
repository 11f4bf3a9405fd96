"""A sweep is one run with its jobs' runs under it, and what is known of a job once it has ended comes on its run."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from snowcover.tracking import CannotRecord, close_sweep, import_run, note, open_sweep, recorded, run_of_job
from tests.tracking.conftest import Left

AWAY = "http://127.0.0.1:9"


def child(uri: str, parent: str, job: str) -> str:
    with recorded(uri, "e", job, False, tags={"mlflow.parentRunId": parent, "job": job}) as recorder:
        pass
    return recorder.run_id


def test_a_sweep_is_found_with_its_children(home: str) -> None:
    parent = open_sweep(home, "e", "lr=1e-3,1e-4", {"sweep": "2026-11-24"})
    client = MlflowClient(home)
    run = client.get_run(parent)
    assert run.info.status == "RUNNING"
    assert run.info.run_name == "lr=1e-3,1e-4"
    assert run.data.tags["sweep"] == "2026-11-24"
    assert {"mlflow.user", "mlflow.source.name"} <= set(run.data.tags)
    children = {child(home, parent, "job-1"), child(home, parent, "job-2")}
    under_it = client.search_runs([run.info.experiment_id], f"tags.mlflow.parentRunId = '{parent}'")
    assert {found.info.run_id for found in under_it} == children

    for _ in range(2):
        close_sweep(home, parent, "FINISHED", {"best_val_iou": 0.9})
    run = client.get_run(parent)
    assert run.info.status == "FINISHED"
    assert run.info.end_time >= run.info.start_time
    assert [found.value for found in client.get_metric_history(parent, "best_val_iou")] == [0.9]


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_a_sweep_ends_with_the_given_status(home: str, status: Any) -> None:
    parent = open_sweep(home, "e", "n", {})
    close_sweep(home, parent, status)
    assert MlflowClient(home).get_run(parent).info.status == status


def test_the_run_of_a_job_is_found_in_any_experiment_and_the_last_one_counts(home: str) -> None:
    assert run_of_job(home, "job-1") is None
    child(home, "p", "job-1")
    child(home, "p", "job-2")
    client = MlflowClient(home)
    other = client.create_experiment("other")
    later = client.get_run(child(home, "p", "job-3")).info.start_time + 60_000
    anew = client.create_run(other, start_time=later, tags={"job": "job-1"})
    assert run_of_job(home, "job-1") == anew.info.run_id
    assert run_of_job(home, "job") is None


def test_what_is_noted_twice_is_there_once_and_the_last_value_counts(home: str) -> None:
    run_id = child(home, "p", "job-1")
    for cost in (1.5, 1.5, 1.25):
        note(home, run_id, {"job.arn": "arn:aws:x", "long": "x" * 600}, {"job_cost_usd": cost})
    client = MlflowClient(home)
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["job.arn"] == "arn:aws:x"
    assert run.data.metrics["job_cost_usd"] == 1.25
    assert [found.value for found in client.get_metric_history(run_id, "job_cost_usd")] == [1.5, 1.25]


@pytest.mark.parametrize(
    "call",
    [
        lambda uri: open_sweep(uri, "e", "n", {}),
        lambda uri: run_of_job(uri, "job-1"),
        lambda uri: note(uri, "0" * 32, {}, {}),
    ],
)
@pytest.mark.parametrize("uri", [AWAY, "sqlite:////dev/null/mlflow.db", "file:./mlruns"])
def test_a_store_that_cannot_be_used_ends_in_one_message(
    call: Callable[[str], Any], uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CannotRecord, match=r"^MLflow cannot record at .* with tracking\.uri=\.\.\.$") as error:
        call(uri)
    assert "\n" not in str(error.value)


def test_a_store_that_is_unreachable_when_a_sweep_ends_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        close_sweep(AWAY, "0" * 32, "FINISHED", {"best_val_iou": 0.9})
    assert "The sweep's run 00000000000000000000000000000000 stays open: MLflow cannot record at" in caplog.text


def test_a_copy_on_its_way_is_not_yet_the_job_s_run(home: str, left: Left, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[str | None] = []
    log_inputs = MlflowClient.log_inputs

    def asking(self: MlflowClient, *given: Any) -> None:
        found.append(run_of_job(home, "job-1"))
        log_inputs(self, *given)

    monkeypatch.setattr(MlflowClient, "log_inputs", asking)
    brought = import_run(left.folder, home, "home", {})
    assert found == [None]
    assert run_of_job(home, "job-1") == brought
