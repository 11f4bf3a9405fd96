"""Exact integrals of a raster over the quadrilaterals of a lattice, for area-weighted means. Pure.

If the lattice is parallel to the raster's axes, sums along rows and columns suffice. Otherwise by Green's theorem: the
integral over a quadrilateral is that of F dy around it, where F is the raster summed along its rows. Each edge is cut
at pixel borders; F is linear on each piece, so that its value in the piece's middle is its mean. Neighbours share their
edges, so nothing is counted twice or lost (Jones 1999, first-order conservative remapping).
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from snowcover.prepare.reprojection import Array, Floats

STRAIGHT_PX = 1e-7  # tolerance for lines parallel to the raster's axes
PIECES_PX = 2**16  # pieces of edges per batch: intermediate arrays stay in the CPU cache


class Integrals:
    """Integrals over the cells of a lattice of corners [2, H + 1, W + 1], relative to a raster's first pixel."""

    def __init__(self, columns: Floats, rows: Floats) -> None:
        """Args: columns, rows: of the corners, [H + 1, W + 1]; if parallel to its axes, [1, W + 1] and [H + 1, 1]."""
        self._corners = columns, rows
        self.shape = max(columns.shape[0], rows.shape[0]) - 1, max(columns.shape[1], rows.shape[1]) - 1
        self._lines: tuple[Floats, Floats] | None = None
        if _bends(columns, 0) <= STRAIGHT_PX and _bends(rows, 1) <= STRAIGHT_PX:
            self._lines = columns[0], rows[:, 0]

    def same_pixels(self, size: tuple[int, ...]) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
        """If cells are pixels, the matching rows and columns of lattice and raster [h, w]; else None."""
        if self._lines is None:
            return None
        found = []
        for line, length in zip(reversed(self._lines), size, strict=True):
            first = line[0]
            if first != math.floor(first) or (np.diff(line) != 1).any():
                return None
            start, stop = max(0, int(first)), min(length, int(line[-1]))
            found.append((slice(start - int(first), max(start, stop) - int(first)), slice(start, max(start, stop))))
        return (found[0][0], found[1][0]), (found[0][1], found[1][1])

    def lie_within(self, size: tuple[int, ...]) -> bool:
        """Whether all cells lie wholly within a raster [h, w]."""
        return all(
            bool(places.min() >= 0 and places.max() <= length)  # False for nan
            for places, length in zip(self._corners, reversed(size), strict=True)
        )

    def of(self, layers: Sequence[Array]) -> list[Floats]:
        """[H, W] float64 of each layer [h, w], which is 0 beyond its edges; NaN for cells that are not finite."""
        if self._lines is None:
            return self._around(layers)
        columns, rows = self._lines
        along = (np.diff(_summed(layer, columns, 1), axis=1) for layer in layers)
        return [np.abs(np.diff(_summed(sums, rows, 0), axis=0)) for sums in along]

    def areas(self) -> Floats:
        """Areas [H, W] of the cells, in pixels."""
        if self._lines is not None:
            columns, rows = self._lines
            return np.abs(np.diff(rows)[:, None] * np.diff(columns))
        (x, y) = self._corners
        top_left, bottom_right = np.s_[:-1, :-1], np.s_[1:, 1:]  # half the cross product of the diagonals
        top_right, bottom_left = np.s_[:-1, 1:], np.s_[1:, :-1]
        falling = x[bottom_right] - x[top_left], y[bottom_right] - y[top_left]
        rising = x[bottom_left] - x[top_right], y[bottom_left] - y[top_right]
        return np.abs(falling[0] * rising[1] - rising[0] * falling[1]) / 2

    def _around(self, layers: Sequence[Array]) -> list[Floats]:
        sums = [_padded_row_sums(layer) for layer in layers]
        x, y = self._corners
        across = _along(sums, (x[:, :-1], y[:, :-1]), (x[:, 1:], y[:, 1:]))  # [H + 1, W] each
        down = _along(sums, (x[:-1], y[:-1]), (x[1:], y[1:]))  # [H, W + 1] each
        return [
            np.abs(flat[:-1] + upright[:, 1:] - flat[1:] - upright[:, :-1])
            for flat, upright in zip(across, down, strict=True)
        ]


