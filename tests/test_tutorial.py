"""docs/tutorial.md: its own commands, in its order, on real data that stand for the downloads it names.

The real data hold no snow depth and PlanetScope scene of one ground, so what the tutorial trains on is Landsat:

- 20180528_..._AnalyticMS_SR_clip.tif is landsat7_everest/everest_bgrn.tif, a real scene of another satellite and place.
- ASO_3M_SD_USCATE_20180528.tif is that scene's everest_snow_mask.tif, snow as 0.5 m of depth and no snow as 0 m: its
  labels are a rule on the image itself, so that scores here say nothing of real skill.
- 20180528_..._udm2_clip.tif is made here: clear, but for a cloud in one corner.

The files of the section on refusals are themselves: a PlanetScope scene with UDM and metadata, a clip of ASO's.
"""

import csv
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
from mlflow import MlflowClient

from snowcover.sensors.planetscope import UDM2_BANDS
from tests.starting import ROOT, Ended, Process, finish_process

pytestmark = [pytest.mark.training, pytest.mark.process]

TEXT = (ROOT / "docs/tutorial.md").read_text()
SCENE = "20180528_181110_1025_3B_AnalyticMS_SR_clip"
DEPTH = "ASO_3M_SD_USCATE_20180528"
CLOUD_PX = 100  # sides of the cloud in the scene's upper left corner
SMALL = [  # what makes a command quick and fits its stand-in's pixels: module, part of the command, words added
    ("prepare", "", ["tile_size=128"]),
    ("prepare", "ASO_20180528", ["zoom=13"]),
    ("prepare", "_AnalyticMS.tif", ["zoom=12"]),
    ("train", "", ["trainer.max_epochs=2", "model.widths=[8,16,16]", "hw=cpu",
                   "tracking.system_metrics=false", "tracking.export_model=false"]),
    ("evaluate", "", ["draws=200"]),
]  # fmt: skip


@dataclass(frozen=True)
class Step:
    """A command of the tutorial, what the page says that it prints, and what it did."""

    command: str
    shown: str
    ended: Ended


def blocks(kind: str) -> Iterator[str]:
    yield from (code for found, code in _blocks() if found == kind)


