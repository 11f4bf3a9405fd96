"""An evaluation in MLflow: on the training run that it belongs to, or as a run of its own."""

import logging
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from snowcover.evaluate.config import Config
from snowcover.evaluate.record import metrics, record
from snowcover.evaluate.results import Evaluation, Row
from snowcover.tracking import recorded
from tests.evaluate.example import example, small
from tests.evaluate.test_config import config

FILES = {"figures/scores.png": b"png", "evaluation.csv": b"a,b\n", "report.html": b"<!doctype html>"}


@pytest.fixture
def store(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    return f"sqlite:///{tmp_path}/mlflow.db"


def asked(store: str) -> Config:
    return config("maps=maps/*.tif", "reference=depth.tif", "out=reports/spring", f"tracking.uri={store}")


@pytest.mark.slow
def test_a_training_run_gets_scores_and_report_and_stays_as_it_was(store: str) -> None:
    with recorded(store, "snow", "training", False) as recorder:
        pass
    client = MlflowClient(store)
    before = client.get_run(recorder.run_id).info
    runs = {"network": recorder.run_id, "forest": "f" * 32}
    for _ in range(2):  # done twice, it is there once
        record(asked(store), small(), FILES, runs)
    run = client.get_run(recorder.run_id)
    assert (run.info.status, run.info.end_time) == (before.status, before.end_time)
    found = run.data.metrics
    assert found["eval_iou"] == pytest.approx(0.842)
    assert (found["eval_iou_low"], found["eval_iou_high"]) == pytest.approx((0.821, 0.859))
    assert found["eval_iou/forest"] == pytest.approx(0.771)
    assert found["eval_iou/network-minus-forest"] == pytest.approx(0.071)
    assert found["eval_fsca_rmse_100m/forest"] > 0
    assert run.data.tags["evaluation.reference"] == "depth.tif"
    artifacts = Path(run.info.artifact_uri) / "evaluation" / "spring"
    assert {str(path.relative_to(artifacts)): path.read_bytes() for path in artifacts.rglob("*.*")} == FILES
    assert len(client.search_runs([run.info.experiment_id])) == 1


@pytest.mark.parametrize("known", [{}, {"network": "f" * 32}])
def test_maps_of_no_known_run_get_a_run_of_kind_evaluation(store: str, known: dict[str, str]) -> None:
    record(asked(store), small(), FILES, known)
    client = MlflowClient(store)
    (run,) = client.search_runs([client.get_experiment_by_name("snowcover").experiment_id])
    assert (run.info.status, run.data.tags["kind"]) == ("FINISHED", "evaluation")
    assert run.data.tags["training_run_id"] == ", ".join(known.values())
    assert run.data.params["reference"] == "depth.tif"
    assert {"eval_iou/network", "eval_iou/forest"} <= run.data.metrics.keys()
    assert "eval_iou" not in run.data.metrics


def test_a_deleted_run_is_not_written_to(store: str) -> None:
    with recorded(store, "snow", "training", False) as recorder:
        pass
    client = MlflowClient(store)
    client.delete_run(recorder.run_id)
    record(asked(store), small(), FILES, {"network": recorder.run_id})
    assert not client.get_run(recorder.run_id).data.metrics
    assert client.get_experiment_by_name("snowcover") is not None


def test_an_unreachable_store_costs_no_report(store: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    record(asked("http://localhost:9"), small(), FILES, {})
    assert "MLflow's record of this evaluation is incomplete; the report is complete" in caplog.text


def test_a_single_product_has_metrics_of_plain_names_whatever_it_is_called() -> None:
    rows = (Row("$ndsi/../s2", "iou", 0.5, 0.4, 0.6), Row("b", "f1", 0.2), Row("$ndsi/../s2", "kappa", None))
    evaluation = Evaluation(("$ndsi/../s2", "b"), rows, {}, ())
    assert metrics(evaluation, "$ndsi/../s2") == {
        "eval_iou": 0.5, "eval_iou_low": 0.4, "eval_iou_high": 0.6, "eval_f1/b": 0.2,
    }  # fmt: skip
    assert "eval_iou/_ndsi___s2" in metrics(evaluation, "b")


def test_metrics_are_of_the_main_ground_and_of_no_stratum() -> None:
    found = metrics(example(), "network")
    assert found["eval_iou"] == pytest.approx(0.842)
    assert "eval_f1/network-minus-forest" not in found
    assert len(found) < 130
