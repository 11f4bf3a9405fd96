"""The ranking of a sweep's jobs, in the terminal and on their parent run in MLflow."""

import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from mlflow import MlflowClient

from snowcover_launch.job import Job
from snowcover_launch.parent_runs import ParentRuns
from snowcover_launch.ranking import markdown, over_seeds, ranked, text
from snowcover_launch.results import test_iou as iou_of


def jobs(*results: tuple[str, float | None], first: int = 0, uri: str = "") -> list[Job]:
    return [
        Job(number=number, title=title, backend="local", experiment="snowcover", folder=str(number), tracking_uri=uri,
            objective=objective)
        for number, (title, objective) in enumerate(results, start=first)
    ]  # fmt: skip


SEEDS = jobs(
    ("model=unet seed=0", 0.80), ("model=unet seed=1", 0.84), ("model=pixelunet seed=0", 0.86),
    ("seed=1 model=pixelunet", 0.85), ("model=unet seed=2", None), ("model=fpn seed=0", 0.99), ("dataset.seed=1", 0.5),
    ("dataset.seed=2", 0.5), ("model=unet seed=3", math.nan),
)  # fmt: skip


def test_the_best_job_comes_first_and_jobs_without_a_result_last() -> None:
    assert [job.number for job in ranked(SEEDS)] == [5, 2, 3, 1, 0, 6, 7, 4, 8]


def test_jobs_that_differ_only_in_their_seed_have_a_mean_and_a_spread() -> None:
    found = {one.title: (one.seeds, one.val.mean, one.val.sd) for one in over_seeds(SEEDS)}
    assert list(found) == ["model=pixelunet", "model=unet"]  # one seed has no spread, and dataset.seed is no seed
    assert found["model=unet"] == (2, pytest.approx(0.82), pytest.approx(0.04 / math.sqrt(2)))
    assert [one.title for one in over_seeds(jobs(("seed=0", 0.5), ("seed=1", 0.7)))] == ["all"]


def test_terminal_and_mlflow_show_the_same() -> None:
    some = jobs(("model=pixelunet seed=0", 0.86), ("model=unet seed=0", 0.80), ("model=unet seed=1", 0.84))
    for job, score in zip(some, (None, 0.7, 0.8), strict=True):
        job.test_iou = score
    assert text(some).splitlines() == [
        "  val_iou  test_iou  job",
        "  0.8600   -         0  model=pixelunet seed=0",
        "  0.8400   0.8000    2  model=unet seed=1",
        "  0.8000   0.7000    1  model=unet seed=0",
        "  val_iou          test_iou         seeds",
        "  0.8200 ± 0.0283  0.7500 ± 0.0707  2      model=unet",
    ]
    assert "| 0.8200 ± 0.0283 | 0.7500 ± 0.0707 | 2 | `model=unet` |" in markdown(some)
    assert "seeds" not in text(SEEDS[5:8])
    assert over_seeds(SEEDS)[0].test is None


@pytest.mark.parametrize(
    ("result", "score"),
    [({"test": {"iou": 0.5}}, 0.5), ({"test": {}}, None), ({}, None), (None, None), ({"test": {"iou": "x"}}, None),
     ({"test": {"iou": math.nan}}, None), ({"test": 3}, None)],
)  # fmt: skip
def test_a_result_without_a_test_has_no_score(result: Any, score: float | None) -> None:
    assert iou_of(result) == score


def test_a_parent_run_knows_the_jobs_of_all_batches(tmp_path: Path, empty_database: Path) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    parents = ParentRuns("abc", "a study", needed=True)
    batches = [jobs(("seed=0", 0.9), first=0, uri=uri), jobs(("seed=1", 0.7), first=1, uri=uri)]
    with parents.open() as tags_of:
        for batch in batches:  # as an optimizing sweeper sends them
            for job in batch:
                job.config = cast(Any, SimpleNamespace(tracking=SimpleNamespace(uri=uri)))
                parent = tags_of(job)["mlflow.parentRunId"]
            parents.rank(batch)
    data = MlflowClient(uri).get_run(parent).data
    assert data.metrics["best_val_iou"] == 0.9
    assert data.metrics["mean_val_iou"] == pytest.approx(0.8)
    assert data.metrics["sd_val_iou"] == pytest.approx(0.2 / math.sqrt(2))
    assert data.tags["mlflow.note.content"].splitlines()[2] == "| 0.9000 | - | 0 | `seed=0` |"
