"""The tiles that a raster touches, and the zoom that fits its pixels."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from snowcover.data.tiles import HALF_WORLD_M, Bounds, Tile, covering
from snowcover.prepare.extent import boxes, mercator
from snowcover.prepare.reprojection import Floats, Grid, apply

SLACK = 1.05  # a zoom whose pixels are 5 % coarser than the source's still fits it
TILED_LATITUDE = 85 / 180 * math.pi  # in radians: beyond it there are no tiles


class Fit(NamedTuple):
    """The ground size of a raster's pixel, and the lowest zoom whose pixels are no coarser."""

    pixel_m: float
    zoom: int


def candidates(grid: Grid, zoom: int) -> list[Tile]:
    """The tiles that the raster's bounding box touches, row by row, so that consecutive tiles share GDAL's cache."""
    return sort({tile for box in boxes(grid) for tile in covering(box, zoom)})


def count(parts: Iterable[Bounds], zoom: int) -> float:
    """Estimate of the number of tiles that boxes in EPSG:3857 touch, without listing them."""
    tile_m = 2 * HALF_WORLD_M / 2**zoom
    return sum(((right - left) / tile_m + 1) * ((top - bottom) / tile_m + 1) for left, bottom, right, top in parts)


def sort(tiles: Iterable[Tile]) -> list[Tile]:
    """Row by row, each from west to east; near the 180th meridian the western tiles have the greater x."""
    listed = list(tiles)
    start = first_column(listed)
    return sorted(listed, key=lambda tile: (tile.y, (tile.x - start) % (1 << tile.z)))


def first_column(tiles: Sequence[Tile]) -> int:
    """The x of the westernmost tile: the one after the widest gap around the world."""
    columns = np.unique([tile.x for tile in tiles])
    if not columns.size:
        return 0
    gaps = np.diff(np.append(columns, columns[0] + (1 << tiles[0].z)))
    return int(columns[(int(gaps.argmax()) + 1) % columns.size]) if gaps.max() > 1 else int(columns[0])


def fitting_zoom(grid: Grid, tile_size_px: int) -> Fit:
    """The zoom for a pixel in the raster's middle; Web Mercator stretches the ground by 1 / cos(latitude)."""
    column, row = _middle(grid)
    columns, rows = np.array([column, column + 1, column]), np.array([row, row, row + 1])
    xs, ys = mercator(grid, *apply(grid.transform, columns, rows))
    world = 2 * HALF_WORLD_M
    across = (xs - xs[0] + HALF_WORLD_M) % world - HALF_WORLD_M  # never around the world
    stretched_m = min(math.hypot(across[i], ys[i] - ys[0]) for i in (1, 2))
    zoom = math.log2(world / (stretched_m * SLACK * tile_size_px))
    return Fit(stretched_m * math.cos(_latitude(ys)[0]), min(max(0, math.ceil(zoom)), 24))


def _middle(grid: Grid) -> tuple[float, float]:
    """Column and row of the raster's middle or, if that lies beyond the map (near a pole), of its lowest latitude."""
    shares = np.linspace(0, 1, 33)
    across, down = (lattice.ravel() for lattice in np.meshgrid(shares, shares))
    columns, rows = across * grid.width, down * grid.height
    _, ys = mercator(grid, *apply(grid.transform, columns, rows))
    latitudes = np.nan_to_num(np.abs(_latitude(ys)), nan=np.inf)
    middle = latitudes.size // 2
    best = middle if latitudes[middle] <= TILED_LATITUDE else int(latitudes.argmin())
    return float(columns[best]), float(rows[best])


def _latitude(ys: Floats) -> Floats:
    """Latitude in radians of y in EPSG:3857."""
    return np.arctan(np.sinh(ys / HALF_WORLD_M * math.pi))
