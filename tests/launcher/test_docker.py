"""The docker backend by its protocol; the image itself is tested with a real engine in tests/image."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import hydra
import pytest
import yaml
from mlflow import MlflowClient

from snowcover import tracking
from snowcover.config_root import conf_dir
from snowcover.errors import Stopped
from snowcover_launch.backends import Backends
from snowcover_launch.backends.base import SweepContext
from snowcover_launch.backends.docker.backend import CheckpointsNotConfigurable, DockerBackend
from snowcover_launch.backends.docker.tree import with_absolute_paths
from snowcover_launch.cost import read_prices
from snowcover_launch.errors import NotFound, Unreachable
from snowcover_launch.images.engine import DockerFailed
from snowcover_launch.job import Job, Report, State
from snowcover_launch.jobs_file import JobsFile, read_jobs
from snowcover_launch.plan import plan
from snowcover_launch.preflight import ConflictingKeys, refuse_conflicting_keys
from snowcover_launch.runner import JobRunner
from tests.launcher import fake_docker

pytestmark = pytest.mark.process

TRAINS = """
import json, pathlib, shutil, signal, sys, time
ml = pathlib.Path(sys.argv[1])
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
print("begins", flush=True)
(ml / "checkpoints/best.ckpt").write_text("best")
(ml / "checkpoints/last.ckpt").write_text("last")
shutil.copytree(pathlib.Path(__file__).parent / "store", ml / "output/data/mlflow")
while not stopped and not (ml / "may-end").exists():
    time.sleep(0.01)
print("ends", flush=True)
(ml / "model/best.ckpt").write_text("best")
if not stopped:
    (ml / "checkpoints/last.ckpt").unlink()
    (ml / "output/data/result.json").write_text(json.dumps({"objective": 0.5}))
"""
FAILS = """
import pathlib, sys
(pathlib.Path(sys.argv[1]) / "output/failure").write_text("no tiles in s3://x")
sys.exit(3)
"""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> Iterator[Path]:
    """A docker whose every image trains; returns its folder."""
    home, words = tmp_path / "docker", tmp_path / "bin"
    words.mkdir()
    (words / "docker").write_text(f'#!/bin/sh\nexec {sys.executable} {fake_docker.__file__} "$@"\n')
    (words / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(words), prepend=":")
    monkeypatch.setenv("FAKE_DOCKER", str(home))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.chdir(tmp_path)
    store = home / "store"
    store.mkdir(parents=True)
    for folder in (store, tmp_path):
        shutil.copyfile(empty_database, folder / "mlflow.db")
    (home / "container.py").write_text(TRAINS)
    with tracking.recorded(f"sqlite:///{store}/mlflow.db", "snowcover", "n", False):
        pass
    yield home
    for ml in tmp_path.glob("sweep/*/ml"):  # whatever a failed test has left running
        (ml / "may-end").touch()


@pytest.fixture
def backend(tmp_path: Path) -> DockerBackend:
    return DockerBackend(SweepContext("a1b2c3", tmp_path / "sweep", read_prices(None)))


def planned(tmp_path: Path, *overrides: str) -> Job:
    given = [
        "hw=docker", "launch.dry_run=true", "aws.image_uri=snowcover:1-current", f"hydra.sweep.dir={tmp_path}/sweep",
        f"tracking.uri=sqlite:///{tmp_path}/mlflow.db", *overrides,
    ]  # fmt: skip
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        composed = hydra.compose("config", overrides=given, return_hydra_config=True)
    composed.hydra.job.num = 0
    (made,) = plan(
        [composed], [[]], Backends(SweepContext("a1b2c3", tmp_path / "sweep", read_prices(None))).__getitem__
    )
    return made


def ended(backend: DockerBackend, job: Job) -> tuple[Report, list[str]]:
    """The backend's report on the job at its end, and all its log lines."""
    lines, report = [], backend.poll(job)
    while not report.state.has_ended:
        lines += backend.logs(job)
        time.sleep(0.02)
        report = backend.poll(job)
    return report, lines + backend.logs(job)


