"""Positions of a tile's pixels in a source raster's own grid."""

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError  # what transform raises has no public name
from rasterio.crs import CRS
from rasterio.warp import transform

from snowcover.data.tiles import Bounds

WEB_MERCATOR = CRS.from_epsg(3857)
WGS84 = CRS.from_epsg(4326)
TOLERANCE_PX = 0.125  # of a source pixel, GDAL's default

Array = NDArray[Any]
Floats = NDArray[np.floating[Any]]


class Grid(NamedTuple):
    """Where a raster lies: `transform` takes (column, row) to `crs`, pixel (0, 0) covers 0..1 in both."""

    crs: CRS
    transform: Affine
    width: int
    height: int


def source_positions(grid: Grid, box: Bounds, size_px: int) -> tuple[Floats, Floats]:
    """Columns and rows of the source, each [size_px, size_px], at the pixel centres of a box in EPSG:3857.

    Not finite where a point cannot be projected to the source's CRS.

    Along each row of pixels, exactly projected points (knots) are interpolated linearly; their number is doubled until
    the interpolation is off by no more than TOLERANCE_PX. This is GDAL's rule, so that tiles agree with gdalwarp's.
    """
    centres: Floats = np.arange(size_px) + 0.5
    down = centres / size_px
    knots = 2
    while 2 * knots - 1 < size_px:
        at: Floats = np.linspace(0.5, size_px - 0.5, 2 * knots - 1)
        exact = _project(grid, box, at / size_px, down)
        middles = (exact[:, :, :-2:2] + exact[:, :, 2::2]) / 2
        if np.abs(middles - exact[:, :, 1::2]).sum(axis=0).max() <= TOLERANCE_PX:  # False for nan
            places = np.matmul(exact[:, :, ::2], _hat_weights(at[::2], centres))
            return _exact_at_edges(grid, box, places)
        knots = 2 * knots - 1
    columns, rows = _project(grid, box, down, down)
    return columns, rows


def _exact_at_edges(grid: Grid, box: Bounds, places: Floats) -> tuple[Floats, Floats]:
    """Columns and rows, exact where the interpolation near_edge the raster's edge by less than its tolerance."""
    near_edge: Array = np.zeros(places.shape[1:], bool)
    for place, length in zip(places, (grid.width, grid.height), strict=True):
        low, high = place.min(), place.max()
        if low < 0 and high > -TOLERANCE_PX:
            near_edge |= (place > -TOLERANCE_PX) & (place < 0)
        if high >= length and low < length + TOLERANCE_PX:
            near_edge |= (place >= length) & (place < length + TOLERANCE_PX)
    if near_edge.any():
        height, width = near_edge.shape
        row, column = np.nonzero(near_edge)
        places[:, near_edge] = _project_points(grid, box, (column + 0.5) / width, (row + 0.5) / height)
    return places[0], places[1]


def _project(grid: Grid, box: Bounds, across: Floats, down: Floats) -> Floats:
    """Columns and rows, [2, len(down), len(across)], at the points of a lattice."""
    xs, ys = np.meshgrid(across, down)
    return _project_points(grid, box, xs.ravel(), ys.ravel()).reshape(2, len(down), len(across))


def _project_points(grid: Grid, box: Bounds, across: Floats, down: Floats) -> Floats:
    """Columns and rows, [2, n], of n points given as shares of the box, from its left and from its top."""
    left, bottom, right, top = box
    xs, ys = left + across * (right - left), top + down * (bottom - top)
    with np.errstate(invalid="ignore"):
        return apply(~grid.transform, *wrap_to_grid(grid, *project(WEB_MERCATOR, grid.crs, xs, ys)))


def wrap_to_grid(grid: Grid, xs: Floats, ys: Floats) -> Floats:
    """x and y, [2, n], in the grid's CRS, each x shifted by whole turns around the world to lie nearest to the raster.

    A raster may lie at 179 to 181 degrees, or at 0 to 360, where the map has -180 to 180.
    """
    turn = period(grid.crs)
    if turn is not None:
        middle = apply(grid.transform, np.array([grid.width / 2]), np.array([grid.height / 2]))[0]
        xs = xs - np.floor((xs - middle) / turn + 0.5) * turn
    return np.stack([xs, ys])


def period(crs: CRS) -> float | None:
    """By how much x grows once around the world; None where x does not depend on longitude alone.

    All geographic CRSs have a period, and those like Mercator in which meridians are straight and evenly spaced.
    """
    return _period(crs.to_wkt())


@functools.cache
def _period(wkt: str) -> float | None:
    crs = CRS.from_wkt(wkt)
    if crs.is_geographic:
        return 2 * math.pi / float(crs.units_factor[1])
    longitudes, latitudes = np.tile(np.arange(-150.0, 180, 60), 2), np.repeat([0.0, 60.0], 6)
    xs = project(WGS84, crs, longitudes, latitudes)[0]
    if not np.isfinite(xs).all():
        return None
    turn = 6 * abs(float(np.median(np.diff(xs[:6]))))
    errors = (xs - xs[0]) / turn - (longitudes - longitudes[0]) / 360 if turn else np.ones(1)
    if (np.abs(errors - np.rint(errors)) > 1e-5).any():  # a datum shift moves some points by a hundred metres
        return None
    longitudes = project(crs, WGS84, np.array([0.0, turn]), np.zeros(2))[0]
    error = (longitudes[1] - longitudes[0] + 180) % 360 - 180
    return turn * (1 - error / 360)


def project(source: CRS, target: CRS, xs: Floats, ys: Floats) -> Floats:
    """x and y, [2, n], in the target's CRS; inf for points without a projection, and for at most 63 around them."""
    try:
        return np.asarray(transform(source, target, xs, ys))
    except CPLE_BaseError:  # raised if any one point fails
        if xs.size <= 64:
            return np.full((2, xs.size), np.inf)
        half = xs.size // 2
        first, second = (project(source, target, xs[part], ys[part]) for part in (np.s_[:half], np.s_[half:]))
        return np.concatenate([first, second], axis=1)


def apply(affine: Affine, columns: Floats, rows: Floats) -> Floats:
    """x and y, [2, n], of n points; written out, since versions of Affine differ in how they take arrays."""
    x = affine.a * columns + affine.b * rows + affine.c
    y = affine.d * columns + affine.e * rows + affine.f
    return np.stack([x, y])


def _hat_weights(knots: Floats, at: Floats) -> Floats:
    """Weights [len(knots), len(at)] of linear interpolation between evenly spaced knots."""
    return np.maximum(1 - np.abs(at - knots[:, None]) / (knots[1] - knots[0]), 0)
