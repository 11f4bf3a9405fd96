"""Which tiles a raster can fill, and the zoom that fits it."""

import math
from typing import NamedTuple

import numpy as np

from snowcover.data.tiles import HALF_WORLD_M, Tile, covering
from snowcover.prepare.positions import WEB_MERCATOR, Floats, Grid, apply, project
from snowcover.prepare.raster import edge_points

SLACK = 1.05  # a zoom whose pixels are 5 % coarser than the source's still fits it


class Fit(NamedTuple):
    """A raster's pixel on the ground, and the first zoom whose pixels are no coarser."""

    pixel_m: float
    zoom: int


def candidates(grid: Grid, zoom: int) -> list[Tile]:
    """The tiles that the raster's bounding box touches, row by row, so that neighbours in time share GDAL's cache."""
    xs, ys = _mercator(grid, *edge_points(grid, points=129))
    ys = np.clip(ys, -HALF_WORLD_M, HALF_WORLD_M)
    tiles: set[Tile] = set()
    for part in _sides(xs):
        tiles.update(covering((part.min(), ys.min(), part.max(), ys.max()), zoom))
    return sorted(tiles, key=lambda tile: (tile.y, tile.x))


def _sides(xs: Floats) -> list[Floats]:
    """The x of a raster; in two parts, up to the world's edge, where it crosses the 180th meridian."""
    if xs.max() - xs.min() <= HALF_WORLD_M:
        return [xs]
    return [np.append(xs[xs > 0], HALF_WORLD_M), np.append(xs[xs <= 0], -HALF_WORLD_M)]


def _mercator(grid: Grid, xs: Floats, ys: Floats) -> tuple[Floats, Floats]:
    there = project(grid.crs, WEB_MERCATOR, xs, ys)
    x, y = there[:, np.isfinite(there).all(axis=0)]
    return x, y


def fit(grid: Grid, tile_size_px: int) -> Fit:
    """By the pixel in the raster's middle; Web Mercator stretches the ground by 1 / cos(latitude)."""
    column, row = grid.width / 2, grid.height / 2
    columns, rows = np.array([column, column + 1, column]), np.array([row, row, row + 1])
    xs, ys = _mercator(grid, *apply(grid.transform, columns, rows))
    stretched_m = min(math.hypot(xs[i] - xs[0], ys[i] - ys[0]) for i in (1, 2))
    latitude = 2 * math.atan(math.exp(ys[0] / HALF_WORLD_M * math.pi)) - math.pi / 2
    zoom = math.log2(2 * HALF_WORLD_M / (stretched_m * SLACK * tile_size_px))
    return Fit(stretched_m * math.cos(latitude), min(max(0, math.ceil(zoom)), 24))
