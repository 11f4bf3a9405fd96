"""A user's own classes, and a working folder other than where the command writes, in one training."""

import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from snowcover import checkpoints
from snowcover.prepare import __main__ as prepare
from tests.making import sources
from tests.prepare.rasters import write_raster
from tests.read_only import run_in
from tests.starting import everything_in, start
from tests.test_train_command import SMALL

pytestmark = pytest.mark.training

NETWORK = """
from torch import nn

class Net(nn.Module):
    def __init__(self, in_channels, classes, width=8):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, classes, 1))

    def forward(self, image):
        return self.layers(image)
"""
OWN = {
    "mine/nets.py": NETWORK,
    "mine/model/own.yaml": "_target_: nets.Net\nwidth: 4\n",
    "mine/loss/torchs.yaml": "_target_: torch.nn.BCEWithLogitsLoss\n",
}
MODULES = ("snowcover.train", "snowcover.prepare")


@pytest.fixture
def project(site: Path, tmp_path: Path) -> Path:
    """A folder with tiles and the user's own config files."""
    folder = tmp_path / "project"
    shutil.copytree(site, folder / "site")
    for name, text in OWN.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_own_classes_train_in_a_read_only_folder_with_every_place_elsewhere(project: Path, tmp_path: Path) -> None:
    before = everything_in(project)
    done = run_in(
        project, sys.executable, "-B", "-m", "snowcover.train", *SMALL[:3], sources("site"), "trainer.max_epochs=1",
        "optimizer.lr=1e-2", "--config-dir", "mine", "model=own", "loss=torchs", "hydra.job.chdir=true",
        f"hydra.run.dir={tmp_path}/run", f"tracking.uri=sqlite:///{tmp_path}/mlflow.db",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert everything_in(project) == before
    paths = re.findall(r"\S*best\.ckpt", done.stdout)
    assert paths, done.stdout
    assert (project / paths[0]).is_file()  # relative to the folder it was started in
    history = checkpoints.load(str(project / paths[0]))["snowcover"]["history"]
    assert 0 < history[0]["train_loss"] < 1  # of 255 in a mask it would be in the hundreds
    (run,) = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").search_runs(["1"])
    assert run.info.status == "FINISHED"
    assert str(tmp_path) in str(run.info.artifact_uri)


@pytest.mark.parametrize(
    ("module", "arguments", "keys"),
    [
        ("snowcover.train", (), ("hydra.run.dir", "data.generate.folder", "tracking.uri")),
        ("snowcover.train", ("-m", "seed=1,2"), ("hydra.sweep.dir", "data.generate.folder", "tracking.uri")),
        ("snowcover.train", ("checkpoint.dir=c", "data.cache=tiles", "data.generate.folder=site"),
         ("hydra.run.dir", "checkpoint.dir", "data.cache", "tracking.uri")),
        ("snowcover.prepare", ("collect=depth.tif", "out=masks"), ("hydra.run.dir", "out")),
        ("snowcover.prepare", ("-m", "collect=depth.tif", "out=masks", "zoom=10,11"), ("hydra.sweep.dir", "out")),
    ],
)  # fmt: skip
def test_a_read_only_folder_is_reported_with_every_key_to_set(
    project: Path, module: str, arguments: tuple[str, ...], keys: tuple[str, ...]
) -> None:
    done = run_in(project, sys.executable, "-B", "-m", module, *arguments)
    assert done.returncode == 1, done.stdout + done.stderr
    (message,) = done.stderr.strip().splitlines()
    assert message.startswith("These places cannot be written: ")
    assert message.endswith(f"Set {' and '.join(keys)} to places that can.")
    assert not done.stdout


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_path_is_relative_to_the_starting_folder_and_a_tilde_is_the_home(at_home: Path, tmp_path: Path) -> None:
    metres = np.linspace(0, 2, 64 * 64, dtype=np.float32).reshape(64, 64)
    write_raster(tmp_path / "depth.tif", metres)
    write_raster(at_home / "depth.tif", metres)
    small = ("zoom=14", "tile_size=64", "min_valid=0", "hydra.job.chdir=true")
    relative = start(prepare.COMMAND, tmp_path, "collect=depth.tif", "out=masks", *small)
    assert relative.status == 0, relative.err
    assert (tmp_path / "masks" / "tiles.json").is_file()
    home = start(prepare.COMMAND, tmp_path, "collect=~/depth.tif", "out=~/20180528_1", "hydra.run.dir=~/runs", *small)
    assert home.status == 0, home.err
    assert (at_home / "20180528_1" / "tiles.json").is_file()
    assert (at_home / "runs" / "prepare.log").is_file()
    swept = start(
        prepare.COMMAND, tmp_path, "-m", "hydra.sweep.dir=~/sweeps", "collect=depth.tif", "out=2018_1,2018_2", *small
    )
    assert swept.status == 0, swept.err
    assert {"2018_1", "2018_2"} <= set(os.listdir(tmp_path))
    assert (at_home / "sweeps" / "1" / "prepare.log").is_file()
    assert not list(tmp_path.rglob("~"))
