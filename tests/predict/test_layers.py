"""Maps of networks with layers: each pixel with its own, wherever windows lie."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from affine import Affine
from rasterio.crs import CRS
from torch import nn

from snowcover.data import geotiff
from snowcover.data.layers import LayerReader, NoLayer, NoTime
from snowcover.data.tiles import HALF_WORLD_M, Tile
from snowcover.models.mapper import SnowMapper
from snowcover.predict.device_process import DeviceProcess
from snowcover.predict.members import Members
from snowcover.predict.plan import layout_with_margin
from snowcover.predict.windows import Window
from snowcover.prepare.reprojection import Grid
from snowcover.trained_model import TrainedModel
from tests.layer_making import TIMED, write_layer
from tests.predict.scenes import PIXEL_M, TILE, ZOOM, HeldScene, landscape, mapped, model, own_grid

NAMES = ("illumination", "slope")
FIRST = Tile(ZOOM, 5514, 12650)
LEFT, TOP = FIRST.x * TILE + 20, FIRST.y * TILE + 30  # of the scene, in pixels of the tiles' grid
PLACE = Affine(PIXEL_M, 0, LEFT * PIXEL_M - HALF_WORLD_M, 0, -PIXEL_M, HALF_WORLD_M - TOP * PIXEL_M)
GRID = Grid(CRS.from_epsg(3857), PLACE, 300, 200)
TILES = [Tile(ZOOM, FIRST.x + across, FIRST.y + down) for across in range(5) for down in range(4)]


def pixel_network() -> nn.Module:
    """Looks at each pixel alone, and at all of its three channels."""
    network = nn.Conv2d(3, 1, 1)
    with torch.no_grad():
        network.weight[0, :, 0, 0] = torch.tensor([4.0, 1.0, -0.7])
        network.bias.fill_(-2)
    return network.eval()


def layered(folder: Path) -> TrainedModel:
    """Of one band and two layers."""
    mapper = SnowMapper(pixel_network(), 1e-4, 0, [0.0, 0.5, 20.0], [1.0, 0.2, 10.0], layers=2).eval()
    return replace(model(), mapper=mapper, layers=dict.fromkeys(NAMES, str(folder)))


def scene(name: str = TIMED[0]) -> HeldScene:
    held = HeldScene(GRID, landscape(GRID))
    held.name = name
    return held


def expected(folder: Path, of: HeldScene) -> np.ndarray[Any, Any]:
    """What the network says of each pixel of the scene with the layers below it."""
    reader = LayerReader.of(dict.fromkeys(NAMES, str(folder)))
    assert reader is not None
    whole = np.full((2, 4 * TILE, 5 * TILE), np.nan, np.float32)
    with geotiff.environment():
        for tile in TILES:
            row, column = (tile.y - FIRST.y) * TILE, (tile.x - FIRST.x) * TILE
            whole[:, row : row + TILE, column : column + TILE] = reader.read(of.name, tile, (TILE, TILE))
    below = whole[:, 30 : 30 + GRID.height, 20 : 20 + GRID.width]
    light, slope = np.nan_to_num((below - np.array([0.5, 20])[:, None, None]) / np.array([0.2, 10])[:, None, None])
    return np.asarray(1 / (1 + np.exp(-(4e-4 * of.values[..., 0] + light - 0.7 * slope - 2))))


def test_each_pixel_is_mapped_with_the_layers_at_its_place(tmp_path: Path) -> None:
    folder, held = write_layer(tmp_path, TILES, TILE), scene()
    found, spread = mapped(held, own_grid(held), layered(folder))
    assert spread is None
    np.testing.assert_allclose(found, expected(folder, held), atol=2e-3)
    assert np.abs(expected(folder, held) - expected(folder, scene(TIMED[1]))).max() > 0.05  # the time of day matters


def test_flips_turn_layers_with_the_ground(tmp_path: Path) -> None:
    folder, held = write_layer(tmp_path, TILES, TILE), scene()
    found, spread = mapped(held, own_grid(held), layered(folder), tta="d4")
    np.testing.assert_allclose(found, expected(folder, held), atol=2e-3)
    assert spread is not None
    assert spread.max() < 1e-5


def test_numbers_of_another_scale_are_converted_and_layers_are_not(tmp_path: Path) -> None:
    folder, held = write_layer(tmp_path, TILES, TILE), scene()
    wanted = expected(folder, held)
    held.values = (held.values // 2).astype(np.uint16)
    held.factors = (np.array([2.0]), np.array([0.0]))
    found, _ = mapped(held, own_grid(held), layered(folder))
    np.testing.assert_allclose(found, wanted, atol=2e-3)


def test_beyond_the_layers_the_network_sees_their_mean_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, held = write_layer(tmp_path, TILES[4:], TILE, hole=True), scene()
    with caplog.at_level(logging.WARNING):
        found, _ = mapped(held, own_grid(held), layered(folder))
    np.testing.assert_allclose(found, expected(folder, held), atol=2e-3)
    assert [record.message for record in caplog.records if "layers" in record.message] == [
        f"{held.name}: the layers do not cover 4 of the 20 tiles that it touches: there the network sees their mean."
    ]


def test_a_model_without_layers_is_mapped_together_with_one_with_layers(tmp_path: Path) -> None:
    folder, held = write_layer(tmp_path, TILES, TILE), scene()
    alone, _ = mapped(held, own_grid(held), model())
    both, spread = mapped(held, own_grid(held), model(), layered(folder))
    np.testing.assert_allclose(both, (alone + expected(folder, held)) / 2, atol=2e-3)
    assert spread is not None


def test_an_isolated_pixel_is_mapped_as_a_uniform_tile(tmp_path: Path) -> None:
    held = scene()
    held.grid = GRID._replace(transform=GRID.transform * Affine.scale(1 / 4))  # finer than the network's grid
    held.valid[:] = 0
    held.valid[100, 101] = 1
    found, _ = mapped(held, own_grid(held), layered(write_layer(tmp_path, TILES, TILE)))
    assert np.isfinite(found).sum() == 1


def test_layers_elsewhere_and_scenes_without_a_time_are_refused(tmp_path: Path) -> None:
    held = scene()
    away = write_layer(tmp_path / "away", [Tile(ZOOM, 1, 1)], TILE)
    with pytest.raises(NoLayer, match=rf"None of the layers' tiles overlaps {held.name}"):
        mapped(held, own_grid(held), layered(away))
    with pytest.raises(NoTime, match="The scene held does not say"):
        mapped(scene("held"), own_grid(held), layered(write_layer(tmp_path / "dem", TILES, TILE)))


@pytest.mark.process
def test_a_device_in_a_process_of_its_own_takes_layers(tmp_path: Path) -> None:
    mapper, layout = layered(tmp_path).mapper, layout_with_margin(512)
    rng = np.random.default_rng(0)
    side = (layout.window_px, layout.window_px)
    raw = rng.integers(1, 9000, (1, *side)).astype(np.uint16)
    of_layers = rng.normal(size=(2, *side)).astype(np.float32)
    windows = [Window(0, 0, raw, np.ones(side, bool), of_layers), Window(0, 1, None, None)]
    here = Members([mapper], False, layout, torch.device("cpu")).map(windows)
    there = DeviceProcess(torch.device("cpu")).map([mapper], False, layout, None, windows)
    assert here[1][1] is there[1][1] is None
    np.testing.assert_allclose(there[0][1], here[0][1], atol=1e-6)
