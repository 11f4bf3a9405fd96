"""Maps by the baselines of a training."""

import shutil
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
import torch
from mlflow import MlflowClient

from snowcover.baselines.stored import BadBaseline, NoBaseline
from snowcover.predict.existing import OtherMaps
from snowcover.validation import ConfigError
from tests.predict.making import (
    BRIGHT_LEVEL,
    FOREST_LEVEL,
    LEVEL,
    predict,
    reflectance,
    stored,
    write_checkpoint,
    write_scene,
)

SCENE = "20180528_181110_1025"
LEVELS = {"network": LEVEL, "forest": FOREST_LEVEL, "brightness": BRIGHT_LEVEL}


@pytest.fixture
def place(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a network, its baselines, a scene and a store."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    write_checkpoint(tmp_path / "best.ckpt", run_id="5" * 32, baselines=True)
    write_scene(tmp_path / "imagery" / f"{SCENE}.tif")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_network_forest_and_threshold_each_make_their_own_map(place: Path) -> None:
    seen = ~(stored(reflectance()) == 0).all(axis=0)
    for kind, level in LEVELS.items():
        predict("model=best.ckpt", "scenes=imagery/*.tif", f"out={kind}", f"with={kind}")
        with rasterio.open(place / kind / SCENE / f"{SCENE}_snow.tif") as file:
            classes, tags = file.read(1), file.tags()
        clear = np.abs(reflectance() - level) > 0.05
        assert np.array_equal(classes == 255, ~seen)
        assert np.array_equal(classes[clear & seen], (reflectance() > level)[clear & seen]), kind
        assert tags["SNOWCOVER_MAPPED_WITH"] == kind
    with rasterio.open(place / "forest" / SCENE / f"{SCENE}_probability.tif") as file:
        halves = file.read(1)[seen & (reflectance() > FOREST_LEVEL + 0.1)]
    assert set(np.unique(halves)) == {170}  # both trees: (.9 + .8) / 2, in half per cents
    item = pystac.Item.from_file(str(place / "forest" / SCENE / f"{SCENE}.json"))
    assert item.properties["mlm:architecture"] == "ForestNetwork"
    client = MlflowClient(f"sqlite:///{place}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("snowcover").experiment_id])
    assert {(run.data.params["with"], run.data.tags["mapped_with"]) for run in runs} == {(k, k) for k in LEVELS}


def test_maps_of_network_and_forest_are_not_mixed(place: Path) -> None:
    predict("model=best.ckpt", "scenes=imagery/*.tif", "out=maps", "with=brightness")
    with pytest.raises(OtherMaps, match="with was brightness and is forest now"):
        predict("model=best.ckpt", "scenes=imagery/*.tif", "out=maps", "with=forest")


@pytest.mark.parametrize(("kind", "what"), [("forest", "pixel forest"), ("brightness", "brightness threshold")])
def test_a_run_without_baselines_is_refused_in_one_message(place: Path, kind: str, what: str) -> None:
    write_checkpoint(place / "older.ckpt")
    with pytest.raises(NoBaseline, match=rf"^older\.ckpt keeps no {what}, .*: map with=network, or train again"):
        predict("model=older.ckpt", "scenes=imagery/*.tif", "out=maps", f"with={kind}")
    torch.save({"state_dict": {}}, place / "pink.pth")
    with pytest.raises(NoBaseline, match=rf"^pink\.pth keeps no {what}"):
        predict("model=pink.pth", "scenes=imagery/*.tif", "out=maps", f"with={kind}")
    assert not (place / "maps").exists()


def test_a_damaged_forest_is_refused_by_name(place: Path) -> None:
    saved = torch.load(place / "best.ckpt", weights_only=True)
    saved["snowcover"]["forest"]["next_node"][0] = 99
    torch.save(saved, place / "best.ckpt")
    message = (
        r"^best\.ckpt keeps a pixel forest that cannot be one \(its next_node name what there is not\): train again\.$"
    )
    with pytest.raises(BadBaseline, match=message):
        predict("model=best.ckpt", "scenes=imagery/*.tif", "out=maps", "with=forest")


def test_a_wrong_choice_is_refused_with_the_valid_ones(place: Path) -> None:
    with pytest.raises(ConfigError, match=r"^with='trees': input should be 'network', 'forest' or 'brightness' \(what"):
        predict("model=best.ckpt", "scenes=imagery/*.tif", "out=maps", "with=trees")
