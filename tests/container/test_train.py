"""container/train as SageMaker starts it: process 1, a real /opt/ml, nothing inherited."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient

from snowcover import checkpoints
from snowcover.config import Config
from snowcover.training.run import fit
from tests.aws.namespaces import PROGRAM, Namespaces
from tests.container.host import Host, run_together
from tests.making import QUICK, TINY_UNET, config, sources
from tests.servers import Bucket

pytestmark = [pytest.mark.training, pytest.mark.process]

SMALL = (
    "hw=cpu", "tracking.uri=sqlite:///mlflow.db", "tracking.system_metrics=false", *TINY_UNET,
    "optimizer.lr=1e-3", "trainer.batch_size=6", *QUICK,
)  # fmt: skip
FETCHABLE = {"best.ckpt", "manifest.csv", "split.csv", "config.yaml"}
DEMO = ("data=demo", "+data.generate.tiles_per_side=4", "+data.generate.tile_size=64")


@pytest.fixture(autouse=True, scope="module")
def _can_run() -> None:
    if (obstacle := Namespaces().obstacle()) is not None:
        pytest.skip(obstacle)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "host")


def demo(*overrides: str) -> Config:
    return config(*DEMO, *SMALL, *overrides)


def history(folder: Path) -> list[dict[str, float]]:
    """Of all epochs: in last.ckpt while there are more to come, in best.ckpt afterwards."""
    path = next(path for path in (folder / "last.ckpt", folder / "best.ckpt") if path.is_file())
    return list(checkpoints.load(str(path))["snowcover"]["history"])


def the_run(store: Path) -> tuple[MlflowClient, Any]:
    client = MlflowClient(f"sqlite:///{store}/mlflow.db")
    (run,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    return client, run


def test_a_job_stopped_on_one_machine_and_killed_on_another_ends_on_a_third_as_one_run(
    tmp_path: Path, s3: Bucket
) -> None:
    settings = {
        "AWS_ENDPOINT_URL": s3.server.endpoint, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": s3.server.key,
        "AWS_SECRET_ACCESS_KEY": s3.server.secret,
    }  # fmt: skip
    first = Host(tmp_path / "first")
    first.stage(demo("trainer.max_epochs=5"), result=f"{s3.uri}/exp/job/result.json", overrides=["model=unet"])
    first.start(**settings)
    first.wait_for("epoch=1/5")
    first.stop()
    assert first.end() == 0, first.output
    assert first.failure is None
    best = checkpoints.load(str(first.ml / "model/best.ckpt"))["snowcover"]
    assert best["history"]
    assert {path.name for path in (first.ml / "model").iterdir()} == FETCHABLE
    assert the_run(first.ml / "checkpoints/mlflow")[1].info.status == "KILLED"

    second = first.replace(tmp_path / "second")
    second.start(**settings)
    second.wait_for("epoch=")
    second.kill()
    second.end()

    third = second.replace(tmp_path / "third")
    assert third.run(**settings) == 0, third.output
    assert third.failure is None
    assert [row["epoch"] for row in history(third.ml / "checkpoints")] == [0, 1, 2, 3, 4]
    output = third.ml / "output/data"
    client, run = the_run(output / "mlflow")
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "unet-tu-test_resnet"
    assert run.data.params["trainer.max_epochs"] == "5"
    for metric in ("val_loss", "train_iou", "lr_at_end"):
        assert [entry.step for entry in client.get_metric_history(run.info.run_id, metric)] == list(range(5)), metric
    assert [entry.step for entry in client.get_metric_history(run.info.run_id, "loss")] == list(range(5 * 4))

    (artifacts,) = output.glob(f"mlflow/mlruns/*/{run.info.run_id}/artifacts")
    assert {"config.yaml", "manifest.csv", "pictures"} <= {path.name for path in artifacts.iterdir()}
    assert {"train.log", "result.json", "split.png", "tiles.png"} <= {path.name for path in output.iterdir()}
    assert "epoch=5/5" in (output / "train.log").read_text()
    model = third.ml / "model"
    assert {path.name for path in model.iterdir()} == FETCHABLE
    begun_with = checkpoints.load(str(model / "best.ckpt"))["snowcover"]["config"]
    ended_with = yaml.safe_load((model / "config.yaml").read_text())
    assert [key for key in begun_with if begun_with[key] != ended_with[key]] == ["checkpoint"]
    result = json.loads(s3.get("exp/job/result.json"))
    assert result == json.loads((output / "result.json").read_text())
    assert result["run_id"] == run.info.run_id
    assert not (third.ml / "work").exists()


def nothing_staged(host: Host) -> None: ...


def two_configs(host: Host) -> None:
    host.stage(demo())
    host.stage(demo(), "other.yaml")


def another_version(host: Host) -> None:
    host.stage(demo(), version="9.9")
    staged = host.ml / "input/data/config/config.yaml"
    staged.write_text(staged.read_text() + "a_key_of_the_future: 1\n")


def wrong_value(host: Host) -> None:
    host.stage(demo())
    staged = host.ml / "input/data/config/config.yaml"
    staged.write_text(staged.read_text().replace("max_epochs: 60", "max_epochs: none"))


def another_command(host: Host) -> None:
    host.stage(demo(), command="predikt")


def half_a_file(host: Host) -> None:
    (host.ml / "input/data/config/config.yaml").write_text("model: {_target_: [")


def more_hosts_than_wanted(host: Host) -> None:
    host.stage(demo())
    resources = {"current_host": "algo-2", "hosts": ["algo-2", "algo-1"]}
    (host.ml / "input/config/resourceconfig.json").write_text(json.dumps(resources))


def no_hosts(host: Host) -> None:
    host.stage(demo())
    (host.ml / "input/config/resourceconfig.json").unlink()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (nothing_staged, "/opt/ml/input/data/config must contain one .yaml file and contains none: stage one config"),
        (two_configs, "must contain one .yaml file and contains 2 of them (config.yaml, other.yaml)"),
        (another_version, "config.yaml was composed by snowcover 9.9 and this is snowcover 0.1.0: rebuild the image"),
        (wrong_value, "trainer.max_epochs='none': input should be a valid integer"),
        (another_command, "config.yaml asks for the command predikt, which is none of those that run as jobs (train"),
        (half_a_file, "config.yaml cannot be read as a config"),
        (more_hosts_than_wanted, "hw.instance_count=1, but the job has 2 hosts (algo-1, algo-2) and this is"),
        (no_hosts, "resourceconfig.json does not name the hosts (FileNotFoundError"),
    ],
)
def test_an_invalid_job_ends_at_once_with_one_message(host: Host, harm: Callable[[Host], None], message: str) -> None:
    harm(host)
    assert host.run() == 1
    assert host.failure is not None
    assert message in host.failure
    assert host.output.strip() == host.failure
    assert not list((host.ml / "model").iterdir())


def test_anything_but_train_prints_the_usage() -> None:
    for arguments in (["serve"], []):
        done = subprocess.run([sys.executable, PROGRAM, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith("The only command of this image is: train\n")


def test_a_job_without_a_role_for_its_tiles_fails_with_the_trainers_message(host: Host, s3: Bucket) -> None:
    host.stage(config("data=tiles", sources(s3.uri), *SMALL))
    settings = {"AWS_ENDPOINT_URL": s3.server.endpoint, "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
    assert host.run(**settings) == 1
    assert host.failure is not None
    assert "credentials" in host.failure
    assert "Traceback" not in host.output
    _, run = the_run(host.ml / "output/data/mlflow")
    assert run.info.status == "FAILED"
    assert host.failure.endswith(run.data.tags["error"].partition(": ")[2])


def test_two_processes_of_one_machine_are_stopped_and_fail_together(tmp_path: Path) -> None:
    first = Host(tmp_path / "first")
    first.stage(demo("trainer.max_epochs=50", "hw.devices=2", "trainer.batch_size=3"))
    first.start()
    first.wait_for("epoch=1/50")
    first.stop()
    assert first.end() == 0, first.output
    assert first.failure is None
    assert "Traceback" not in first.output
    assert the_run(first.ml / "checkpoints/mlflow")[1].info.status == "KILLED"
    done = len(history(first.ml / "checkpoints"))

    second = first.replace(tmp_path / "second")
    second.start()
    second.wait_for(f"epoch={done + 1}/50")
    second.kill_process(rank=1)
    assert second.end() == 128 + signal.SIGKILL
    assert second.failure is not None
    assert second.failure.startswith("The training was killed by the machine's kernel (SIGKILL), most likely because")
    _, run = the_run(second.ml / "output/data/mlflow")
    assert run.info.status == "FAILED"


def test_the_message_of_several_processes_is_that_of_the_first_to_fail(host: Host) -> None:
    host.stage(demo("hw.devices=2", "trainer.batch_size=90000"))
    assert host.run() == 1
    assert host.failure is not None
    assert host.failure.startswith("trainer.batch_size=90000 needs about")


def test_two_hosts_train_one_run_as_one_host_does_with_twice_the_batch(
    tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing that chance or a batch's statistics decide: no augmentation, no batch norm, no Adam, which makes whole
    # steps of the smallest differences.
    equal = (
        "data=tiles", sources(site), *SMALL, "model.encoder_name=vgg11", "+model.decoder_use_norm=false",
        "optimizer=sgd", "scheduler=none", "loss=lovasz", "data.augment.flips_and_rotations=false",
        "data.augment.brightness=0", "data.split.train=0.75", "data.split.val=0.125", "data.split.test=0.125",
        "trainer.max_epochs=1",
    )  # fmt: skip
    names = ("127.0.0.1", "localhost")
    both = [Host(tmp_path / name, name, names) for name in names]
    for host in both:
        host.stage(on_two(config(*equal, "trainer.batch_size=3")))
    assert run_together(both) == [0, 0], [host.output for host in both]
    first, second = both
    assert first.output.count("epoch=1/1") == 1
    assert "epoch=" not in second.output
    assert not list((second.ml / "model").iterdir())
    assert not list((second.ml / "output/data").iterdir())
    assert the_run(first.ml / "output/data/mlflow")[1].info.status == "FINISHED"

    monkeypatch.chdir(tmp_path)
    fit(config(*equal, "trainer.batch_size=6"), tmp_path / "one", [])
    pairs = zip(history(first.ml / "checkpoints"), history(tmp_path / "one/checkpoints"), strict=True)
    for two, one in pairs:
        for name in ("train_loss", "val_loss", "train_iou", "val_iou"):
            assert two[name] == pytest.approx(one[name], abs=1e-4), name


def on_two(of_one: Config) -> Config:
    two = {"backend": "sagemaker", "instance_type": "ml.m5.large", "instance_count": 2}
    return of_one.model_copy(update={"hw": of_one.hw.model_copy(update=two)})
