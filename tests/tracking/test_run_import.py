"""A job's run comes into the user's store whole and once, whatever happens on the way."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
import yaml
from mlflow import MlflowClient
from mlflow.entities import ViewType

from snowcover.tracking import CannotRecord, import_run, job_store, recorded, run_import
from tests.tracking.conftest import DESCRIPTION, Left, everything, execute, runs

pytestmark = pytest.mark.process

TWICE_AT_ONCE = """
import sys
from pathlib import Path
from snowcover.tracking import import_run
print(import_run(Path(sys.argv[1]), sys.argv[2], "home", {}))
"""


def test_a_trained_run_is_imported_whole_and_its_model_works_there(trained: Left, home: str) -> None:
    run_id = import_run(trained.folder, home, "home", {"mlflow.parentRunId": "the-sweep"})
    whole = everything(home, run_id)
    assert whole["tags"].pop("mlflow.parentRunId") == "the-sweep"
    assert whole == trained.whole
    assert whole["tags"]["job"] == "job-1"
    assert not [key for key in whole["params"] if key.startswith("tracking.tags")]  # they would differ in each run
    assert {"system/cpu_utilization_percentage", "val_iou", "loss"} <= set(whole["metrics"])
    assert {"pictures/tiles.png", "config.yaml"} <= set(whole["files"])
    assert whole["datasets"][0]["tags"] == {"mlflow.data.context": "training"}

    (output,) = MlflowClient(home).get_run(run_id).outputs.model_outputs
    mlflow.set_tracking_uri(home)
    model = mlflow.pytorch.load_model(f"models:/{output.model_id}")
    raw = torch.from_numpy(np.random.default_rng(0).integers(1, 8000, (2, 4, 64, 96)).astype(np.uint16))
    with torch.no_grad():
        probability = model(raw)
    assert probability.shape == (2, 64, 96)
    assert ((probability >= 0) & (probability <= 1)).all()
    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{output.model_id}"))
    described = yaml.safe_load((folder / DESCRIPTION).read_text())
    assert described["model_id"] == output.model_id
    assert described["run_id"] == run_id
    assert described["artifact_path"] == str(folder)
    assert mlflow.models.get_model_info(f"models:/{output.model_id}").signature is not None


def test_imported_twice_it_is_there_once_with_the_tags_of_both(left: Left, home: str) -> None:
    first = import_run(left.folder, home, "home", {"a": "1"})
    again = import_run(left.folder, home, "home", {"b": "2"})
    (run,) = runs(home)
    assert again == first == run.info.run_id
    assert run.data.tags.items() >= {"a": "1", "b": "2", "brought_from": left.run_id}.items()
    assert len(MlflowClient(home).search_logged_models([run.info.experiment_id])) == 1


def test_the_tags_that_are_given_win_over_those_of_the_run(left: Left, home: str) -> None:
    run_id = import_run(left.folder, home, "home", {"mlflow.user": "Ada", "job": "job-2", "mlflow.runName": "other"})
    run = MlflowClient(home).get_run(run_id)
    assert run.data.tags.items() >= {"mlflow.user": "Ada", "job": "job-2"}.items()
    assert run.info.run_name == "other"


@pytest.mark.parametrize(
    "call",
    [
        "log_inputs", "log_outputs", "create_logged_model", "log_model_artifact", "finalize_logged_model",
        "set_terminated", "set_tag", "delete_tag",
    ],
)  # fmt: skip
def test_a_copy_that_was_broken_off_is_made_again(
    left: Left, home: str, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, call, killed)
        with pytest.raises(KeyboardInterrupt):
            import_run(left.folder, home, "home", {})
    run_id = import_run(left.folder, home, "home", {})
    (run,) = runs(home)
    assert run.info.run_id == run_id
    assert everything(home, run_id) == left.whole
    assert "bringing" not in run.data.tags
    (model,) = MlflowClient(home).search_logged_models([run.info.experiment_id])
    assert model.source_run_id == run_id


def test_the_description_of_a_copy_is_whole_and_names_the_copy(left: Left, home: str, tmp_path: Path) -> None:
    text = shutil.copytree(left.folder, tmp_path / "told")
    note = f"{'long ' * 200}\npython -m snowcover.predict model={left.run_id}"
    MlflowClient(f"sqlite:///{text}/mlflow.db").set_tag(left.run_id, "mlflow.note.content", note)
    run_id = import_run(text, home, "home", {})
    kept = MlflowClient(home).get_run(run_id).data.tags["mlflow.note.content"]
    assert kept == note.replace(left.run_id, run_id) != note


def test_two_processes_that_import_it_at_once_import_it_once(left: Left, home: str) -> None:
    command = [sys.executable, "-c", TWICE_AT_ONCE, str(left.folder), home]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (process.communicate(timeout=300)[0].strip() for process in both)
    (run,) = runs(home)
    assert first == second == run.info.run_id
    assert everything(home, first) == left.whole


def test_runs_of_two_jobs_do_not_stand_in_for_each_other(left: Left, home: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(left.folder, other)
    tables = {"runs": "run_uuid", "params": "run_uuid", "tags": "run_uuid", "metrics": "run_uuid"}
    tables |= {"latest_metrics": "run_uuid", "logged_models": "source_run_id"}
    renamed = [f"UPDATE {table} SET {key} = '{'0' * 32}'" for table, key in tables.items()]
    execute(other / "mlflow.db", *renamed)
    assert import_run(left.folder, home, "home", {}) != import_run(other, home, "home", {})
    assert len(runs(home)) == 2


def test_a_run_that_was_resumed_in_another_job_gets_what_is_new_of_it_and_an_older_state_removes_nothing(
    left: Left, home: str, tmp_path: Path
) -> None:
    later = shutil.copytree(left.folder, tmp_path / "later")
    stopped = "UPDATE runs SET status = 'RUNNING', end_time = NULL"
    execute(
        left.folder / "mlflow.db",
        stopped,
        "DELETE FROM metrics WHERE step > 1",
        "INSERT INTO tags SELECT 'error', 'lost', run_uuid FROM runs",
    )
    run_id = import_run(left.folder, home, "home", {"job": "job-1"})
    assert [run.info.status for run in runs(home)] == ["KILLED"]
    MlflowClient(home).set_tag(run_id, "mine", "kept")

    for _ in range(2):  # told twice, it is there once
        assert import_run(later, home, "home", {"job": "job-2"}) == run_id
    assert import_run(left.folder, home, "home", {"job": "job-1"}) == run_id
    whole = everything(home, run_id)
    assert whole["tags"].pop("mine") == "kept"
    assert whole["tags"]["job"] == "job-2"
    assert whole | {"tags": {}} == left.whole | {"tags": {}}
    assert "error" not in whole["tags"]
    assert len(MlflowClient(home).search_logged_models([runs(home)[0].info.experiment_id])) == 1


def test_long_histories_come_in_pages(left: Left, home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_store, "PAGE", 7)
    monkeypatch.setattr(run_import, "BATCH", 5)
    assert everything(home, import_run(left.folder, home, "home", {}))["metrics"].keys() == left.whole["metrics"].keys()
    (run,) = runs(home)
    values = everything(home, run.info.run_id)["metrics"]
    assert values["loss"] == left.whole["metrics"]["loss"]
    assert len(values["nan"]) == 40


def test_a_run_that_was_killed_before_it_could_say_so_is_killed(left: Left, home: str) -> None:
    execute(left.folder / "mlflow.db", "UPDATE runs SET status = 'RUNNING', end_time = NULL")
    (run,) = [MlflowClient(home).get_run(import_run(left.folder, home, "home", {}))]
    assert run.info.status == "KILLED"
    assert run.info.end_time == max(time for time, *_ in left.whole["metrics"]["val_iou"])


def test_of_a_job_that_was_started_again_the_last_run_is_imported(
    left: Left, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = f"sqlite:///{left.folder}/mlflow.db"
    client = MlflowClient(store)
    last = client.create_run("1", start_time=left.whole["times"][0] + 60_000, run_name="second try")
    client.set_terminated(last.info.run_id)
    client.create_run("1", start_time=left.whole["times"][0] - 60_000, run_name="first try")
    assert MlflowClient(home).get_run(import_run(left.folder, home, "home", {})).info.run_name == "second try"


def test_a_user_s_store_that_is_unreachable_ends_in_one_message(left: Left) -> None:
    with pytest.raises(CannotRecord, match=r"^MLflow cannot record at http://127\.0\.0\.1:9 \(.*tracking\.uri=\.\.\.$"):
        import_run(left.folder, "http://127.0.0.1:9", "home", {})


def test_a_deleted_experiment_is_reported_with_the_way_to_restore_it(left: Left, home: str) -> None:
    client = MlflowClient(home)
    client.delete_experiment(client.create_experiment("home"))
    with pytest.raises(CannotRecord, match=r"the experiment home was deleted: `mlflow experiments restore -x \d+`"):
        import_run(left.folder, home, "home", {})


def test_a_run_that_the_user_deleted_is_imported_again(left: Left, home: str) -> None:
    client = MlflowClient(home)
    client.delete_run(import_run(left.folder, home, "home", {}))
    run_id = import_run(left.folder, home, "home", {})
    (run,) = client.search_runs(["1"], run_view_type=ViewType.ACTIVE_ONLY)
    assert run.info.run_id == run_id


def test_a_run_of_a_user_is_not_in_the_way(left: Left, home: str) -> None:
    with recorded(home, "home", "mine", False) as recorder:
        brought = import_run(left.folder, home, "home", {})
        recorder.metrics([(0, {"loss": 1.0})])
    assert {run.info.run_id: run.info.status for run in runs(home)} == {
        recorder.run_id: "FINISHED",
        brought: "FINISHED",
    }
