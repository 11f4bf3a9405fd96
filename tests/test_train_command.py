"""`python -m snowcover.train` as a user starts, breaks and stops it."""

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from snowcover import checkpoints, train
from snowcover.data.tiles import Tile
from tests import starting
from tests.making import QUICK, TINY_UNET, snowy, sources, write_tile
from tests.servers import Bucket
from tests.starting import Process, finish_process

pytestmark = [pytest.mark.training, pytest.mark.process]

SMALL = (
    "data=tiles", "hw=cpu", "tracking.system_metrics=false", *TINY_UNET,
    "optimizer.lr=1e-3", "trainer.batch_size=6", "trainer.max_epochs=2", *QUICK,
)  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, empty_database: Path) -> Path:
    """A working folder with a database, which takes long to make."""
    shutil.copy(empty_database, tmp_path)
    return tmp_path


def begin(folder: Path, *overrides: str) -> Process:
    flags = [override for override in overrides if override.startswith("-")]  # argparse wants them first
    return Process("snowcover.train", folder, *flags, *SMALL, *(given for given in overrides if given not in flags))


def error_of(folder: Path, *overrides: str) -> str:
    """The one sentence that a failing command ends in."""
    return starting.start(train.COMMAND, folder, *SMALL, *overrides).error_message


def broken(site: Path, folder: Path, harm: Callable[[Path, Path], None]) -> str:
    """A copy of the site of which one pair was harmed."""
    copy = folder / "site"
    shutil.copytree(site, copy)
    harm(copy / "scenes/20180528_a/15/5501/12601.tif", copy / "masks/ASO_20180528/15/5501/12601.tif")
    return sources(copy)


TILE = Tile(15, 5501, 12601)


def truncate(image: Path, mask: Path) -> None:
    image.write_bytes(image.read_bytes()[:-2000])


def three_bands(image: Path, mask: Path) -> None:
    write_tile(image.parents[3 - 1], TILE, snowy(1)[0][:3])


def other_size(image: Path, mask: Path) -> None:
    write_tile(mask.parents[3 - 1], TILE, snowy(1, 32)[1], nodata=255)


def value_seven(image: Path, mask: Path) -> None:
    values = snowy(1)[1]
    values[0, 30, 30] = 7
    write_tile(mask.parents[3 - 1], TILE, values, nodata=255)


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (truncate, "scenes/20180528_a/15/5501/12601.tif is "),
        (three_bands, "scenes/20180528_a/15/5501/12601.tif has 3 bands, data.bands names 4"),
        (other_size, "masks/ASO_20180528/15/5501/12601.tif has 32 x 32 pixels, its image"),
        (value_seven, "masks/ASO_20180528/15/5501/12601.tif holds the value 7"),
    ],
)
def test_a_bad_tile_ends_in_one_message_that_names_it(
    site: Path, tmp_path: Path, harm: Callable[[Path, Path], None], sentence: str
) -> None:
    assert sentence in error_of(tmp_path, broken(site, tmp_path, harm))


def test_no_tiles_a_wrong_name_and_too_large_a_batch_end_in_one_message(site: Path, tmp_path: Path) -> None:
    assert "No mask tiles under" in error_of(tmp_path, sources("nowhere"))
    assert error_of(tmp_path, "model=ternaus").startswith("model=ternaus: no such model (did you mean ternausv2?)")
    assert "no such encoder" in error_of(tmp_path, sources(site), "model.encoder_name=resnet9")
    assert "trainer.batch_size=90000 needs about" in error_of(tmp_path, sources(site), "trainer.batch_size=90000")


def test_a_wrong_bucket_ends_in_one_message(tmp_path: Path, s3: Bucket) -> None:
    assert "no-such-bucket" in error_of(tmp_path, sources("s3://no-such-bucket"))


