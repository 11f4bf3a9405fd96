"""A job with another job's checkpoint resumes from it, on a machine that has nothing else of that job."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

from snowcover import __version__, checkpoints, staged
from snowcover.errors import Stopped
from snowcover.training.module import SnowModule
from tests.making import QUICK, config, sources
from tests.servers import Bucket

pytestmark = [pytest.mark.training, pytest.mark.process]

TINY = (
    "data=tiles", "hw=cpu", "tracking.uri=sqlite:///mlflow.db", "tracking.system_metrics=false", "model=unet",
    "model.encoder_name=tu-mobilenetv3_small_050", "optimizer.lr=1e-3", "trainer.batch_size=6", "trainer.max_epochs=2",
    *QUICK,
)  # fmt: skip
TIMES = ("tiles_per_second", "peak_memory_gb")


class Machine:
    """One machine of a job: its folder, and what SageMaker would save of it."""

    def __init__(self, folder: Path, empty_database: Path) -> None:
        self.work, self.checkpoints = folder / "work", folder / "checkpoints"
        self.checkpoints.mkdir(parents=True)
        self.work.mkdir()
        shutil.copyfile(empty_database, self.work / "mlflow.db")

    def run(self, tiles: Path, *overrides: str, stop_at: tuple[int, int] | None = None) -> None:
        """Runs a staged config to its end, or to a batch of an epoch."""
        values = config(*TINY, sources(tiles), *overrides).model_dump()
        (self.work / "config.yaml").write_text(
            yaml.safe_dump(values | {"job": {"version": __version__, "name": "job"}})
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.work)
            patch.setattr(SnowModule, "training_step", _stopping_at(stop_at))
            staged.run(self.work / "config.yaml", self.work / "run", self.checkpoints)

    @property
    def history(self) -> list[dict[str, float]]:
        path = next(path for name in ("last.ckpt", "best.ckpt") if (path := self.checkpoints / name).is_file())
        rows = checkpoints.load(str(path))["snowcover"]["history"]
        return [{key: value for key, value in row.items() if key not in TIMES} for row in rows]

    @property
    def the_run(self) -> tuple[MlflowClient, Run]:
        client = MlflowClient(f"sqlite:///{self.work}/mlflow.db")
        (run,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
        return client, run

    def metric_history(self, metric: str) -> list[tuple[int, float]]:
        client, run = self.the_run
        return [(entry.step, entry.value) for entry in client.get_metric_history(run.info.run_id, metric)]


def _stopping_at(place: tuple[int, int] | None) -> Callable[..., Any]:
    step = SnowModule.training_step

    def stopping(self: SnowModule, tiles: Any, index: int) -> Any:
        if (self.current_epoch, index) == place:
            raise Stopped("Stopped by SIGTERM.")
        return step(self, tiles, index)

    return stopping


@pytest.fixture(scope="module")
def ended(site: Path, empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A job that was stopped in its second epoch."""
    machine = Machine(tmp_path_factory.mktemp("ended"), empty_database)
    with pytest.raises(Stopped):
        machine.run(site, stop_at=(1, 1))
    return machine


def test_a_job_resumes_from_a_given_checkpoint_in_its_own_run_as_if_never_stopped(
    site: Path, ended: Machine, empty_database: Path, tmp_path: Path, s3: Bucket
) -> None:
    for name in ("best.ckpt", "last.ckpt"):
        s3.put(f"ended/{name}", (ended.checkpoints / name).read_bytes())
    given = f"checkpoint.resume={s3.uri}/ended/last.ckpt"
    job = Machine(tmp_path / "job", empty_database)
    with pytest.raises(Stopped):
        job.run(site, given, stop_at=(1, 0))
    assert job.history == ended.history  # complete from the start: it is stopped before it trains
    assert job.the_run[1].info.status == "KILLED"
    assert [step for step, _ in job.metric_history("val_iou")] == [0]

    s3.put("ended/last.ckpt", b"of no use any more")
    job.run(site, given)
    client, run = job.the_run  # one
    assert run.info.run_id != ended.the_run[1].info.run_id
    assert run.info.status == "FINISHED"
    assert run.data.params["trainer.max_epochs"] == "2"
    assert run.inputs.dataset_inputs
    artifacts = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"config.yaml", "manifest.csv", "split.csv", "result.json", "pictures"} <= artifacts
    best = checkpoints.load(str(job.checkpoints / "best.ckpt"))
    assert best["snowcover"]["run_id"] == run.info.run_id

    whole = Machine(tmp_path / "whole", empty_database)
    whole.run(site)
    assert job.history == whole.history
    for metric in ("loss", "lr", "val_iou", "train_loss", "test_iou"):
        assert job.metric_history(metric) == whole.metric_history(metric), metric


def test_a_job_whose_store_is_lost_resumes_in_a_new_run_with_its_whole_history(
    site: Path, ended: Machine, empty_database: Path, tmp_path: Path
) -> None:
    job = Machine(tmp_path / "job", empty_database)
    for name in ("best.ckpt", "last.ckpt"):
        shutil.copy(ended.checkpoints / name, job.checkpoints)
    with pytest.raises(Stopped):
        job.run(site, stop_at=(1, 0))
    assert job.metric_history("loss") == ended.metric_history("loss")
    assert job.metric_history("val_iou") == ended.metric_history("val_iou")


def test_a_best_checkpoint_copied_by_an_aborted_start_does_not_interfere(
    site: Path, ended: Machine, empty_database: Path, tmp_path: Path
) -> None:
    job = Machine(tmp_path / "job", empty_database)
    shutil.copy(ended.checkpoints / "best.ckpt", job.checkpoints)
    with pytest.raises(Stopped):
        job.run(site, f"checkpoint.resume={ended.checkpoints}/last.ckpt", stop_at=(1, 0))
    assert job.history == ended.history