def test_a_container_is_started_polled_and_its_run_imported(
    engine: Path, backend: DockerBackend, tmp_path: Path
) -> None:
    job, folder = planned(tmp_path), tmp_path / "sweep/0"
    job.tags = {"sweep": "a1b2c3"}
    first = backend.submit(job)
    assert (first.state, first.status, first.id) == (State.RUNNING, "running", "abc")
    assert backend.submit(job).state is State.RUNNING  # submitted twice, it runs once
    staged = yaml.safe_load((folder / "ml/input/data/config/config.yaml").read_text())
    assert (staged["job"]["name"], staged["job"]["result"]) == (job.name, None)
    assert staged["tracking"]["tags"].items() >= {"sweep": "a1b2c3", "job.image": "snowcover:1-current"}.items()
    (folder / "ml/may-end").touch()
    report, lines = ended(backend, job)
    assert (report.state, report.objective) == (State.COMPLETED, 0.5)
    assert lines == ["begins", "ends"]  # each once and in order, though Docker has two streams

    for _ in range(2):  # imported twice, it exists once
        run_id = backend.collect(job, report)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (run,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    assert run.info.run_id == run_id
    assert run.data.tags.items() >= {"job": job.name, "job.image": "snowcover:1-current"}.items()
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found - {".fetched.json"} == {"model/best.ckpt", "output/result.json"}
    assert not (engine / job.name).exists()
    job.move(State.SUBMITTING)
    job.move(State.COMPLETED, report)
    assert backend.poll(job).objective == 0.5
    assert backend.fetch(job) == [folder / "model", folder / "output"]
    assert backend.logs(job) == []


def test_another_command_attaches_to_a_container_whose_command_was_killed_and_stops_it(
    engine: Path, backend: DockerBackend, tmp_path: Path
) -> None:
    job, folder = planned(tmp_path), tmp_path / "sweep/0"
    backend.submit(job)
    job.config = job.composed = None  # as jobs.json has it
    other = DockerBackend(SweepContext("a1b2c3", tmp_path / "sweep", read_prices(None)))
    assert other.poll(job).state is State.RUNNING
    while not other.logs(job):
        time.sleep(0.02)
    assert other.fetch(job) == [folder / "model", folder / "output"]  # the best one so far
    (folder / "model/notes.txt").write_text("mine")
    other.stop(job)
    report = other.poll(job)
    assert (report.state, report.objective, report.reason) == (State.STOPPED, None, None)
    assert other.collect(job, report) is not None
    assert (folder / "checkpoints/last.ckpt").read_text() == "last"
    assert (folder / "model/best.ckpt").read_text() == "best"
    assert (folder / "model/notes.txt").read_text() == "mine"
    assert not (folder / "ml").exists()


def test_a_failed_job_reports_why_and_one_that_cannot_start_leaves_nothing(
    engine: Path, backend: DockerBackend, tmp_path: Path
) -> None:
    (engine / "container.py").write_text(FAILS)
    job = planned(tmp_path)
    backend.submit(job)
    report, _ = ended(backend, job)
    assert (report.state, report.reason) == (State.FAILED, "no tiles in s3://x")
    assert backend.collect(job, report) is None  # it had no run
    with pytest.raises(DockerFailed, match="could not select device driver"):
        backend.submit(planned(tmp_path, "hw.accelerator=gpu"))
    assert not (engine / job.name).exists()
    assert not (tmp_path / "sweep/0/ml").exists()


def test_a_removed_container_and_an_unreachable_engine_are_distinguished(
    engine: Path, backend: DockerBackend, tmp_path: Path
) -> None:
    job = planned(tmp_path)
    for ask in (backend.poll, backend.stop):
        with pytest.raises(NotFound, match=f"There is no container {job.name} on this machine"):
            ask(job)
    (engine / "engine-is-away").touch()
    for ask in (backend.poll, backend.stop, backend.logs):
        with pytest.raises(Unreachable, match="Cannot connect to the Docker daemon"):
            ask(job)


def test_a_given_checkpoint_is_read_from_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    weights = ("model=unet", "model.encoder_weights=s2/best.pth")
    values = planned(tmp_path, "checkpoint.resume=old/last.ckpt", *weights).planned_config
    staged, places = with_absolute_paths(values.model_dump())
    assert staged["checkpoint"]["resume"] == f"{tmp_path}/old/last.ckpt"
    assert staged["model"]["encoder_weights"] == f"{tmp_path}/s2/best.pth"
    assert places == {tmp_path / "old", tmp_path / "s2"}


def test_layers_are_read_from_this_machine_unless_the_container_makes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    values = planned(tmp_path, "data=demo_terrain", "data.layers.slope=tiles/dem").planned_config
    staged, places = with_absolute_paths(values.model_dump())
    assert staged["data"]["layers"]["slope"] == f"{tmp_path}/tiles/dem"
    assert staged["data"]["layers"]["elevation"] == "demo_terrain_tiles/layers/terrain"
    assert places == {tmp_path / "tiles"}


@pytest.mark.parametrize("wrong", ["checkpoint.resume=auto", "checkpoint.dir=kept"])
def test_paths_that_would_only_exist_in_the_container_are_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(CheckpointsNotConfigurable, match=r"to resume from a given one, set checkpoint\.resume="):
        planned(tmp_path, wrong)


def test_stopping_the_command_imports_the_run_of_the_container(
    engine: Path, backend: DockerBackend, tmp_path: Path
) -> None:
    job = planned(tmp_path)
    file = JobsFile(sweep="a1b2c3", jobs=[job], folder=tmp_path / "sweep")
    submit = backend.submit

    def interrupted(job: Job) -> Report:
        report = submit(job)
        os.kill(os.getpid(), signal.SIGTERM)
        return report

    backend.submit = interrupted  # type: ignore[method-assign]
    with pytest.raises(Stopped, match=r"Stopped by SIGTERM; 1 job on this machine stopped; training .* is saved"):
        JobRunner(file, [job], {"docker": backend}).run(None, None)
    assert read_jobs(tmp_path / "sweep").jobs[0].state is State.STOPPED
    assert (tmp_path / "sweep/0/checkpoints/last.ckpt").is_file()
    assert not (engine / job.name).exists()


def test_containers_that_run_one_after_another_need_a_waiting_command(tmp_path: Path) -> None:
    jobs = [planned(tmp_path, "launch.wait=false") for _ in range(2)]
    backends = Backends(SweepContext("a1b2c3", tmp_path, read_prices(None)))
    refuse_conflicting_keys(jobs[:1], backends, optimizes=False)
    with pytest.raises(ConflictingKeys, match=r"2 jobs of hw\.backend=docker run one after another"):
        refuse_conflicting_keys(jobs, backends, optimizes=False)
