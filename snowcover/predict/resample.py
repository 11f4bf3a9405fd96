"""Averages a mosaic in a network's grid to the grid of a map."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from snowcover.data.tiles import HALF_WORLD_M
from snowcover.predict.cells import Cells
from snowcover.predict.plan import Box, Plan
from snowcover.prepare.extent import mercator
from snowcover.prepare.reprojection import Array, Floats, Grid, apply

KNOTS_PX = 64  # initial spacing of exactly projected points
TOLERANCE_PX = 0.01  # of the mosaic, allowed error of linear interpolation between them
SNAP_PX = 1e-3  # positions this close to a pixel's centre are moved to it
LEAST_WEIGHT = 1e-4
BAND_PX = 1_300_000  # of a band of rows, several of which are in memory
PART_PX = 1_000_000  # of the mosaic for one part of a band
MOST_ROWS = 128
PART_COLUMNS = 512


@dataclass(frozen=True)
class Mosaic:
    """Finished blocks [K, stride_px, stride_px], NaN where unobserved; see blend.Blender."""

    plan: Plan
    blocks: Cells
    channels: int

    def read(self, box: Box) -> Array:
        """[K, H, W] of a box on the plan's grid, NaN where empty."""
        layout = self.plan.layout
        found: Array = np.full((self.channels, box.bottom - box.top, box.right - box.left), np.nan, np.float32)
        across, down = (shift - layout.ramp_px for shift in layout.shift_px)
        for row in range((box.top - down) // layout.stride_px, -(-(box.bottom - down) // layout.stride_px)):
            for column in range((box.left - across) // layout.stride_px, -(-(box.right - across) // layout.stride_px)):
                block = self.blocks.get(row, column)
                if block is not None:
                    _paste(
                        block,
                        row * layout.stride_px + down - box.top,
                        column * layout.stride_px + across - box.left,
                        found,
                    )
        return found

    def row_of(self, y: float) -> int:
        """Row of the blocks that contain a pixel row."""
        layout = self.plan.layout
        return math.floor((y - layout.shift_px[1] + layout.ramp_px) / layout.stride_px)


def _paste(block: Array, top: int, left: int, onto: Array) -> None:
    rows = slice(max(top, 0), min(top + block.shape[1], onto.shape[1]))
    columns = slice(max(left, 0), min(left + block.shape[2], onto.shape[2]))
    onto[:, rows, columns] = block[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]


@dataclass(frozen=True)
class Lattice:
    """Columns and rows in the plan: exact [2, h, w] or, if there are weights, interpolated from exact knots.

    Not finite where a point has no position on the map.
    """

    exact: Floats
    across: Array | None = None
    """[w, W] float32"""
    down: Array | None = None

    def box(self, margin: int) -> Box | None:
        """The box that the positions touch, with a margin."""
        finite = self.exact[:, np.isfinite(self.exact).all(axis=0)]
        if not finite.size:
            return None
        low, high = np.floor(finite.min(axis=1)) - margin, np.ceil(finite.max(axis=1)) + margin
        return Box(int(low[0]), int(low[1]), int(high[0]), int(high[1]))

    def relative_to(self, left: int, top: int) -> Array:
        """Positions relative to a nearby pixel, [2, H, W] float32, which is precise enough there."""
        near = (self.exact - np.array([left, top])[:, None, None]).astype(np.float32)
        if self.across is None or self.down is None:
            return near
        interpolated: Array = self.down.T @ near @ self.across
        return interpolated


class PlanPositions:
    """Positions of a map's pixels in a plan's grid."""

    def __init__(self, grid: Grid, plan: Plan) -> None:
        self._grid, self._plan = grid, plan
        self._scale = plan.world_px / (2 * HALF_WORLD_M)
        self._middle = (plan.scene.left + plan.scene.right) / 2
        columns, rows = self._exact(np.array([0.0, 1, 0]) + grid.width / 2, np.array([0.0, 0, 1]) + grid.height / 2)
        steps = np.hypot(columns[1:] - columns[0], rows[1:] - rows[0])
        self.span = tuple(float(step) if math.isfinite(step) and step > 0 else 1.0 for step in steps)
        """how many pixels of the plan one pixel in the map's middle spans, across and down"""

    def at(self, columns: Floats, rows: Floats) -> "Lattice":
        """Positions of a lattice of evenly spaced points of the map."""
        step = KNOTS_PX
        while step > 1:
            knots = [_knots(places, step) for places in (columns, rows)]
            exact, middles = self._lattices(knots, [(places[1:] + places[:-1]) / 2 for places in knots])
            error = np.abs(_middles(exact) - middles).max(initial=0)
            if error <= TOLERANCE_PX:  # False for nan
                return Lattice(exact, _hat_weights(knots[0], columns), _hat_weights(knots[1], rows))
            step //= 2
        return Lattice(self._lattices([columns, rows])[0])

    def _lattices(self, *axes_of: Sequence[Floats]) -> list[Floats]:
        """[2, rows, columns] of each pair of columns and rows, projected in one call, because its setup dominates."""
        points = [np.meshgrid(*lattice) for lattice in axes_of]
        every = self._exact(*(np.concatenate([axes[i].ravel() for axes in points]) for i in (0, 1)))
        ends = np.cumsum([axes[0].size for axes in points])[:-1]
        parts = np.split(np.stack(every), ends, axis=1)
        return [part.reshape(2, *axes[0].shape) for part, axes in zip(parts, points, strict=True)]

    def _exact(self, columns: Floats, rows: Floats) -> tuple[Floats, Floats]:
        xs, ys = mercator(self._grid, *apply(self._grid.transform, columns, rows))
        across, down = (xs + HALF_WORLD_M) * self._scale, (HALF_WORLD_M - ys) * self._scale
        world = self._plan.world_px
        with np.errstate(invalid="ignore"):
            return across - np.floor((across - self._middle) / world + 0.5) * world, down


def _knots(places: Floats, step: int) -> Floats:
    """Evenly spaced knots from the first position to the last."""
    count = max(2, -(-len(places) // step) + 1) if len(places) > 1 else 1
    return np.linspace(places[0], places[-1], count)


def _middles(lattice: Floats) -> Floats:
    along = (lattice[..., 1:] + lattice[..., :-1]) / 2
    return (along[:, 1:] + along[:, :-1]) / 2


def _hat_weights(knots: Floats, at: Floats) -> Array:
    """Weights [len(knots), len(at)] of linear interpolation between evenly spaced knots."""
    if len(knots) == 1:
        return np.ones((1, len(at)), np.float32)
    return np.maximum(1 - np.abs(at - knots[:, None]) / (knots[1] - knots[0]), 0).astype(np.float32)


@dataclass(frozen=True)
class Part:
    """A part of the map that is averaged in one step."""

    columns: range
    rows: range


def band_rows(grid: Grid, span: tuple[float, ...]) -> int:
    """How many rows of the map are made in one step."""
    of_mosaic = PART_PX / (min(grid.width, PART_COLUMNS) * max(span[0], 1) * max(span[1], 1))
    return int(min(max(1, min(of_mosaic, BAND_PX / grid.width)), MOST_ROWS, grid.height))


def parts(grid: Grid, rows: range) -> Iterator[Part]:
    """Splits rows of the map into parts of at most PART_COLUMNS columns, from left to right."""
    for start in range(0, grid.width, PART_COLUMNS):
        yield Part(range(start, min(start + PART_COLUMNS, grid.width)), rows)


def needed_rows(positions: PlanPositions, grid: Grid, rows: range) -> tuple[float, float]:
    """The first and last row of the mosaic that a band of rows needs; inf and -inf where it touches nothing."""
    columns = np.linspace(0, grid.width, max(2, grid.width // KNOTS_PX + 2))
    _, down = positions.at(columns, np.array([rows.start, (rows.start + rows.stop) / 2, rows.stop])).exact
    down = down[np.isfinite(down)]
    slack = 2 + 2 * max(positions.span)
    return (down.min() - slack, down.max() + slack) if down.size else (math.inf, -math.inf)


@dataclass(frozen=True)
class Sampled:
    """A part of the map: values [K, H, W], NaN where the mosaic has none, and the observed share of each pixel."""

    values: Array
    share: Array
    """[H, W], 0 to 1"""
    nearest: Array
    """[K, H, W], values of the nearest observed pixel of the mosaic, NaN without one; only filled where needed"""


def sample(mosaic: Mosaic, positions: PlanPositions, part: Part, needed: Array | None) -> Sampled:
    """Means over the map's pixels, each of n x n bilinear samples of observed values.

    Args:
        needed: [H, W], where a value is required, if necessary from farther away.
    """
    shrink = max(1, math.floor(min(positions.span) / 2))  # averaged first, so that few samples suffice for a coarse map
    counts = [max(1, math.ceil(span / shrink - 0.05)) for span in positions.span]
    columns, rows = (_centres(along, count) for along, count in zip((part.columns, part.rows), counts, strict=True))
    lattice = positions.at(columns, rows)
    shape = len(part.rows), counts[1], len(part.columns), counts[0]
    box = _within(mosaic.plan, lattice.box(margin=2 * shrink + 1), 2 * shrink + 1)
    if box is None:
        return _nothing(mosaic.channels, shape)
    found = mosaic.read(box)
    observed = np.isfinite(found[0])
    if not observed.any():
        return _nothing(mosaic.channels, shape)
    at = lattice.relative_to(box.left, box.top)
    maps = _opencv_coordinates(at, shrink, snap=counts == [1, 1])
    known, weight = np.where(observed, found, np.float32(0)), observed.astype(np.float32)
    share = _mean(_remap(_averaged(weight, shrink), maps), shape)
    with np.errstate(invalid="ignore"):
        values = np.stack([_mean(_remap(_averaged(layer, shrink), maps), shape) / share for layer in known])
    values[:, share < LEAST_WEIGHT] = np.nan
    missing = None if needed is None else needed & (share < LEAST_WEIGHT)
    if missing is None or not missing.any():
        return Sampled(values, share, values)
    return Sampled(values, share, _nearest(found, observed, *(_mean(places, shape) for places in at)))


def _centres(along: range, count: int) -> Floats:
    """Positions of `count` samples in each pixel."""
    return along.start + (np.arange(len(along) * count) + 0.5) / count


def _nothing(channels: int, shape: tuple[int, int, int, int]) -> Sampled:
    values: Array = np.full((channels, shape[0], shape[2]), np.nan, np.float32)
    return Sampled(values, np.zeros(values.shape[1:], np.float32), values)


def _mean(samples: Array, shape: tuple[int, int, int, int]) -> Array:
    return samples if shape[1] == shape[3] == 1 else samples.reshape(shape).mean(axis=(1, 3))


def _within(plan: Plan, box: Box | None, margin: int) -> Box | None:
    """The part of a box within the scene; None if there is none."""
    if box is None:
        return None
    scene = plan.scene
    within = Box(
        max(box.left, scene.left - margin), max(box.top, scene.top - margin),
        min(box.right, scene.right + margin), min(box.bottom, scene.bottom + margin),
    )  # fmt: skip
    return within if within.left < within.right and within.top < within.bottom else None


def _opencv_coordinates(at: Array, shrink: int, snap: bool) -> Array:
    """[2, H, W], relative to the first pixel's centre; far outside where not finite."""
    counted = at / np.float32(shrink) - np.float32(0.5)
    if snap:  # a map in the mosaic's own grid gets exactly its pixels
        whole = np.rint(counted)
        with np.errstate(invalid="ignore"):
            counted = np.where(np.abs(counted - whole) < SNAP_PX, whole, counted)
    return counted if np.isfinite(counted.sum()) else np.nan_to_num(counted, nan=-9, posinf=-9, neginf=-9)


def _averaged(values: Array, shrink: int) -> Array:
    """Means over blocks; pixels beyond the edge count as 0."""
    if shrink == 1:
        return values
    height, width = values.shape
    padded = np.pad(values, ((0, -height % shrink), (0, -width % shrink)))
    return cv2.resize(padded, (padded.shape[1] // shrink, padded.shape[0] // shrink), interpolation=cv2.INTER_AREA)


def _remap(values: Array, maps: Array) -> Array:
    return cv2.remap(np.ascontiguousarray(values), maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def _nearest(found: Array, observed: Array, across: Floats, down: Floats) -> Array:
    rows, columns = ndimage.distance_transform_edt(~observed, return_distances=False, return_indices=True)
    height, width = observed.shape
    at_row = np.clip(np.nan_to_num(down), 0, height - 1).astype(np.intp)
    at_column = np.clip(np.nan_to_num(across), 0, width - 1).astype(np.intp)
    return found[:, rows[at_row, at_column], columns[at_row, at_column]]
