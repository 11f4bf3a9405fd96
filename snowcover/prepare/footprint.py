"""The observed ground as GeoJSON, cut at the 180th meridian."""

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from affine import Affine
from rasterio.features import shapes
from rasterio.warp import transform_geom

from snowcover.prepare import raster
from snowcover.prepare.reprojection import WGS84, Array, Grid, period, project

CUT_MARGIN = 1e-10  # of a turn, 4 mm: just on this side of the 180th meridian, which is both 180 and -180


def geojson(name: str, ground: Array, cell_px: int, grid: Grid) -> str:
    """GeoJSON (EPSG:4326) of the observed ground: it contains all of it, and at most one more cell on each side.

    Args:
        ground: where ground was observed, [h, w] uint8, in cells of `cell_px` pixels of the grid.
    """
    lattice = grid.transform * Affine.scale(cell_px)
    with raster.settings():
        polygons = [part for shape in _on_earth(ground, lattice, grid) for part in _polygons(shape)]
    geometry = {"type": "MultiPolygon", "coordinates": polygons}
    feature = {"type": "Feature", "properties": {"name": name}, "geometry": geometry}
    return json.dumps({"type": "FeatureCollection", "features": [feature]}) + "\n"


def _on_earth(ground: Array, lattice: Affine, grid: Grid) -> list[dict[str, Any]]:
    """The observed cells' shapes in EPSG:4326, cut at the 180th meridian, as RFC 7946 requires.

    GDAL cuts shapes there, but not if x continues beyond it: that is done here, for each turn around the world.
    """
    turn = period(grid.crs)
    if turn is None:
        return _transformed(_shapes(ground, lattice), grid)
    break_x = float(project(WGS84, grid.crs, np.array([180.0]), np.zeros(1))[0, 0])
    lefts, rights = _sides_of_cells(ground.shape, lattice)
    found = []
    for number in range(math.floor((lefts.min() - break_x) / turn), math.ceil((rights.max() - break_x) / turn)):
        start = break_x + number * turn
        here = (lefts < start + turn) & (rights > start)
        low, high = start + CUT_MARGIN * turn, start + turn - CUT_MARGIN * turn
        parts = _shapes(np.where(here, ground, 0).astype(np.uint8), lattice)
        found += [_clipped(part, low, high, -(number + 1) * turn) for part in parts]
    return _transformed(found, grid)


def _sides_of_cells(shape: tuple[int, ...], lattice: Affine) -> tuple[Array, Array]:
    """Least and greatest x of each cell, [h, w]."""
    rows, columns = np.mgrid[: shape[0] + 1, : shape[1] + 1]
    x = lattice.a * columns + lattice.b * rows + lattice.c
    corners = np.stack([x[:-1, :-1], x[:-1, 1:], x[1:, :-1], x[1:, 1:]])
    return corners.min(axis=0), corners.max(axis=0)


def _shapes(ground: Array, lattice: Affine) -> list[dict[str, Any]]:
    return [shape for shape, _ in shapes(ground, mask=ground == 1, transform=lattice)]


def _clipped(shape: dict[str, Any], low: float, high: float, moved: float) -> dict[str, Any]:
    """A shape clipped to one turn around the world and moved to -180 to 180 degrees."""

    def clip(ring: Any) -> list[tuple[float, float]]:
        return [(min(max(x, low), high) + moved, y) for x, y in ring]

    return {**shape, "coordinates": [clip(ring) for ring in shape["coordinates"]]}


def _transformed(found: list[dict[str, Any]], grid: Grid) -> list[dict[str, Any]]:
    return list(transform_geom(grid.crs, WGS84, found, precision=7)) if found else []


def _polygons(shape: dict[str, Any]) -> Iterator[Any]:
    """The polygons of a shape, which reprojection may have cut in two at the 180th meridian."""
    yield from shape["coordinates"] if shape["type"] == "MultiPolygon" else [shape["coordinates"]]
