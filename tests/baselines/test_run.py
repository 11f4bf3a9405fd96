"""The baselines of a run: fitted once, scored on the network's own tiles, kept as data, told everywhere."""

import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow import MlflowClient

from snowcover import checkpoints
from snowcover.baselines import fitting, stored
from snowcover.baselines.stored import NoBaseline
from snowcover.config import Config
from snowcover.data.reading import PairReader
from snowcover.errors import Stopped
from snowcover.scoring.confusion import Counts, confusion, scores
from snowcover.trained_model import ModelOverrides, load_trained_model
from snowcover.training.module import SnowModule
from snowcover.training.run import fit
from tests.making import TINY_UNET, config, sources, write_site

pytestmark = pytest.mark.training

NOTHING = ModelOverrides()


def small(site: Path, root: Path, *overrides: str) -> Config:
    return config(
        "data=tiles", sources(site), "tracking.system_metrics=false", "hw=cpu", *TINY_UNET,
        "trainer.max_epochs=2", "trainer.batch_size=8", "scheduler=none",
        "tracking.export_model=false", f"tracking.uri=sqlite:///{root}/mlflow.db", *overrides,
    )  # fmt: skip


@dataclass
class Done:
    """A run that has ended."""

    config: Config
    folder: Path
    log: str
    client: MlflowClient

    @property
    def result(self) -> dict:
        return json.loads((self.folder / "result.json").read_text())

    @property
    def about(self) -> dict:
        return checkpoints.load(str(self.folder / "checkpoints/best.ckpt"))["snowcover"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiles of one scene, whose masks say of each pixel what its spectrum does."""
    return write_site(tmp_path_factory.mktemp("site"), scenes=("20180528",))


@pytest.fixture(scope="module")
def run(site: Path, empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    root = tmp_path_factory.mktemp("run")
    shutil.copy(empty_database, root / "mlflow.db")
    chosen = small(site, root)
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("snowcover")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    fit(chosen, root / "run", [])
    logger.removeHandler(handler)
    logger.setLevel(before)
    yield Done(chosen, root / "run", "\n".join(lines), MlflowClient(f"sqlite:///{root}/mlflow.db"))


def counted(run: Done, side: str, kind: str) -> Counts:
    """What a kept baseline makes of all tiles of a side, pixel by pixel."""
    from snowcover.data.dataset import load_dataset

    tiles, read = load_dataset(run.config), PairReader.of(run.config.data)
    mapper = load_trained_model(str(run.folder), NOTHING, kind=kind).mapper  # type: ignore[arg-type]
    total = torch.zeros(4, dtype=torch.int64)
    for pair in tiles.of(side):
        raw = read(pair)
        total += confusion(
            mapper(torch.from_numpy(raw.image.astype(np.int32))[None])[0] > 0.5, torch.from_numpy(raw.mask)
        )
    return Counts(*total.tolist())


@pytest.mark.parametrize("side", ["val", "test"])
@pytest.mark.parametrize("kind", ["forest", "brightness"])
def test_baselines_are_scored_on_all_pixels_of_the_networks_tiles(run: Done, side: str, kind: str) -> None:
    found = {f"{kind}_{name}": value for name, value in scores(counted(run, side, kind)).items()}
    text = run.result[side]
    assert {name: text[name] for name in found} == pytest.approx(found, abs=1e-12 if kind == "forest" else 1e-3)
    assert "iou" in text and text["forest_iou"] > 0.9  # these tiles are told apart by single pixels


def test_mlflow_has_their_scores_the_file_and_a_description(run: Done) -> None:
    found = run.client.get_run(run.result["run_id"])
    for side in ("val", "test"):
        for name in ("forest_iou", "brightness_iou", "forest_f1"):
            assert found.data.metrics[f"{side}_{name}"] == pytest.approx(run.result[side][name])
    assert stored.FILE in {file.path for file in run.client.list_artifacts(run.result["run_id"])}
    note, test = found.data.tags["mlflow.note.content"], run.result["test"]
    row = f"| test iou | {test['iou']:.3f} | {test['forest_iou']:.3f} | {test['brightness_iou']:.3f} |"
    assert "|  | network | forest | brightness |" in note and row in note
    assert f"`python -m snowcover.predict model={run.result['run_id']} scenes=... out=maps`" in note
    assert "`with=network` or `with=forest` or `with=brightness`" in note


def test_an_experiment_is_of_training_and_not_of_language_models(run: Done) -> None:
    experiment = run.client.get_experiment_by_name("snowcover")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    page = f"http://127.0.0.1:5000/#/experiments/{experiment.experiment_id}?workflowType=machine_learning"
    assert any("  look " in line and line.endswith(f", and open {page}") for line in run.log.splitlines())


def test_a_network_that_is_worse_than_its_forest_is_reported_in_the_last_line(run: Done) -> None:
    test = run.result["test"]
    assert test["iou"] < test["forest_iou"]
    assert run.log.splitlines()[-1] == (
        f"The network is worse than a random forest that sees single pixels (test IoU {test['iou']:.3f} against "
        f"{test['forest_iou']:.3f}): train it longer or otherwise, or map with=forest."
    )


def test_the_file_is_data_and_holds_what_the_checkpoint_does(run: Done) -> None:
    with np.load(run.folder / stored.FILE, allow_pickle=False) as file:
        assert all(file[name].dtype.kind in "if" for name in file.files)
        assert len(file["forest_roots"]) == 31
    found = stored.from_npz((run.folder / stored.FILE).read_bytes(), "here")
    assert found["brightness_threshold"] == run.about["brightness_threshold"] == run.result["brightness_threshold"]
    assert all(torch.equal(found["forest"][name], array) for name, array in run.about["forest"].items())


def test_a_run_of_mlflow_maps_with_its_forest_too(run: Done) -> None:
    by_id = load_trained_model(run.result["run_id"], NOTHING, str(run.config.tracking.uri), "forest")
    here = load_trained_model(str(run.folder), NOTHING, kind="forest")
    tile = torch.randint(1, 8000, (1, 4, 16, 16))
    assert torch.equal(by_id.mapper(tile), here.mapper(tile))


def test_the_forest_changes_nothing_of_the_network_and_may_be_left_out(run: Done, site: Path, tmp_path: Path) -> None:
    chosen = small(site, run.folder.parent, "trainer.forest=false", "trainer.max_epochs=1")
    fit(chosen, tmp_path / "run", [])
    about = checkpoints.load(str(tmp_path / "run/checkpoints/best.ckpt"))["snowcover"]
    for name in ("train_loss", "val_loss", "val_iou"):
        assert about["history"][0][name] == run.about["history"][0][name]
    test = json.loads((tmp_path / "run/result.json").read_text())["test"]
    assert "brightness_iou" in test and "forest_iou" not in test
    with pytest.raises(NoBaseline, match=r"best\.ckpt keeps no pixel forest, .*trainer\.forest=true\.$"):
        load_trained_model(str(tmp_path / "run"), NOTHING, kind="forest")
    assert load_trained_model(str(tmp_path / "run"), NOTHING, kind="brightness").mapper


def test_a_run_that_resumes_fits_no_second_forest_and_has_the_same_scores(
    run: Done, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = SnowModule.training_step

    def stopping(self: SnowModule, batch: object, index: int) -> object:
        if (self.current_epoch, index) == (1, 0):
            raise Stopped("Stopped by SIGTERM.")
        return step(self, batch, index)  # type: ignore[arg-type]

    monkeypatch.setattr(SnowModule, "training_step", stopping)
    with pytest.raises(Stopped):
        fit(small(site, run.folder.parent), tmp_path / "run", [])
    monkeypatch.setattr(SnowModule, "training_step", step)
    monkeypatch.setattr(fitting, "fit_forest", lambda *_: pytest.fail("fitted twice"))
    fit(small(site, run.folder.parent, f"checkpoint.resume={tmp_path}/run/checkpoints/last.ckpt"), tmp_path / "on", [])
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert {side: result[side] for side in ("val", "test")} == {side: run.result[side] for side in ("val", "test")}
