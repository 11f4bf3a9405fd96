"""Aligns a raster to another grid: area-weighted means of a finer raster, cell values of a coarser one.

Both are exact: positions are interpolated by a polynomial that is checked against the projection itself, and a pixel's
mean is the integral over the quadrilateral between its four corners.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from rasterio.windows import Window

from snowcover.evaluate.integrals import Integrals
from snowcover.prepare.reprojection import Array, Floats, Grid, apply, project, wrap_to_grid

MAX_SOURCE_PX = 2**23  # read at once: a window that needs more is made in parts, which bounds the memory
LEAST_OBSERVED = 0.5  # share of a pixel's area, else the pixel is unobserved
NODES = (8, 16, 32)  # of the polynomial, along each side
TOLERANCE_PX = 1e-7  # allowed error, in pixels of the source
SNAP_PX = 1e-6  # edges this close to an edge of the source's pixels are moved to it: coordinates are rounded
LATTICE = 65  # points along each side, for comparing grids
AS_FINE = 1.001  # grids whose pixel sides differ by less count as equally fine

Read = Callable[[Window], tuple[Array, Array]]
"""Reads a window of the source: values [L, h, w] float32, arbitrary where unobserved, and observed [h, w] bool."""


@dataclass(frozen=True)
class Alignment:
    """The positions of a target grid's pixels in a source grid."""

    source: Grid
    target: Grid

    @property
    def is_finer(self) -> bool:
        """Whether the source's pixels are as small as the target's or smaller."""
        return self.source_px >= AS_FINE**-2

    @property
    def source_px(self) -> float:
        """Number of source pixels in one target pixel in the target's middle; 1 if it has no position in the source."""
        column, row = self.target.width / 2, self.target.height / 2
        at = self._exact(np.array([column, column + 1, column]), np.array([row, row, row + 1]))
        (ax, ay), (bx, by) = at[:, 1] - at[:, 0], at[:, 2] - at[:, 0]
        area = abs(ax * by - ay * bx)
        return float(area) if math.isfinite(area) and area > 0 else 1.0

    def overlaps(self) -> bool:
        """Whether any point of a lattice over one grid lies within the other."""
        return self._touches() or Alignment(self.target, self.source)._touches()

    def reach(self) -> Window | None:
        """The window of the source that the target may touch; None if it touches none."""
        x, y = self.at(*(np.linspace(0, length, LATTICE) for length in (self.target.width, self.target.height)))
        starts, sizes = [], []
        for along, length in ((x, self.source.width), (y, self.source.height)):
            known = along[np.isfinite(along)]
            if not known.size:  # the target may surround a pole
                return Window(0, 0, self.source.width, self.source.height)
            start, end = max(0, int(known.min()) - 2), min(length, int(known.max()) + 3)
            starts.append(start)
            sizes.append(end - start)
        return Window(*starts, *sizes) if min(sizes) > 0 else None

    def _touches(self) -> bool:
        columns, rows = (np.linspace(0, length, LATTICE) for length in (self.target.width, self.target.height))
        x, y = self._lattice(columns, rows)
        with np.errstate(invalid="ignore"):
            return bool(((x > 0) & (y > 0) & (x < self.source.width) & (y < self.source.height)).any())

    def at(self, columns: Floats, rows: Floats) -> tuple[Floats, Floats]:
        """Columns and rows of the source, each [len(rows), len(columns)], at a lattice of the target; [1, len(columns)]
        and [len(rows), 1] if the axes are parallel. Not finite where a point has no position in the source.
        """
        if self._has_parallel_axes:
            (x, _), (_, y) = (self._exact(*line) for line in ((columns, 0 * columns), (0 * rows, rows)))
            return _snapped(x[None]), _snapped(y[:, None])
        return self._projected(columns, rows)

    @property
    def _has_parallel_axes(self) -> bool:
        turned = [(grid.transform.b, grid.transform.d) for grid in (self.source, self.target)]
        return self.source.crs == self.target.crs and turned == [(0, 0), (0, 0)]

    def _projected(self, columns: Floats, rows: Floats) -> tuple[Floats, Floats]:
        for nodes in NODES:
            if nodes >= max(len(columns), len(rows)):
                break
            across, down = (_chebyshev(places[0], places[-1], nodes) for places in (columns, rows))
            exact = self._lattice(across, down)
            middles = (across[1:] + across[:-1]) / 2, (down[1:] + down[:-1]) / 2
            error = np.abs(_interpolated(exact, across, down, *middles) - self._lattice(*middles)).max()
            if error <= TOLERANCE_PX:  # False for nan
                x, y = _interpolated(exact, across, down, columns, rows)
                return _snapped(x), _snapped(y)
        x, y = self._lattice(columns, rows)
        return _snapped(x), _snapped(y)

    def _lattice(self, columns: Floats, rows: Floats) -> Floats:
        xs, ys = np.meshgrid(columns, rows)
        return self._exact(xs.ravel(), ys.ravel()).reshape(2, len(rows), len(columns))

    def _exact(self, columns: Floats, rows: Floats) -> Floats:
        places = apply(self.target.transform, columns, rows)
        with np.errstate(invalid="ignore"):
            if self.source.crs != self.target.crs:
                places = project(self.target.crs, self.source.crs, *places)
            return apply(~self.source.transform, *wrap_to_grid(self.source, *places))


