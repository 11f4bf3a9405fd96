"""The command sends its jobs into the real image: on this machine, and on the stand-in for SageMaker's."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.image.engine import docker
from tests.image.in_image import InImage
from tests.launcher.launching import Launching
from tests.making import TINY_UNET, sources

SMALL = (
    "data=tiles", "tracking.system_metrics=false", *TINY_UNET, "optimizer.lr=1e-3",
    "trainer.batch_size=6", "trainer.max_epochs=1",
)  # fmt: skip


def runs(folder: Path) -> list[Run]:
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    return client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])


def containers(folder: Path) -> set[str]:
    """Those of this folder's jobs that the engine has yet."""
    (file,) = folder.glob("outputs/snowcover/*/jobs.json")
    names = {job["name"] for job in json.loads(file.read_text())["jobs"]}
    return names & set(docker("ps", "--all", "--format", "{{.Names}}").split())


def test_hw_docker_trains_on_local_tiles_in_the_image_and_imports_the_run(
    built: Callable[[str], str], site: Path, tmp_path: Path
) -> None:
    image = built("current")
    command = [sys.executable, "-m", "snowcover.train", *SMALL, sources(site), "hw=docker", f"aws.image_uri={image}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "epoch=1/1" in done.stdout
    (run,) = runs(tmp_path)
    assert run.info.status == "FINISHED"
    assert run.data.tags["job.image"] == image
    (folder,) = tmp_path.glob("outputs/snowcover/*/0")
    assert (folder / "model/best.ckpt").is_file()
    assert not (folder / "ml").exists()


def test_ctrl_c_stops_the_container_and_the_run(built: Callable[[str], str], site: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "snowcover.train", *SMALL, sources(site), "hw=docker", "trainer.max_epochs=500",
               f"aws.image_uri={built('current')}"]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    assert any("epoch=1/500" in line for line in process.stdout)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=150)
    assert process.returncode == 130, errors
    assert errors.strip().splitlines()[-1].startswith("Stopped by SIGINT; 1 job on this machine stopped")
    assert not containers(tmp_path)
    (run,) = runs(tmp_path)
    assert run.info.status == "KILLED"
    (folder,) = tmp_path.glob("outputs/snowcover/*/0")
    assert {path.name for path in folder.iterdir()} >= {"model", "output", "checkpoints"}


def test_attach_resumes_waiting_for_a_container_whose_command_was_killed(
    built: Callable[[str], str], site: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "snowcover.train", *SMALL, sources(site), "hw=docker", "trainer.max_epochs=3",
               f"aws.image_uri={built('current')}"]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    )
    assert process.stdout is not None
    assert any("epoch=1/3" in line for line in process.stdout)
    process.kill()
    process.communicate()
    attach = [sys.executable, "-m", "snowcover.jobs", "attach"]
    done = subprocess.run(attach, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = runs(tmp_path)
    assert run.info.status == "FINISHED"
    assert not containers(tmp_path)


def test_an_unfit_or_missing_image_is_refused_in_one_message(
    built: Callable[[str], str], site: Path, tmp_path: Path
) -> None:
    def error_message(*overrides: str) -> str:
        command = [sys.executable, "-m", "snowcover.train", *SMALL, sources(site), "hw=docker", *overrides]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr.strip().splitlines()[-1]

    built("current")
    assert "There is no image nowhere:1-current here" in error_message("aws.image_uri=nowhere:1-current")
    docker("tag", "python:3.11-slim-bookworm", "other:1-current")
    assert "not an image of this project" in error_message("aws.image_uri=other:1-current")


def test_a_job_scores_the_same_inside_and_outside_the_image(
    built: Callable[[str], str], launching: Launching, site: Path
) -> None:
    for file in site.rglob("*.tif"):
        launching.sagemaker.bucket.put(f"site/{file.relative_to(site)}", file.read_bytes())
    launching.sagemaker.use_machine(container=InImage(built("current")))
    tiles = sources(f"{launching.sagemaker.bucket.uri}/site")
    done = launching("-m", *SMALL, tiles, "hw=cpu_m5,cpu")
    assert done.status == 0, done.out + done.err
    in_image, outside = (
        next(run.data.metrics for run in runs(launching.folder) if run.data.tags.get("override.hw") == hw)
        for hw in ("cpu_m5", "cpu")
    )
    for score in ("val_iou", "test_iou", "train_loss"):
        assert in_image[score] == pytest.approx(outside[score], abs=1e-4), score
