"""A command that is given secrets: its task gets them, and nothing that it leaves or starts does."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from snowcover import train
from tests.starting import everything_in, start

pytestmark = pytest.mark.process

PLANTS = ("PLANT1x9f", "PLANT2x9f", "PLANT3x9f")


def left(folder: Path) -> str:
    """Everything that lies in a folder, names included."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return "\n".join([*everything_in(folder), *(path.read_bytes().decode("latin-1") for path in files)])


@pytest.fixture
def seen() -> list[dict[str, Any]]:
    """What the task was given, job by job."""
    return []


@pytest.fixture
def command(seen: list[dict[str, Any]]) -> Any:
    """The training command, with a task that only looks."""

    def task(composed: DictConfig) -> float:
        seen.append(
            {"uri": composed.tracking.uri, "tags": dict(composed.tracking.tags or {}), "argv": list(sys.argv),
             "run_name": composed.run_name, "epochs": composed.trainer.max_epochs}
        )  # fmt: skip
        return 0.5

    return replace(train.COMMAND, task=task, check=lambda composed: None)


def test_a_sweep_over_secrets_gives_each_job_its_own_and_writes_none(
    command: Any, seen: list[dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "mine/tracking").mkdir(parents=True)
    (tmp_path / "mine/tracking/mine.yaml").write_text(
        f"uri: http://h\nsystem_metrics: false\ntags: {{api_token: {PLANTS[2]}}}\n"
    )
    place = tmp_path / "here"
    place.mkdir()
    done = start(
        command, place, "-m", "hydra/launcher=basic", "--config-dir", "../mine", "tracking=mine",
        f"tracking.uri='http://me:{PLANTS[0]}@h','http://you:{PLANTS[1]}@h'", "hydra.sweep.dir=sweep",
    )  # fmt: skip
    assert done.status == 0, done.err
    assert [one["uri"] for one in seen] == [f"http://me:{PLANTS[0]}@h", f"http://you:{PLANTS[1]}@h"]
    assert all(one["tags"] == {"api_token": PLANTS[2]} for one in seen)
    assert (place / "sweep/multirun.yaml").is_file()
    kept = left(place) + done.out + done.err + str([one["argv"] for one in seen])
    assert not [plant for plant in PLANTS if plant in kept]


def test_a_secret_is_not_shown_where_the_config_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:{PLANTS[0]}@h")
    for shows in (("--cfg", "job", "--resolve"), ("launch.dry_run=true",)):
        done = start(train.COMMAND, tmp_path, *shows, f"+tracking.tags={{api_token: {PLANTS[1]}}}")
        assert done.status == 0, done.err
        assert "http://me:***@h" in done.out
        assert not [plant for plant in PLANTS if plant in done.out + done.err]


@pytest.mark.parametrize("full_error", [False, True])
def test_an_error_is_reported_without_the_secret_that_it_repeats(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_error: bool
) -> None:
    def fail(composed: DictConfig) -> float:
        raise OSError(f"postgresql://me:{PLANTS[0]}@h/db does not answer \x1b[31mat all")

    if full_error:
        monkeypatch.setattr(os.environ, "pop", lambda *_: None)  # `start` takes it out
        monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    done = start(replace(command, task=fail), tmp_path)
    assert done.status == 1
    assert "postgresql://me:***@h/db does not answer" in done.err
    assert ("Traceback" in done.err) is full_error
    assert PLANTS[0] not in done.out + done.err + left(tmp_path)
    assert full_error or "\x1b" not in done.err


def test_a_value_may_name_the_number_of_its_job(command: Any, seen: list[dict[str, Any]], tmp_path: Path) -> None:
    numbered = ("run_name=job_${hydra:job.num}", "trainer.max_epochs=${hydra:job.id}", "hydra.sweep.dir=sweep")
    done = start(command, tmp_path, "-m", "hydra/launcher=basic", "seed=5,6", *numbered)
    assert done.status == 0, done.err
    assert [(one["run_name"], one["epochs"]) for one in seen] == [("job_0", "0"), ("job_1", "1")]


def test_so_it_may_where_our_launcher_composes_the_jobs(tmp_path: Path) -> None:
    done = start(
        train.COMMAND, tmp_path, "-m", "seed=5,6", "run_name=job_${hydra:job.num}", "launch.dry_run=true",
        "trainer.max_epochs=${hydra:job.num}",
    )  # fmt: skip
    assert done.error_message.startswith("Job 0 (seed=5), so none was started: trainer.max_epochs=0: ")
    done = start(train.COMMAND, tmp_path, "-m", "seed=5,6", "run_name=job_${hydra:job.num}", "launch.dry_run=true")
    assert done.status == 0, done.err
    assert [line for line in done.out.splitlines() if line.startswith("run_name")] == [
        "run_name: job_0", "run_name: job_1",
    ]  # fmt: skip
