"""The tags of a run are there from its first moment."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from snowcover.errors import UserError
from snowcover.tracking import CannotRecord, recorded
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