def _chebyshev(first: float, last: float, count: int) -> Floats:
    """Chebyshev nodes between two positions, both ends included."""
    turned = np.cos(np.pi * np.arange(count) / (count - 1))
    places: Floats = (first + last) / 2 - (last - first) / 2 * turned
    return places


def _interpolated(exact: Floats, across: Floats, down: Floats, columns: Floats, rows: Floats) -> Floats:
    interpolated: Floats = _weights(down, rows).T @ exact @ _weights(across, columns)
    return interpolated


def _weights(nodes: Floats, at: Floats) -> Floats:
    """Weights [len(nodes), len(at)] of Lagrange interpolation, barycentric formula (Berrut & Trefethen 2004)."""
    signs = (-1.0) ** np.arange(len(nodes))
    signs[[0, -1]] /= 2
    apart = at - nodes[:, None]
    hit = apart == 0
    raw = signs[:, None] / np.where(hit, 1, apart)
    raw = np.where(hit.any(axis=0), hit, raw)
    weights: Floats = raw / raw.sum(axis=0)
    return weights


def _snapped(places: Floats) -> Floats:
    whole = np.rint(places)
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(places - whole) < SNAP_PX, whole, places)


def aligned(read: Read, alignment: Alignment, window: Window, layers: int) -> Array:
    """The source's values [L, H, W] float32 in a window of the target, which may reach beyond it; NaN where unobserved.

    From a finer source: the mean over the observed part of each pixel, if that is at least half of the pixel. From a
    coarser source: the value of the cell that contains the pixel's centre.
    """
    columns, rows = (start + np.arange(size + 1.0) for start, size in _sides(window))
    if not alignment.is_finer:
        return _cells(read, alignment, columns[:-1] + 0.5, rows[:-1] + 0.5, layers)
    x, y = alignment.at(columns, rows)
    box = source_window(alignment.source, x, y)
    if box is None:
        return nothing(layers, len(rows) - 1, len(columns) - 1)
    if box.width * box.height > MAX_SOURCE_PX and max(window.width, window.height) > 1:
        axis = 2 if window.width >= window.height else 1
        parts = [aligned(read, alignment, half, layers) for half in _halves(window, across=axis == 2)]
        return np.concatenate(parts, axis)
    values, observed = read(box)
    return _means(values, observed, Integrals(x - box.col_off, y - box.row_off))


def _sides(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    return (window.col_off, window.width), (window.row_off, window.height)


def _halves(window: Window, across: bool) -> tuple[Window, Window]:
    col, row, width, height = window.col_off, window.row_off, window.width, window.height
    if across:
        return Window(col, row, width // 2, height), Window(col + width // 2, row, width - width // 2, height)
    return Window(col, row, width, height // 2), Window(col, row + height // 2, width, height - height // 2)


def nothing(layers: int, height: int, width: int) -> Array:
    """[layers, height, width] float32 of NaN: nothing observed."""
    return np.full((layers, height, width), np.nan, np.float32)


def source_window(source: Grid, x: Floats, y: Floats) -> Window | None:
    """The window of source pixels that contains the positions; None if there are none."""
    starts, sizes = [], []
    for along, length in ((x, source.width), (y, source.height)):
        finite = along if math.isfinite(along.sum()) else along[np.isfinite(along)]
        if not finite.size:
            return None
        start = max(0, math.floor(finite.min()))
        starts.append(start)
        sizes.append(min(length, math.ceil(finite.max())) - start)
    return Window(*starts, *sizes) if min(sizes) > 0 else None


def _cells(read: Read, alignment: Alignment, columns: Floats, rows: Floats, layers: int) -> Array:
    """Values of the cells that contain the points."""
    across, down = (np.floor(places) for places in alignment.at(columns, rows))
    source, found = alignment.source, nothing(layers, len(rows), len(columns))
    with np.errstate(invalid="ignore"):
        inside = (across >= 0) & (across < source.width) & ((down >= 0) & (down < source.height))
    if not inside.any():
        return found
    x, y = (np.where(inside, places, -1).astype(np.intp) for places in (across, down))
    left, top = x[inside].min(), y[inside].min()
    box = Window(left, top, x.max() - left + 1, y.max() - top + 1)
    values, observed = read(box)
    cells = np.where(observed, values, np.float32(np.nan))
    return np.where(inside, cells[:, y - top, x - left], np.float32(np.nan))


def _means(values: Array, observed: Array, integrals: Integrals) -> Array:
    """Means over cells, which are relative to the window's first pixel."""
    if (same := integrals.same_pixels(observed.shape)) is not None:
        into, out_of = same
        known = np.where(observed[out_of], values[(slice(None), *out_of)], np.float32(np.nan))
        if known.shape[1:] == integrals.shape:
            return known
        found = nothing(len(values), *integrals.shape)
        found[(slice(None), *into)] = known
        return found
    areas = integrals.areas()
    if observed.all() and integrals.lie_within(observed.shape):
        return np.stack([integral / areas for integral in integrals.of(list(values))]).astype(np.float32)
    *sums, seen = integrals.of([*(np.where(observed, layer, 0) for layer in values), observed])
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.stack([total / seen for total in sums])
        means[:, ~(seen >= LEAST_OBSERVED * areas * (1 - SNAP_PX))] = np.nan
    return means.astype(np.float32)
