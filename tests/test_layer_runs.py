"""A run with layers from its tiles to its maps: what its checkpoint says, and what may go on from it."""

import json
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch

from snowcover import checkpoints
from snowcover.compat import raw_tensor
from snowcover.config import Config
from snowcover.data.dataset import load_dataset
from snowcover.evaluate.saved_run import load_runs
from snowcover.evaluate.saved_tiles import SavedTiles
from snowcover.predict.models import NoModel
from snowcover.trained_model import ModelOverrides, load_trained_model
from snowcover.training.resume import CannotResume
from snowcover.training.run import fit
from tests.evaluate.test_config import config as evaluation
from tests.layer_making import TIMED, layers, tiles_of, write_layer
from tests.making import TINY_UNET, config, sources, write_site
from tests.predict.making import predict

pytestmark = pytest.mark.training

CHANNELS = ["aspect_sin", "aspect_cos", "elevation", "illumination", "slope"]
SMALL = (*TINY_UNET, "optimizer.lr=1e-3", "trainer.max_epochs=2", "trainer.batch_size=8", "hw=cpu",
         "tracking.system_metrics=false", "data.augment.brightness=0.1")  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Path]:
    """A folder with a site and its terrain, and the run that was trained on them."""
    root = write_site(tmp_path_factory.mktemp("home"), scenes=TIMED)
    write_layer(root / "dem", tiles_of(root), hole=True)
    (root / "mlflow.db").write_bytes(empty_database.read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        fit(wanted(root), root / "run", [])
        yield root


def wanted(root: Path, *overrides: str, named: str = "elevation slope aspect illumination") -> Config:
    of_layers = [layers(root / "dem", *named.split())] if named else []
    uri = f"tracking.uri=sqlite:///{root}/mlflow.db"
    return config("data=tiles", sources(root), *of_layers, uri, *SMALL, *overrides)


def test_the_checkpoint_says_what_its_layers_are(home: Path) -> None:
    about = checkpoints.load(str(home / "run/checkpoints/best.ckpt"))["snowcover"]
    tiles = load_dataset(wanted(home))
    assert about["bands"] == ["blue", "green", "red", "nir"]
    assert len(about["mean"]) == len(about["std"]) == 4
    assert about["layers"]["channels"] == CHANNELS
    assert tiles.statistics.layers is not None
    assert about["layers"]["mean"] == tiles.statistics.layers.mean
    assert about["manifest_digest"] == tiles.digest != tiles.manifest.digest


def test_the_loaded_network_says_what_the_trained_one_does_of_bands_and_layers(home: Path) -> None:
    model = load_trained_model(str(home / "run"), ModelOverrides())
    assert model.channels == ("blue", "green", "red", "nir", *CHANNELS)
    assert model.layers == dict.fromkeys(("aspect", "elevation", "illumination", "slope"), str(home / "dem"))
    tiles = load_dataset(wanted(home))
    hits = union = 0
    for pair in tiles.of("test"):
        raw = tiles.read(pair)
        with torch.inference_mode():
            said = model.mapper.logits(raw_tensor(raw.network_input)[None])[0, 0].numpy() > 0
        hits += int((said & (raw.mask == 1)).sum())
        union += int(((said | (raw.mask == 1)) & (raw.mask != 255)).sum())
    test = json.loads((home / "run/result.json").read_text())["test"]
    assert hits / union == pytest.approx(test["iou"], abs=1e-6)


def test_the_model_in_mlflow_takes_bands_and_layers(home: Path) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{home}/mlflow.db")
    run_id = json.loads((home / "run/result.json").read_text())["run_id"]
    network = mlflow.pytorch.load_model(f"runs:/{run_id}/model")
    ours = load_trained_model(str(home / "run"), ModelOverrides()).mapper
    tiles = load_dataset(wanted(home))
    raw = raw_tensor(np.stack([tiles.read(pair).network_input for pair in tiles.of("val")[:3]]))
    torch.testing.assert_close(network(raw), ours(raw), atol=1e-4, rtol=1e-4, equal_nan=True)


def test_the_run_in_mlflow_is_mapped_with_by_its_id_as_by_its_checkpoint(home: Path) -> None:
    run_id = json.loads((home / "run/result.json").read_text())["run_id"]
    found = load_trained_model(run_id, ModelOverrides(), f"sqlite:///{home}/mlflow.db")
    ours = load_trained_model(str(home / "run"), ModelOverrides())
    assert (found.channels, found.zoom, found.tile_size) == (ours.channels, ours.zoom, ours.tile_size)
    assert found.mean == pytest.approx(ours.mean)
    tiles = load_dataset(wanted(home))
    raw = raw_tensor(np.stack([tiles.read(pair).network_input for pair in tiles.of("val")[:2]]))
    with torch.inference_mode():
        torch.testing.assert_close(found.mapper(raw), ours.mapper(raw), equal_nan=True)


def test_the_forest_next_to_it_sees_the_bands_alone(home: Path) -> None:
    model = load_trained_model(str(home / "run"), ModelOverrides(), kind="forest")
    assert (model.mapper.channels, dict(model.layers)) == (4, {})
    assert json.loads((home / "run/result.json").read_text())["test"]["forest_iou"] > 0.5


def test_a_saved_run_is_evaluated_with_its_layers(home: Path) -> None:
    runs = load_runs(evaluation(f"run={home}/run"))
    found = SavedTiles(runs, tuple(runs[0].pairs), 1000.0, "cpu")
    hits = union = 0
    for chunk in found.chunks():
        snow, said = chunk.snow == 1, np.nan_to_num(chunk.share[runs[0].name]) == 1
        hits += int((snow & said).sum())
        union += int(((snow | said) & (chunk.snow != 255)).sum())
    test = json.loads((home / "run/result.json").read_text())["test"]
    assert hits / union == pytest.approx(test["iou"], abs=1e-3)
    assert [run.name for run in runs[1:]] == ["forest", "brightness"]


def test_maps_are_made_with_the_layers_of_the_training_or_those_that_are_given(home: Path) -> None:
    scene = f"scenes={home}/scenes/{TIMED[0]}"
    uri = f"tracking.uri=sqlite:///{home}/mlflow.db"
    predict(f"model={home}/run", scene, f"out={home}/maps", "grid=training", uri)
    assert (home / f"maps/{TIMED[0]}/preview.png").exists()
    with pytest.raises(NoModel, match="layers names canopy, but the model takes the layers aspect, elevation"):
        predict(f"model={home}/run", scene, f"out={home}/other", "layers={canopy: x}", uri)
    with pytest.raises(NoModel, match="takes no layers"):
        predict(f"model={home}/run", scene, f"out={home}/other", "with=forest", "layers={slope: x}", uri)


def test_a_run_resumes_with_its_layers_alone(home: Path) -> None:
    best = f"checkpoint.resume={home}/run/checkpoints/best.ckpt"
    with pytest.raises(CannotResume, match=r"data\.layers\.slope was .*dem and is now None"):
        fit(wanted(home, best, named="elevation aspect illumination"), home / "again", [])
    tile = next((home / "dem").rglob("*.tif"))
    before = tile.read_bytes()
    tile.write_bytes(before + b"more")
    (home / "run/result.json").rename(home / "kept.json")  # so that there is something left to do
    try:
        with pytest.raises(CannotResume, match="The tiles are not those"):
            fit(wanted(home, best), home / "again", [])
    finally:
        tile.write_bytes(before)
        (home / "kept.json").rename(home / "run/result.json")


def test_weights_are_loaded_by_networks_of_the_same_layers_alone(home: Path) -> None:
    best = f"checkpoint.init_from={home}/run/checkpoints/best.ckpt"
    with pytest.raises(checkpoints.BadCheckpoint, match="was trained on the layers aspect_sin, .* give none"):
        fit(wanted(home, best, named=""), home / "new", [])