def test_no_credentials_end_in_one_message(here: Path, s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    process = begin(here, sources(s3.uri))  # a process that has no client yet
    status, _, errors = finish_process(process)
    (line,) = errors.strip().splitlines()
    assert (status, "credentials" in line.lower()) == (1, True), line


def test_a_store_in_a_folder_that_is_not_there_ends_in_one_message(site: Path, tmp_path: Path) -> None:
    sentence = error_of(tmp_path, sources(site), "tracking.uri=sqlite:////dev/null/mlflow.db")
    assert "tracking.uri=/dev/null/mlflow.db (/dev/null is no folder)" in sentence


def runs(folder: Path) -> list:
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    return client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_killed_run_resumes_with_nothing_lost_but_its_unfinished_epoch(
    site: Path, here: Path, sent: signal.Signals
) -> None:
    longer = (sources(site), "trainer.max_epochs=4")
    process = begin(here, *longer)
    process.wait_for("epoch=1/4")
    time.sleep(random.uniform(0, 1.0))
    process.send_signal(sent)
    _, errors = process.communicate(timeout=60)
    if sent is signal.SIGKILL:
        assert process.returncode == -sent
    else:
        assert process.returncode == 128 + sent
        assert errors.strip() == f"Stopped by {sent.name}."
        assert [found.info.status for found in runs(here)] == ["KILLED"]
    status, _, errors = finish_process(begin(here, *longer, "checkpoint.resume=auto"))
    assert status == 0, errors
    (found,) = runs(here)
    assert found.info.status == "FINISHED"
    (folder,) = here.glob("outputs/*/*")  # that of the first command: the second one's log is in it, too
    (best,) = (folder / "checkpoints").iterdir()
    assert [row["epoch"] for row in checkpoints.load(str(best))["snowcover"]["history"]] == [0, 1, 2, 3]
    log = (folder / "train.log").read_text()
    assert "epoch=1/4" in log
    assert "epoch=4/4" in log
    client = MlflowClient(f"sqlite:///{here}/mlflow.db")
    assert [entry.step for entry in client.get_metric_history(found.info.run_id, "val_loss")] == [0, 1, 2, 3]


def test_two_at_once_in_one_folder_are_two_whole_runs(site: Path, tmp_path: Path) -> None:
    both = [begin(tmp_path, sources(site)) for _ in range(2)]
    for process in both:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    assert [found.info.status for found in runs(tmp_path)] == ["FINISHED", "FINISHED"]
    assert len(list(tmp_path.glob("outputs/snowcover/*/result.json"))) == 2


def test_two_processes_train_one_network_and_record_one_run(site: Path, here: Path) -> None:
    one_epoch = (sources(site), "hw.devices=2", "trainer.batch_size=3", "trainer.max_epochs=1")
    status, output, errors = finish_process(begin(here, *one_epoch))
    assert status == 0, errors
    (found,) = runs(here)
    assert found.info.status == "FINISHED"
    assert output.count("epoch=1/1") == 1


def test_a_sweep_is_one_run_each_and_quiet(site: Path, here: Path) -> None:
    sweep = ("--multirun", sources(site), "optimizer.lr=1e-3,1e-4", "trainer.max_epochs=1")
    status, output, errors = finish_process(begin(here, *sweep))
    assert status == 0, errors
    found = runs(here)
    (parent,) = (run for run in found if "mlflow.parentRunId" not in run.data.tags)
    children = [run for run in found if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert {float(run.data.tags["override.optimizer.lr"]) for run in children} == {1e-3, 1e-4}
    assert "Traceback" not in errors
    assert "\r" not in output + errors  # no progress bar where nobody watches


def test_an_installed_wheel_works_outside_the_checkout(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    wheels, target = tmp_path / "wheels", tmp_path / "installed"
    subprocess.run([*pip, "wheel", "--no-deps", "-w", wheels, root], check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", target, wheel], check=True, capture_output=True)
    # -S and an explicit path: the editable install of the checkout must not be what is found.
    program = (
        "import sys, runpy; sys.path[:0] = [sys.argv.pop(1)]; import snowcover; print(snowcover.__file__); "
        "sys.argv[0] = sys.argv.pop(1); runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
    )
    for command, override, config in (
        ("train", "model=unet", "segmentation_models_pytorch.Unet"),
        ("prepare", "zoom=15", "zoom: 15"),
        ("predict", "model=RUN", "model: RUN"),
        ("evaluate", "run=RUN", "run: RUN"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", program, str(target), f"snowcover.{command}", "--cfg", "job", override],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(str(target))
        assert config in done.stdout
