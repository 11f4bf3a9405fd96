"""Whatever run or experiment MLflow's environment names, a run of ours is its own."""

import os
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from snowcover.tracking import CannotRecord, recorded
from tests.tracking.conftest import runs


@pytest.fixture
def finished(home: str) -> str:
    """A finished run with 29 rows of a metric."""
    with recorded(home, "home", "first", False) as recorder:
        recorder.metrics([(step, {"loss": 1.0}) for step in range(29)])
    return recorder.run_id


def test_a_run_that_the_environment_names_is_refused_and_left_as_it_was(
    home: str, finished: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", finished)
    message = rf"^MLFLOW_RUN_ID={finished} in the environment names another run, .*`unset MLFLOW_RUN_ID`"
    with pytest.raises(CannotRecord, match=message), recorded(home, "home", "second", False):
        pass
    (run,) = runs(home)
    assert (run.info.run_name, run.info.status) == ("first", "FINISHED")
    assert len(MlflowClient(home).get_metric_history(finished, "loss")) == 29
    with recorded(home, "home", "first", False, finished) as again:  # the same run is no contradiction
        assert again.run_id == finished


@pytest.mark.parametrize(("variable", "value"), [("MLFLOW_EXPERIMENT_NAME", "other"), ("MLFLOW_EXPERIMENT_ID", "77")])
def test_another_experiment_in_the_environment_is_refused_by_its_variable(
    home: str, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    message = rf"^{variable}={value} in the environment contradicts experiment_name=home.*`unset {variable}`"
    with pytest.raises(CannotRecord, match=message), recorded(home, "home", "n", False):
        pass
    assert not runs(home)


def test_the_experiment_of_the_config_may_be_named_twice(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "home")
    with recorded(home, "home", "n", False):
        pass
    assert len(runs(home)) == 1


def test_a_run_that_is_active_in_this_process_is_not_written_to(home: str) -> None:
    mlflow.set_tracking_uri(home)
    with mlflow.start_run() as mine:
        message = f"^The MLflow run {mine.info.run_id} is still active in this process"
        with pytest.raises(CannotRecord, match=message), recorded(home, "home", "n", False):
            pass
    assert not runs(home)


def test_records_are_written_at_once_though_the_environment_asks_for_later(
    home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asynchronous, MLflow would drop what fails without a word."""
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_LOGGING", "true")
    with recorded(home, "home", "n", False) as recorder:
        recorder.metrics([(0, {"loss": 1.0})])
        recorder.params({"lr": 0.1})
        run = MlflowClient(home).get_run(recorder.run_id)
        assert (run.data.metrics, run.data.params) == ({"loss": 1.0}, {"lr": "0.1"})


def test_a_store_that_is_given_wins_and_the_environment_is_as_before_afterwards(
    home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = f"sqlite:///{tmp_path}/other.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", other)
    with recorded(home, "home", "n", True) as recorder:
        recorder.dataset("ASO_20180528", "d1" * 20)
        mlflow.log_metric("of_a_user_s_own_code", 1.0)
    run = MlflowClient(home).get_run(recorder.run_id)
    assert run.data.metrics["of_a_user_s_own_code"] == 1
    assert len(run.inputs.dataset_inputs) == 1
    assert not (tmp_path / "other.db").exists()
    assert os.environ["MLFLOW_TRACKING_URI"] == other
    assert mlflow.get_tracking_uri() == other