def _blocks() -> list[tuple[str, str]]:
    text = TEXT.replace(" \\\n", " ")  # a command on several lines
    return re.findall(r"^```(\w+)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def _commands() -> Iterator[tuple[str, str]]:
    """Each command in the page's order, with the text that is shown as its output, if any."""
    for kind, code in _blocks():
        if kind == "sh":
            yield from ((line, "") for line in code.splitlines())
        elif kind == "console":
            command, _, shown = code.removeprefix("$ ").partition("\n")
            yield command, shown


def _run(command: str, folder: Path) -> Ended:
    _, _, module, *words = shlex.split(command)
    small = [word for name, part, added in SMALL if module == f"snowcover.{name}" and part in command for word in added]
    status, out, err = finish_process(Process(module, folder, *words, *small))
    return Ended(status or 0, out, err)


def _write_downloads(folder: Path, shared: Path) -> None:
    """The files that the tutorial names, made of the real data: see the top of this file."""
    folder.mkdir()
    for file in [*(shared / "planetscope_scene").iterdir(), *(shared / "aso_depth").glob("*_3m_*.tif")]:
        shutil.copy(file, folder)
    shutil.copy(shared / "landsat7_everest/everest_bgrn.tif", folder / f"{SCENE}.tif")
    with rasterio.open(shared / "landsat7_everest/everest_snow_mask.tif") as file:
        mask, profile = file.read(1), file.profile
    depth = np.select([mask == 1, mask == 0], [0.5, 0.0], np.nan).astype(np.float32)
    profile |= {"dtype": "float32", "nodata": np.nan}
    with rasterio.open(folder / f"{DEPTH}.tif", "w", **profile) as file:
        file.write(depth, 1)
    udm2 = np.zeros((8, *mask.shape), np.uint8)
    udm2[UDM2_BANDS.index("cloud"), :CLOUD_PX, :CLOUD_PX] = 1
    udm2[UDM2_BANDS.index("clear")] = 1 - udm2[UDM2_BANDS.index("cloud")]
    profile |= {"dtype": "uint8", "nodata": None, "count": 8}
    with rasterio.open(folder / f"{SCENE.replace('AnalyticMS_SR', 'udm2')}.tif", "w", **profile) as file:
        file.write(udm2)


@pytest.fixture(scope="module")
def place(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tutorial")
    _write_downloads(folder / "downloads", shared_data)
    return folder


@pytest.fixture(scope="module")
def steps(place: Path) -> list[Step]:
    """Every command of ours, in the page's order; one that is not to fail and does ends this."""
    done = []
    for command, shown in _commands():
        if command.startswith("python -m snowcover."):
            done.append(Step(command, shown, _run(command, place)))
            assert done[-1].ended.status == (1 if shown else 0), (command, done[-1].ended)
    return done


def test_every_step_has_its_command(steps: list[Step]) -> None:
    modules = [step.command.split()[2].removeprefix("snowcover.") for step in steps]
    assert list(dict.fromkeys(modules)) == ["prepare", "train", "predict", "evaluate"]
    assert modules.count("prepare") == 6


def test_the_refusal_is_reported_as_it_is_shown(steps: list[Step]) -> None:
    refused = [step for step in steps if step.shown]
    assert refused
    assert [step.ended.error_message for step in refused] == [step.shown.strip() for step in refused]


def test_every_file_that_is_named_is_there(place: Path, steps: list[Step]) -> None:
    (listing,) = [block for block in blocks("text") if block.startswith("downloads/")]
    named = re.findall(r"`((?:masks|tiles|outputs|maps|report)/[^`]*)`", TEXT) + listing.split()
    assert len(named) > 8
    assert not [name for name in named if not any(place.glob(name))]
    for ending in re.findall(r"`(\*_\w+\.tif)`", TEXT):
        assert [*place.glob(f"maps/{SCENE}/{ending}")], ending


def test_the_final_table_has_the_rows_and_columns_that_are_shown(steps: list[Step]) -> None:
    (shown,) = [block for block in blocks("text") if "network  forest" in block]
    (train,) = [step for step in steps if "snowcover.train" in step.command]
    assert "network  forest  brightness" in train.ended.out
    rows = re.findall(r"^  (\w+ \w+)  ", shown, flags=re.MULTILINE)
    assert rows[:2] == ["val iou", "test iou"]
    assert not [row for row in rows if not re.search(rf"^  {row} .*\d\.\d{{3}}", train.ended.out, re.MULTILINE)]


def test_mlflow_is_opened_on_the_store_that_the_run_is_in(place: Path, steps: list[Step]) -> None:
    (look,) = [command for command, _ in _commands() if command.startswith("mlflow")]
    assert look in "".join(step.ended.out for step in steps)  # what the run itself says
    client = MlflowClient(f"sqlite:///{place}/mlflow.db")
    experiment = client.get_experiment_by_name("snowcover")
    assert experiment is not None
    assert any("test_iou" in run.data.metrics for run in client.search_runs([experiment.experiment_id]))


def test_what_the_udm2_calls_cloud_is_neither_learned_nor_mapped(place: Path, steps: list[Step]) -> None:
    with rasterio.open(place / f"maps/{SCENE}/{SCENE}_snow.tif") as file:
        classes = file.read(1)
    assert (classes[:CLOUD_PX, :CLOUD_PX] == 255).all()
    assert (classes[CLOUD_PX:, CLOUD_PX:] != 255).any()
    images, masks = tiles_in(place / "tiles" / SCENE), tiles_in(place / "masks/ASO_20180528")
    assert images < masks  # the corner's tile is all cloud


def tiles_in(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.glob("*/*/*.tif")}


def test_the_mask_is_that_of_the_depths(place: Path, shared_data: Path, steps: list[Step]) -> None:
    with (
        rasterio.open(place / "masks/ASO_20180528/mask.tif") as made,
        rasterio.open(shared_data / "landsat7_everest/everest_snow_mask.tif") as real,
    ):
        assert np.array_equal(made.read(1), real.read(1))


def test_the_map_is_evaluated_on_ground_that_was_not_learned(place: Path, steps: list[Step]) -> None:
    with (place / "report/evaluation.csv").open() as file:
        iou = next(row for row in csv.DictReader(file) if row["quantity"] == "iou")
    assert (iou["ground"], iou["pixels_of"], iou["stratum"]) == ("unseen", "common", "")
    assert 0 < int(iou["pixels"]) < 0.5 * 800 * 655  # most of the ground was learned
    assert "unseen ground" in steps[-1].ended.out
