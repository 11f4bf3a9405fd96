"""The tags of a run are there from its first moment, and runs that begin at once on the same tiles are all recorded."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput
from mlflow.store.tracking.dbmodels.models import SqlDataset

from snowcover.errors import UserError
from snowcover.tracking import CannotRecord, recorded
from snowcover.tracking.store import log_datasets
from snowcover.training.run import fit
from tests.making import TINY_UNET, config, sources


def test_a_run_that_fails_at_once_is_under_its_parent(home: str) -> None:
    parent = {"mlflow.parentRunId": "the-sweep", "job": "job-1"}
    with pytest.raises(UserError, match="at once"), recorded(home, "e", "child", False, tags=parent) as recorder:
        assert MlflowClient(home).get_run(recorder.run_id).data.tags.items() >= parent.items()
        raise UserError("at once")
    run = MlflowClient(home).get_run(recorder.run_id)
    assert run.info.status == "FAILED"
    assert run.data.tags.items() >= parent.items()


def test_resuming_with_a_run_sets_its_tags_again(home: str) -> None:
    with recorded(home, "e", "n", False, tags={"job": "first", "kept": "yes"}) as recorder:
        pass
    with recorded(home, "e", "n", False, recorder.run_id, {"job": "second"}) as again:
        assert again.run_id == recorder.run_id
    run = MlflowClient(home).get_run(recorder.run_id)
    assert run.data.tags.items() >= {"job": "second", "kept": "yes"}.items()


def test_a_tag_that_mlflow_would_set_itself_gives_way(home: str) -> None:
    with recorded(home, "e", "n", False, tags={"mlflow.user": "Ada"}) as recorder:
        pass
    assert MlflowClient(home).get_run(recorder.run_id).data.tags["mlflow.user"] == "Ada"


def test_a_training_that_fails_before_its_first_tile_has_the_tags_of_its_config(home: str, tmp_path: Path) -> None:
    composed = config(
        "data=tiles", sources("nowhere"), f"tracking.uri={home}", "tracking.system_metrics=false", "hw=cpu",
        *TINY_UNET, "+tracking.tags={job: job-1}",
    )  # fmt: skip
    with pytest.raises(UserError, match="nowhere"):
        fit(composed, tmp_path / "run", [])
    client = MlflowClient(home)
    (run,) = client.search_runs([client.get_experiment_by_name("snowcover").experiment_id])
    assert run.data.tags["job"] == "job-1"


def test_a_deleted_experiment_is_reported_with_the_way_to_restore_it(home: str) -> None:
    client = MlflowClient(home)
    client.delete_experiment(client.create_experiment("gone"))
    message = r"the experiment gone was deleted: `mlflow experiments restore -x \d+` brings it back"
    with pytest.raises(CannotRecord, match=message), recorded(home, "gone", "n", False):
        pass


@pytest.mark.parametrize("key", ["a@b", "", "k" * 251, "/basin", "a/../b"])
def test_a_tag_that_mlflow_would_not_take_a_second_time_is_refused_the_first(home: str, key: str) -> None:
    message = r"^tracking\.tags: MLflow takes no tag called "
    with pytest.raises(CannotRecord, match=message), recorded(home, "e", "n", False, tags={key: "x"}):
        pass
    assert MlflowClient(home).get_experiment_by_name("e") is None


def test_any_other_tag_is_taken_both_times(home: str) -> None:
    tags = {"mlflow.parentRunId": "p", "a b/c:d-e_f": "", "Bär": "1", "basin": "Tuolumne" * 100}
    with recorded(home, "e", "n", False, tags=tags) as recorder:
        pass
    with recorded(home, "e", "n", False, recorder.run_id, tags):
        pass
    kept = MlflowClient(home).get_run(recorder.run_id).data.tags
    assert {key: kept[key] for key in tags} == {key: value[:500] for key, value in tags.items()}


def test_runs_that_name_the_same_dataset_at_once_both_have_it(home: str) -> None:
    client = MlflowClient(home)
    faster, slower = (client.create_run("0").info.run_id for _ in range(2))
    given = DatasetInput(Dataset("ASO_20180528", "d1" * 18, "local", "{}"), [])
    overtaken: list[str] = []

    def overtake(*_: Any) -> None:
        if not overtaken:
            overtaken.append(slower)
            client.log_inputs(faster, [given])

    sqlalchemy.event.listen(SqlDataset, "before_insert", overtake)
    try:
        log_datasets(client, slower, [given])
    finally:
        sqlalchemy.event.remove(SqlDataset, "before_insert", overtake)
    assert overtaken
    for run_id in (faster, slower):
        found = client.get_run(run_id).inputs
        assert found is not None
        (entry,) = found.dataset_inputs
        assert (entry.dataset.name, entry.dataset.digest) == ("ASO_20180528", "d1" * 18)
