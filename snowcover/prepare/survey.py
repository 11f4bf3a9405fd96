"""One pass over a collect: its mask as a cloud-optimised GeoTIFF, its footprint, and what was counted on the way."""

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.features import shapes
from rasterio.io import DatasetReader
from rasterio.warp import transform_geom
from rasterio.windows import Window

from snowcover.prepare import raster
from snowcover.prepare.collect import SNOW, UNOBSERVED, Rule, read_mask
from snowcover.prepare.fill import STRIP_ROWS, strips
from snowcover.prepare.pixels import Pixels
from snowcover.prepare.positions import Array, Grid, period

FOOTPRINT_CELLS = 256  # along the longer side: services that sell imagery take some hundred corners, not millions


@dataclass
class Survey:
    """What a collect holds, in pixels of its own grid."""

    snow_px: int = 0
    bare_px: int = 0
    unobserved_px: int = 0
    absurd_px: int = 0

    def add(self, mask: Array, absurd_px: int) -> None:
        snow_px, unobserved_px = (int(np.count_nonzero(mask == value)) for value in (SNOW, UNOBSERVED))
        self.snow_px += snow_px
        self.unobserved_px += unobserved_px
        self.bare_px += mask.size - snow_px - unobserved_px
        self.absurd_px += absurd_px


def threshold(file: DatasetReader, grid: Grid, pixels: Pixels, rule: Rule, path: str) -> tuple[Survey, Array]:
    """Write the mask of a whole collect to `path`, strip by strip.

    Returns the counts, and where in a coarse grid ground was observed, [h, w] uint8 (see `cell_px`).
    """
    counts, cell = Survey(), cell_px(grid)
    ground = np.zeros((math.ceil(grid.height / cell), math.ceil(grid.width / cell)), np.uint8)
    with rasterio.open(path, "w", **_plain_profile(grid)) as target:
        for window in strips(grid.width, grid.height):
            mask, absurd_px = read_mask(file, pixels, rule, window)
            counts.add(mask, absurd_px)
            target.write(mask, 1, window=window)
            _mark(ground, mask, window, cell)
    return counts, ground


def _plain_profile(grid: Grid) -> dict[str, object]:
    return {
        "driver": "GTiff", "count": 1, "dtype": "uint8", "nodata": UNOBSERVED, "width": grid.width,
        "height": grid.height, "crs": grid.crs, "transform": grid.transform, "tiled": True, "blockxsize": 512,
        "blockysize": 512, "compress": "deflate", "zlevel": 1, "bigtiff": "if_safer",
    }  # fmt: skip


def cell_px(grid: Grid) -> int:
    """Side of a footprint cell in pixels: a power of two, so that cells fit the strips."""
    side: int = 2 ** math.ceil(math.log2(max(grid.width, grid.height, FOOTPRINT_CELLS) / FOOTPRINT_CELLS))
    return min(side, STRIP_ROWS)


def _mark(ground: Array, mask: Array, window: Window, cell: int) -> None:
    observed = np.pad(mask != UNOBSERVED, ((0, -mask.shape[0] % cell), (0, -mask.shape[1] % cell)))
    cells = observed.reshape(observed.shape[0] // cell, cell, -1).any(axis=1)
    cells = cells.reshape(cells.shape[0], -1, cell).any(axis=2)
    row, column = window.row_off // cell, window.col_off // cell
    ground[row : row + cells.shape[0], column : column + cells.shape[1]] = cells


def cloud_optimised(path: str, target: str) -> None:
    """Copy a mask into a cloud-optimised GeoTIFF, with overviews that keep the most frequent value."""
    rasterio.shutil.copy(
        path, target, driver="COG", COMPRESS="DEFLATE", BLOCKSIZE=512, OVERVIEW_RESAMPLING="MODE",
        NUM_THREADS="ALL_CPUS", BIGTIFF="IF_SAFER", STATISTICS="NO",
    )  # fmt: skip


def footprint(name: str, ground: Array, grid: Grid) -> str:
    """GeoJSON (EPSG:4326) of the observed ground: it holds all of it, and at most a cell more on each side."""
    with raster.settings():
        polygons = [part for shape in _on_earth(ground, grid) for part in _polygons(shape)]
    geometry = {"type": "MultiPolygon", "coordinates": polygons}
    feature = {"type": "Feature", "properties": {"name": name}, "geometry": geometry}
    return json.dumps({"type": "FeatureCollection", "features": [feature]}) + "\n"


def _on_earth(ground: Array, grid: Grid) -> list[dict[str, object]]:
    """The observed cells' shapes in EPSG:4326, none of them across the 180th meridian, as RFC 7946 wants it.

    GDAL cuts them there, but not what is in degrees already.
    """
    lattice = grid.transform * Affine.scale(cell_px(grid))
    turn = period(grid.crs) if grid.crs.is_geographic else None
    if turn is None:
        return _transformed(ground, grid, lattice)
    found = []
    lefts, rights = _sides_of_cells(ground.shape, lattice)
    for turns in (-1, 0, 1):
        moved = Affine.translation(turns * turn, 0) * lattice
        here = (lefts + turns * turn < turn / 2) & (rights + turns * turn > -turn / 2)
        shapes_here = _transformed(np.where(here, ground, 0).astype(np.uint8), grid, moved)
        found += [_clipped(shape) for shape in shapes_here]
    return found


def _sides_of_cells(shape: tuple[int, ...], lattice: Affine) -> tuple[Array, Array]:
    """Least and greatest x of each cell, [h, w]."""
    rows, columns = np.mgrid[: shape[0] + 1, : shape[1] + 1]
    x = lattice.a * columns + lattice.b * rows + lattice.c
    corners = np.stack([x[:-1, :-1], x[:-1, 1:], x[1:, :-1], x[1:, 1:]])
    return corners.min(axis=0), corners.max(axis=0)


def _transformed(ground: Array, grid: Grid, lattice: Affine) -> list[dict[str, object]]:
    found = [shape for shape, _ in shapes(ground, mask=ground == 1, transform=lattice)]
    return list(transform_geom(grid.crs, "EPSG:4326", found, precision=7)) if found else []


def _clipped(shape: dict[str, object]) -> dict[str, object]:
    """A shape whose cells end at the 180th meridian, those that it goes through too."""

    def clip(node: Any) -> Any:
        if isinstance(node[0], (int, float)):
            return [min(max(node[0], -180.0), 180.0), *node[1:]]
        return [clip(part) for part in node]

    return {**shape, "coordinates": clip(shape["coordinates"])}


def _polygons(shape: dict[str, object]) -> list[object]:
    """The polygons of a shape: reprojection may cut one in two at the 180th meridian."""
    coordinates = shape["coordinates"]
    return list(coordinates) if shape["type"] == "MultiPolygon" else [coordinates]  # type: ignore[call-overload]
