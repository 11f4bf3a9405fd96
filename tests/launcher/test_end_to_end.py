"""From the command line to the run in MLflow, with jobs that really train on fake SageMaker machines."""

from pathlib import Path

import mlflow
import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run

from snowcover import checkpoints
from snowcover import jobs as jobs_command
from tests.aws.api import client
from tests.container.account import Stack, deployed, rights
from tests.launcher.launching import Launching
from tests.making import QUICK, TINY_UNET, write_site
from tests.sagemaker import SageMaker

pytestmark = pytest.mark.training

SMALL = ("data=tiles", "trainer.batch_size=6", "optimizer.lr=1e-3", "tracking.system_metrics=false")
ON_CPU = ("hw.accelerator=cpu", "hw.precision=32-true", "hw.data_workers=2")


@pytest.fixture(scope="module")
def stack() -> Stack:
    """The project's own account template, deployed."""
    return deployed(
        ImagesBucket="scenes-bucket", ImagesPrefix="tiles/scenes/", MasksBucket="masks-bucket",
        MasksPrefix="tiles/masks/",
    )  # fmt: skip


@pytest.fixture
def tiles(
    stack: Stack, launching: Launching, aws_settings: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The override that names a tiny site in S3; jobs really run.

    User and jobs have the rights that container/account.yaml gives them, and no others.
    """
    sagemaker = launching.sagemaker
    names = dict.fromkeys((stack.bucket, "scenes-bucket", "masks-bucket"), sagemaker.bucket.name)
    sagemaker.limit_rights(*rights(stack, names), role_arn=stack.outputs["Role"])
    for name, value in {**sagemaker.environment, "SNOWCOVER_ROLE_ARN": sagemaker.role_arn}.items():
        aws_settings.setenv(name, value)
    return site_in_s3(sagemaker, tmp_path_factory)


@pytest.fixture
def tiles_for_all(launching: Launching, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same for a user who may also read the tiles, which a launching user need not."""
    return site_in_s3(launching.sagemaker, tmp_path_factory)


def site_in_s3(sagemaker: SageMaker, tmp_path_factory: pytest.TempPathFactory) -> str:
    sagemaker.account.add_image("snowcover", "0.1.0-kepler")
    sagemaker.use_machine()
    site = write_site(tmp_path_factory.mktemp("site"), side=3)
    for file in site.rglob("*.tif"):
        sagemaker.bucket.put(f"tiles/{file.relative_to(site)}", file.read_bytes())
    uri = f"{sagemaker.bucket.uri}/tiles"
    return f'data.sources=[{{scenes: "{uri}/scenes/*", collect: "{uri}/masks/ASO_20180528"}}]'


def runs(folder: Path) -> tuple[MlflowClient, list[Run]]:
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    return client, client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])


def steps(client: MlflowClient, run: Run, metric: str) -> list[int]:
    return [entry.step for entry in client.get_metric_history(run.info.run_id, metric)]


def test_hw_p2_trains_on_sagemaker_and_its_run_is_imported(launching: Launching, tiles: str) -> None:
    done = launching(
        *SMALL, tiles, "model=ternausv2", "model.encoder_name=resnet18", "trainer.max_epochs=2", "hw=p2", *ON_CPU
    )
    assert done.status == 0, done.out + done.err
    (job,) = launching.sagemaker.jobs
    assert (job.status, job.request["ResourceConfig"]["InstanceType"]) == ("Completed", "ml.p2.xlarge")
    client, (run,) = runs(launching.folder)
    assert run.info.status == "FINISHED"
    assert run.info.run_name.startswith("ternausv2-resnet18")
    assert steps(client, run, "val_iou") == [0, 1]
    assert run.data.tags["job"] == job.name
    assert run.data.tags["job.arn"] == job.arn
    assert run.data.tags["job.console"].endswith(f"#/jobs/{job.name}")
    assert run.data.tags["job.instance_type"] == "ml.p2.xlarge"
    assert run.data.metrics["job_billable_seconds"] > 0
    pictures = {Path(file.path).name for file in client.list_artifacts(run.info.run_id, "pictures")}
    assert {"tiles.png", "confusion.png", "learning_curves.png"} <= pictures
    (logged,) = client.search_logged_models([run.info.experiment_id])
    with torch.no_grad():
        mapped = mlflow.pytorch.load_model(logged.model_uri)(torch.ones(1, 4, 64, 64).to(torch.uint16))
    assert mapped.shape == (1, 64, 64)

    fetched = launching("fetch", job.name[:20], main=jobs_command.main)
    assert fetched.status == 0, fetched.err
    (model,) = launching.folder.glob("outputs/*/*/0/model")
    assert {"best.ckpt", "manifest.csv", "config.yaml"} <= {file.name for file in model.iterdir()}
    assert checkpoints.load(str(model / "best.ckpt"))["snowcover"]["run_id"]
    shown = launching("show", main=jobs_command.main)
    assert "Completed (Completed)" in shown.out
    assert "billable seconds" in shown.out
    cost = launching("cost", main=jobs_command.main)
    assert "1 jobs of unknown cost" in cost.out
    logs = launching("logs", main=jobs_command.main)
    assert "epoch=2/2" in logs.out

    again = launching("attach", main=jobs_command.main)
    assert again.status == 0, again.err
    assert len(runs(launching.folder)[1]) == 1


