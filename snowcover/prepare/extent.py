"""The part of the map that a raster touches: boxes in EPSG:3857, also across the 180th meridian and at the poles."""

import numpy as np

from snowcover.data.tiles import HALF_WORLD_M, Bounds
from snowcover.prepare.reprojection import WEB_MERCATOR, WGS84, Array, Floats, Grid, apply, period, project

POINTS = 129  # along each edge: between two of them a curve deviates by less than a tile
MOST_NORTHERN = 89.9  # degrees; Web Mercator ends at 85.06 and its formula at 90


def boxes(grid: Grid) -> list[Bounds]:
    """Bounds (left, bottom, right, top) of the raster on the map: one box, two boxes across the 180th meridian (the one
    west of it first), none beyond the reach of Web Mercator.
    """
    xs, ys = mercator(grid, *ring(grid, POINTS))
    if np.isfinite(xs).all():
        left, right = _range_around(grid, xs)
    else:  # the raster is larger than its projection: its edge is not enough
        xs, ys = mercator(grid, *_lattice(grid))
        xs, ys = xs[np.isfinite(xs)], ys[np.isfinite(xs)]
        if not xs.size:
            return []
        left, right = _without_largest_gap(xs)
        ys = ys + np.ptp(ys) / POINTS * np.where(ys > ys.mean(), 1, -1)
    bottom, top = _up_to_the_poles(grid, ys.min(), ys.max())
    bottom, top = max(bottom, -HALF_WORLD_M), min(top, HALF_WORLD_M)
    if not (bottom < top and left < right):
        return []
    return [(west, bottom, east, top) for west, east in _split_at_edge(left, right)]


def mercator(grid: Grid, xs: Floats, ys: Floats) -> tuple[Floats, Floats]:
    """x and y in EPSG:3857 of points in the grid's CRS, also beyond the map's edges; nan without a projection."""
    if grid.crs == WEB_MERCATOR:  # unchanged, so that tile edges stay exact
        return xs, ys
    longitudes, latitudes = project(grid.crs, WGS84, xs, ys)
    lost = ~(np.isfinite(longitudes) & np.isfinite(latitudes))
    latitudes = np.radians(np.clip(np.where(lost, 0, latitudes), -MOST_NORTHERN, MOST_NORTHERN))
    y = np.arcsinh(np.tan(latitudes)) / np.pi * HALF_WORLD_M
    return np.where(lost, np.nan, longitudes / 180 * HALF_WORLD_M), np.where(lost, np.nan, y)


def ring(grid: Grid, points: int) -> tuple[Array, Array]:
    """x and y in the grid's CRS of evenly spaced points along the raster's four edges, once around and closed."""
    along, zero, one = np.linspace(0, 1, points), np.zeros(points), np.ones(points)
    columns = np.concatenate([along, one, along[::-1], zero]) * grid.width
    rows = np.concatenate([zero, along, one, along[::-1]]) * grid.height
    xs, ys = apply(grid.transform, columns, rows)
    return xs, ys


def _lattice(grid: Grid) -> tuple[Array, Array]:
    columns, rows = np.meshgrid(np.linspace(0, grid.width, POINTS), np.linspace(0, grid.height, POINTS))
    xs, ys = apply(grid.transform, columns.ravel(), rows.ravel())
    return xs, ys


def _range_around(grid: Grid, xs: Floats) -> tuple[float, float]:
    """Least and greatest x of a closed line, unwrapped at the 180th meridian; the whole world if it goes around."""
    followed: Array = np.unwrap(xs, period=2 * HALF_WORLD_M)
    goes_around = abs(followed[-1] - followed[0]) > HALF_WORLD_M
    if goes_around or any(holds_pole(grid, latitude) for latitude in (-90, 90)):
        return -HALF_WORLD_M, HALF_WORLD_M
    return followed.min(), followed.max()


def holds_pole(grid: Grid, latitude: float) -> bool:
    """Whether a pole lies in the raster or within a pixel of it; never in a CRS where the pole is a line."""
    if period(grid.crs) is not None:
        return False
    place = project(WGS84, grid.crs, np.zeros(1), np.full(1, float(latitude)))
    if not np.isfinite(place).all():
        return False
    column, row = apply(~grid.transform, *place)[:, 0]
    return bool(-1 <= column <= grid.width + 1 and -1 <= row <= grid.height + 1)


def _up_to_the_poles(grid: Grid, bottom: float, top: float) -> tuple[float, float]:
    return (
        -HALF_WORLD_M if holds_pole(grid, -90) else bottom,
        HALF_WORLD_M if holds_pole(grid, 90) else top,
    )


def _without_largest_gap(xs: Floats) -> tuple[float, float]:
    """The shortest range around the world that contains all x, with a small margin on both sides."""
    world = 2 * HALF_WORLD_M
    around = np.unique(xs % world)
    gaps = np.diff(np.append(around, around[0] + world))
    widest = int(gaps.argmax())
    length = world - gaps[widest]
    start = around[(widest + 1) % around.size]
    slack = length / 16
    return start - slack, start + length + slack


def _split_at_edge(left: float, right: float) -> list[tuple[float, float]]:
    """A range of x on the map, cut in two where it crosses the map's edge."""
    world = 2 * HALF_WORLD_M
    if right - left >= world:
        return [(-HALF_WORLD_M, HALF_WORLD_M)]
    turns = np.floor((left + HALF_WORLD_M) / world) * world
    left, right = left - turns, right - turns
    if right <= HALF_WORLD_M:
        return [(left, right)]
    return [(left, HALF_WORLD_M), (-HALF_WORLD_M, right - world)]
