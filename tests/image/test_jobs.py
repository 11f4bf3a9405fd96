"""`docker run IMAGE train` under SageMaker's contract: a real /opt/ml, a real S3 server, a real MLflow store."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from snowcover import __version__, checkpoints
from tests.container.host import Host, run_together
from tests.image.in_image import InImage
from tests.making import QUICK, TINY_UNET, config, sources
from tests.servers import Bucket

SMALL = (
    "hw=cpu", "tracking.uri=sqlite:///mlflow.db", "tracking.system_metrics=false", *TINY_UNET,
    "optimizer.lr=1e-3", "trainer.batch_size=6", *QUICK,
)  # fmt: skip
DEMO = ("data=demo", "+data.generate.tiles_per_side=4", "+data.generate.tile_size=64")
SAVES_WITHIN_S = 60  # of the 120 that SageMaker gives


def the_run(store: Path) -> tuple[MlflowClient, Any]:
    client = MlflowClient(f"sqlite:///{store}/mlflow.db")
    (run,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    return client, run


def put_site(site: Path, s3: Bucket) -> None:
    for file in site.rglob("*.tif"):
        s3.put(f"site/{file.relative_to(site)}", file.read_bytes())


@pytest.mark.parametrize(("variant", "processes"), [("current", 1), ("kepler", 2)])
def test_a_stopped_job_on_tiles_in_s3_resumes_in_another_container(
    variant: str, processes: int, built: Callable[[str], str], site: Path, s3: Bucket, tmp_path: Path
) -> None:
    put_site(site, s3)
    settings = {
        "AWS_ENDPOINT_URL": s3.server.endpoint, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": s3.server.key,
        "AWS_SECRET_ACCESS_KEY": s3.server.secret,
    }  # fmt: skip
    run = ("data=tiles", sources(f"{s3.uri}/site"), *SMALL, "scheduler=none", f"hw.devices={processes}")
    first = Host(tmp_path / "first", container=InImage(built(variant)))
    first.stage(config(*run, "trainer.max_epochs=200"))
    first.start(**settings)
    first.wait_for("epoch=1/200")
    first.stop()
    assert first.end(SAVES_WITHIN_S) == 0, first.output
    assert first.failure is None
    done = len(checkpoints.load(str(first.ml / "checkpoints/last.ckpt"))["snowcover"]["history"])

    second = first.replace(tmp_path / "second")
    longer = config(*run, f"trainer.max_epochs={done + 1}")
    second.stage(longer, result=f"{s3.uri}/job/result.json")
    assert second.run(**settings) == 0, second.output
    assert {path.name for path in (second.ml / "model").iterdir()} == {
        "best.ckpt", "manifest.csv", "split.csv", "config.yaml"
    }  # fmt: skip
    client, kept = the_run(second.ml / "output/data/mlflow")
    assert kept.info.status == "FINISHED"
    assert built(variant).startswith(f"snowcover:{__version__}-{kept.data.tags['git.commit'][:12]}-")
    epochs = [entry.step for entry in client.get_metric_history(kept.info.run_id, "val_loss")]
    assert epochs == list(range(done + 1))
    assert json.loads(s3.get("job/result.json"))["run_id"] == kept.info.run_id


def test_two_containers_train_one_run(built: Callable[[str], str], tmp_path: Path) -> None:
    names = ("127.0.0.1", "localhost")
    both = [Host(tmp_path / name, name, names, InImage(built("current"))) for name in names]
    run = config(*DEMO, *SMALL, "trainer.max_epochs=1")
    two = {"backend": "sagemaker", "instance_type": "ml.m5.large", "instance_count": 2}
    for host in both:
        host.stage(run.model_copy(update={"hw": run.hw.model_copy(update=two)}))
    assert run_together(both) == [0, 0], [host.output for host in both]
    assert the_run(both[0].ml / "output/data/mlflow")[1].info.status == "FINISHED"
    assert [len(list((host.ml / "model").iterdir())) for host in both] == [4, 0]


def test_a_job_needs_neither_root_nor_a_user_that_the_image_knows_nor_a_network(
    built: Callable[[str], str], tmp_path: Path
) -> None:
    host = Host(tmp_path / "host", container=InImage(built("current"), ["--network", "none", "--user", "12345:12345"]))
    host.stage(config(*DEMO, *SMALL, "trainer.max_epochs=1"))
    for path in [host.ml, *host.ml.rglob("*")]:
        os.chown(path, 12345, 12345)
    assert host.run() == 0, host.output
    assert (host.ml / "model/best.ckpt").stat().st_uid == 12345


@pytest.mark.parametrize("words", [[], ["serve"], ["python", "-c", "print(1)"]])
def test_anything_but_train_prints_the_usage_of_the_image(words: list[str], built: Callable[[str], str]) -> None:
    done = subprocess.run(["docker", "run", "--rm", built("current"), *words], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("The only command of this image is: train\n")
