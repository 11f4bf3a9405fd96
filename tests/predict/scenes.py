"""Scenes in memory and tiny networks whose output is known in advance."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window
from torch import nn

from snowcover.data.tiles import HALF_WORLD_M
from snowcover.models.mapper import SnowMapper
from snowcover.predict.mapping import OutputGrid, map_scene
from snowcover.prepare.reprojection import Grid
from snowcover.trained_model import TrainedModel

ZOOM, TILE = 15, 64
PIXEL_M = 2 * HALF_WORLD_M / (TILE << ZOOM)
UTM_11N = Grid(CRS.from_epsg(32611), Affine(15, 0, 280000, 0, -15, 4190000), 300, 220)


class HeldScene:
    """A scene [H, W, C] in memory, observed where `valid` [H, W] is."""

    def __init__(self, grid: Grid, values: np.ndarray[Any, Any], valid: np.ndarray[Any, Any] | None = None) -> None:
        self.grid, self.values, self.name = grid, values, "held"
        self.valid = np.ones(values.shape[:2], np.uint8) if valid is None else valid.astype(np.uint8)
        self.factors: tuple[Any, Any] | None = None

    @contextmanager
    def open(self, bands: Sequence[str]) -> Iterator["Opened"]:
        yield Opened(self, len(bands))

    def conversion(self, model: TrainedModel) -> tuple[Any, Any] | None:
        return self.factors


class Opened:
    def __init__(self, scene: HeldScene, bands: int) -> None:
        self.grid, self.bands, self.dtype = scene.grid, bands, str(scene.values.dtype)
        self.nodata, self.continuous, self._scene = 0.0, True, scene

    def read(self, window: Window) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        rows, columns = window.toslices()
        valid = self._scene.valid[rows, columns]
        values = self._scene.values[rows, columns, : self.bands] * valid[..., None].astype(self._scene.values.dtype)
        return np.ascontiguousarray(values), np.ascontiguousarray(valid)


def model(network: nn.Module | None = None, bands: int = 1, zoom: int = ZOOM, tile_size: int = TILE) -> TrainedModel:
    """By default of a network that tells snow by the first band: probability = sigmoid(reflectance x 8 - 4)."""
    names = ("blue", "green", "red", "nir")[:bands]
    mapper = SnowMapper(network or brightness(bands), 1e-4, 0, [0.0] * bands, [1.0] * bands).eval()
    return TrainedModel(
        mapper, names, 1e-4, 0, (0.0,) * bands, (1.0,) * bands, zoom, tile_size, 0.5, 0, None, None, "", "", None, None
    )  # fmt: skip


def brightness(bands: int = 1) -> nn.Module:
    network = nn.Conv2d(bands, 1, 1)
    with torch.no_grad():
        network.weight.zero_()
        network.weight[0, 0] = 8
        network.bias.fill_(-4)
    return network


def blurring(seed: int = 0, bands: int = 1) -> nn.Module:
    """Three convolutions with batch norm, whose answer depends on 6 pixels around."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for given, made in ((bands, 4), (4, 4)):
        norm = nn.BatchNorm2d(made)
        nn.init.uniform_(norm.running_mean, -0.5, 0.5)
        nn.init.uniform_(norm.running_var, 0.5, 2)
        layers += [nn.Conv2d(given, made, 5, padding=2), norm, nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(4, 1, 5, padding=2)).eval()


def own_grid(scene: HeldScene) -> OutputGrid:
    return OutputGrid(*scene.grid)


def training_grid(scene: HeldScene, zoom: int = ZOOM, tile_size: int = TILE) -> OutputGrid:
    """The tile grid around a scene in EPSG:3857 or elsewhere."""
    from snowcover.prepare.extent import boxes

    (box,) = boxes(scene.grid)
    pixel = 2 * HALF_WORLD_M / (tile_size << zoom)
    left, top = np.floor((box[0] + HALF_WORLD_M) / pixel), np.floor((HALF_WORLD_M - box[3]) / pixel)
    right, bottom = np.ceil((box[2] + HALF_WORLD_M) / pixel), np.ceil((HALF_WORLD_M - box[1]) / pixel)
    place = Affine(pixel, 0, left * pixel - HALF_WORLD_M, 0, -pixel, HALF_WORLD_M - top * pixel)
    return OutputGrid(CRS.from_epsg(3857), place, int(right - left), int(bottom - top))


def mapped(scene: HeldScene, output: OutputGrid, *models: TrainedModel, **options: Any) -> tuple[Any, Any]:
    """Probability and spread of the whole map, whose bands of rows lie one below the other."""
    rows = list(map_scene(scene, output, models, device="cpu", **options))
    assert [part.row for part in rows] == list(np.cumsum([0, *(len(part.probability) for part in rows)]))[:-1]
    probability = np.concatenate([part.probability for part in rows])
    assert probability.shape == (output.height, output.width)
    assert probability.dtype == np.float32
    spreads = [part.spread for part in rows]
    return probability, None if spreads[0] is None else np.concatenate(spreads)


def landscape(grid: Grid, bands: int = 1, seed: int = 0) -> np.ndarray[Any, Any]:
    """[H, W, C] uint16, smooth: waves of a hundred pixels."""
    rows, columns = np.mgrid[: grid.height, : grid.width]
    waves = 5000 + 3000 * np.sin(columns / 17 + seed) * np.cos(rows / 23)
    return np.stack([waves * (1 + band / 10) for band in range(bands)], axis=-1).astype(np.uint16)