def test_local_and_sagemaker_jobs_of_one_sweep_are_children_of_one_parent(
    launching: Launching, tiles_for_all: str
) -> None:
    done = launching(
        "-m", *SMALL, *QUICK, tiles_for_all, *TINY_UNET, "trainer.max_epochs=1",
        "hw=cpu,cpu_m5",
    )  # fmt: skip
    assert done.status == 0, done.out + done.err
    _client, found = runs(launching.folder)
    (parent,) = (run for run in found if "mlflow.parentRunId" not in run.data.tags)
    children = [run for run in found if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert {run.data.tags["override.hw"] for run in children} == {"cpu", "cpu_m5"}
    assert parent.info.status == "FINISHED"
    first, second = (run.data.metrics["val_iou"] for run in children)
    assert first == pytest.approx(second, abs=1e-6)  # the machine does not influence the result
    assert parent.data.metrics["best_val_iou"] == pytest.approx(max(first, second))


def test_an_interrupted_spot_job_resumes_in_the_same_run_with_no_epoch_counted_twice(
    launching: Launching, tiles: str
) -> None:
    sagemaker = launching.sagemaker

    def interrupt() -> None:
        (job,) = sagemaker.jobs
        sagemaker.wait(lambda: any("epoch=1/" in line for line in sagemaker.log(job.name)))
        sagemaker.interrupt(job.name)

    with launching.alongside(interrupt):
        done = launching(
            *SMALL,
            tiles,
            *TINY_UNET,
            "trainer.max_epochs=4",
            *QUICK,
            "hw=cpu_m5",
            "hw.spot=true",
        )
    assert done.status == 0, done.out + done.err
    (job,) = sagemaker.jobs
    assert "could not be imported" not in done.out, done.out
    assert "Interrupted" in [step["Status"] for step in job.transitions]
    client, (run,) = runs(launching.folder)
    assert steps(client, run, "val_loss") == [0, 1, 2, 3]
    assert run.data.metrics["job_spot_saving"] > 0
    fetched = launching("fetch", main=jobs_command.main)
    assert fetched.status == 0, fetched.err
    (best,) = launching.folder.glob("outputs/*/*/0/model/best.ckpt")
    assert [row["epoch"] for row in checkpoints.load(str(best))["snowcover"]["history"]] == [0, 1, 2, 3]


def test_the_same_command_resumes_from_the_checkpoints_of_a_stopped_job(launching: Launching, tiles: str) -> None:
    sagemaker = launching.sagemaker
    same = (*SMALL, tiles, *TINY_UNET, "trainer.max_epochs=20", "hw=cpu_m5", *QUICK)

    def stop() -> None:
        (job,) = sagemaker.jobs
        sagemaker.wait(lambda: any("epoch=1/" in line for line in sagemaker.log(job.name)))
        client().stop_training_job(TrainingJobName=job.name)

    with launching.alongside(stop):
        stopped = launching(*same, "hw.max_hours=1")
    assert "ended Stopped" in stopped.error_message
    fetched = launching("fetch", main=jobs_command.main)
    assert fetched.status == 0, fetched.err
    (model,) = launching.folder.glob("outputs/*/*/0/model")
    assert {"best.ckpt", "manifest.csv", "config.yaml"} <= {file.name for file in model.iterdir()}

    done = launching(*same, "hw.max_hours=2")
    assert done.status == 0, done.out + done.err
    first, second = sagemaker.jobs
    assert second.name != first.name
    assert second.request["CheckpointConfig"] == first.request["CheckpointConfig"]
    mlflow_client, (run,) = runs(launching.folder)  # one, which resumes
    assert (run.info.status, run.data.tags["job"]) == ("FINISHED", second.name)
    assert steps(mlflow_client, run, "val_loss") == list(range(20))
    assert not any("epoch=1/" in line for line in sagemaker.log(second.name))


def test_a_job_that_cannot_train_fails_with_its_own_message(launching: Launching, tiles: str) -> None:
    bucket = launching.sagemaker.bucket
    keys = bucket.keys()
    damaged = next(key for key in keys if "/ASO_20180528/" in key and key.endswith(".tif"))
    bucket.put(damaged, bucket.get(damaged)[:-200])
    done = launching(*SMALL, tiles, "model=unet", "hw=cpu_m5")
    assert "ended Failed" in done.error_message
    assert f"{damaged.removeprefix('tiles/')}" in done.error_message
    assert "damaged" in done.error_message