def _bends(places: Floats, axis: int) -> float:
    return float(np.ptp(places, axis=axis).max())  # nan if a corner is not finite


def _padded_row_sums(values: Array) -> Floats:
    """Sums along rows up to each pixel's left edge, with a row of zeros above and below."""
    sums = np.zeros((values.shape[0] + 2, values.shape[1] + 1))
    np.cumsum(values, axis=1, dtype=np.float64, out=sums[1:-1, 1:])
    return sums


def _summed(values: Array, at: Floats, axis: int) -> Floats:
    """Cumulative sums along an axis, interpolated at positions."""
    length = values.shape[axis]
    shape = (values.shape[0], length + 1) if axis else (length + 1, values.shape[1])
    sums = np.zeros(shape)
    np.cumsum(values, axis=axis, dtype=np.float64, out=sums[:, 1:] if axis else sums[1:])
    at = np.clip(at, 0, length)
    whole = np.minimum(at.astype(np.intp), max(length - 1, 0))
    part = at - whole
    low: Floats = np.take(sums, whole, axis)
    if not part.any():
        return low
    part = part if axis else part[:, None]
    return low + part * (np.take(sums, whole + 1, axis) - low)


Points = tuple[Floats, Floats]
"""columns and rows"""


def _along(sums: Sequence[Floats], start: Points, end: Points) -> list[Floats]:
    """Integrals of F dy along edges [h, w] from start to end, for each padded F at pixel edges."""
    pieces = 1 + sum(_most_crossings(a, b) for a, b in zip(start, end, strict=True))
    height, width = start[0].shape
    rows = max(1, PIECES_PX // (pieces * width))
    found: list[Floats] = [np.empty((height, width)) for _ in sums]
    for top in range(0, height, rows):
        part = slice(top, top + rows)
        for target, integral in zip(
            found, _cut_along(sums, (start[0][part], start[1][part]), (end[0][part], end[1][part])), strict=True
        ):
            target[part] = integral
    return found


def _cut_along(sums: Sequence[Floats], start: Points, end: Points) -> Iterator[Floats]:
    (x0, y0), (x1, y1) = start, end
    cuts = [_crossings(a, b) for a, b in zip(start, end, strict=True)]
    shares = np.concatenate([*cuts, np.zeros((1, *x0.shape)), np.ones((1, *x0.shape))])
    shares.sort(axis=0)
    middles, lengths = (shares[1:] + shares[:-1]) / 2, np.diff(shares, axis=0)
    at, part = _places(sums[0].shape, x0 + middles * (x1 - x0), y0 + middles * (y1 - y0))
    for cumulative in sums:
        flat = cumulative.ravel()
        low = flat[at]
        yield ((low + part * (flat[at + 1] - low)) * lengths).sum(axis=0) * (y1 - y0)


def _most_crossings(start: Floats, end: Floats) -> int:
    """The largest number of pixel borders between two positions."""
    longest = np.nanmax(np.abs(end - start), initial=0)
    return math.ceil(longest) if math.isfinite(longest) else 1


def _crossings(start: Floats, end: Floats) -> Floats:
    """[n, h, w], shares of an edge's length at which it crosses pixel borders along one axis; 1 for no crossing."""
    lines = np.floor(np.minimum(start, end)) + 1 + np.arange(_most_crossings(start, end))[:, None, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = (lines - start) / (end - start)
    return np.where((shares > 0) & (shares < 1), shares, 1)


def _places(shape: tuple[int, ...], x: Floats, y: Floats) -> tuple[Array, Floats]:
    """For points in pixels: the flat index of F at the pixel's left edge, and the point's offset from it in pixels, NaN
    if the point is not finite."""
    height, width = shape[0] - 2, shape[1] - 1
    with np.errstate(invalid="ignore"):
        row = np.nan_to_num(np.clip(np.floor(y), -1, height), nan=-1).astype(np.intp) + 1
        x = np.clip(x, 0, width)
        column = np.minimum(np.nan_to_num(x, nan=0).astype(np.intp), width - 1)
        return row * (width + 1) + column, x - column + 0 * y
