"""A mosaic in a network's own grid, averaged into the grid of a map."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from snowcover.data.tiles import HALF_WORLD_M
from snowcover.predict.cells import Cells
from snowcover.predict.plan import Box, Plan
from snowcover.prepare.extent import mercator
from snowcover.prepare.positions import Array, Floats, Grid, apply

KNOTS_PX = 64  # between exactly projected points, at first
TOLERANCE_PX = 0.01  # of the mosaic, by which a straight line between them may be off
SNAP_PX = 1e-3  # a position that close to a pixel's centre is that centre
LEAST_WEIGHT = 1e-4
BAND_PX = 4_000_000  # of a band of rows, and of the mosaic behind one part of it
MOST_ROWS = 256
PART_COLUMNS = 1024


@dataclass(frozen=True)
class Mosaic:
    """Finished blocks [K, stride_px, stride_px], NaN where unobserved; see blend.Blender."""

    plan: Plan
    blocks: Cells
    channels: int

    def read(self, box: Box) -> Array:
        """[K, H, W] of a box on the plan's grid, NaN where there is nothing."""
        how = self.plan.layout
        found: Array = np.full((self.channels, box.bottom - box.top, box.right - box.left), np.nan, np.float32)
        across, down = (shift - how.ramp_px for shift in how.shift_px)
        for row in range((box.top - down) // how.stride_px, -(-(box.bottom - down) // how.stride_px)):
            for column in range((box.left - across) // how.stride_px, -(-(box.right - across) // how.stride_px)):
                block = self.blocks.get(row, column)
                if block is not None:
                    _lay(block, row * how.stride_px + down - box.top, column * how.stride_px + across - box.left, found)
        return found

    def row_of(self, y: float) -> int:
        """Of the blocks that hold a pixel row."""
        how = self.plan.layout
        return math.floor((y - how.shift_px[1] + how.ramp_px) / how.stride_px)


def _lay(block: Array, top: int, left: int, onto: Array) -> None:
    rows = slice(max(top, 0), min(top + block.shape[1], onto.shape[1]))
    columns = slice(max(left, 0), min(left + block.shape[2], onto.shape[2]))
    onto[:, rows, columns] = block[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]


class Places:
    """Where points of a map's grid lie in a plan's."""

    def __init__(self, grid: Grid, plan: Plan) -> None:
        self._grid, self._plan = grid, plan
        self._scale = plan.world_px / (2 * HALF_WORLD_M)
        self._middle = (plan.scene.left + plan.scene.right) / 2
        columns, rows = self._exact(np.array([0.0, 1, 0]) + grid.width / 2, np.array([0.0, 0, 1]) + grid.height / 2)
        steps = np.hypot(columns[1:] - columns[0], rows[1:] - rows[0])
        self.span = tuple(float(step) if math.isfinite(step) and step > 0 else 1.0 for step in steps)
        """pixels of the plan that one of the map spans across and down, in its middle"""

    def at(self, columns: Floats, rows: Floats) -> tuple[Floats, Floats]:
        """Columns and rows in the plan, each [len(rows), len(columns)], of a lattice of evenly spaced positions.

        Not finite where a point has no place on the map.
        """
        step = KNOTS_PX
        while step > 1:
            knots = [_knots(places, step) for places in (columns, rows)]
            exact = self._lattice(*knots)
            between = [(places[1:] + places[:-1]) / 2 for places in knots]
            error = np.abs(_middles(exact) - self._lattice(*between)).max() if all(map(len, between)) else 0.0
            if error <= TOLERANCE_PX:  # False for nan
                found = _hats(knots[1], rows).T @ exact @ _hats(knots[0], columns)
                return found[0], found[1]
            step //= 2
        exact = self._lattice(columns, rows)
        return exact[0], exact[1]

    def _lattice(self, columns: Floats, rows: Floats) -> Floats:
        """[2, len(rows), len(columns)]"""
        across, down = np.meshgrid(columns, rows)
        return np.stack(self._exact(across.ravel(), down.ravel())).reshape(2, len(rows), len(columns))

    def _exact(self, columns: Floats, rows: Floats) -> tuple[Floats, Floats]:
        xs, ys = mercator(self._grid, *apply(self._grid.transform, columns, rows))
        across, down = (xs + HALF_WORLD_M) * self._scale, (HALF_WORLD_M - ys) * self._scale
        world = self._plan.world_px
        with np.errstate(invalid="ignore"):
            return across - np.floor((across - self._middle) / world + 0.5) * world, down


def _knots(places: Floats, step: int) -> Floats:
    """Evenly spaced, from the first position to the last."""
    count = max(2, -(-len(places) // step) + 1) if len(places) > 1 else 1
    return np.linspace(places[0], places[-1], count)


def _middles(lattice: Floats) -> Floats:
    along = (lattice[..., 1:] + lattice[..., :-1]) / 2
    return (along[:, 1:] + along[:, :-1]) / 2


def _hats(knots: Floats, at: Floats) -> Floats:
    """Weights [len(knots), len(at)] of linear interpolation between evenly spaced knots."""
    if len(knots) == 1:
        return np.ones((1, len(at)))
    return np.maximum(1 - np.abs(at - knots[:, None]) / (knots[1] - knots[0]), 0)


@dataclass(frozen=True)
class Part:
    """A part of the map that is averaged at once."""

    columns: range
    rows: range


def band_rows(grid: Grid, span: tuple[float, ...]) -> int:
    """How many rows of the map are made at once."""
    of_mosaic = BAND_PX / (min(grid.width, PART_COLUMNS) * max(span[0], 1) * max(span[1], 1))
    return int(min(max(1, min(of_mosaic, BAND_PX / grid.width)), MOST_ROWS, grid.height))


def parts(grid: Grid, rows: range) -> Iterator[Part]:
    for start in range(0, grid.width, PART_COLUMNS):
        yield Part(range(start, min(start + PART_COLUMNS, grid.width)), rows)


def reach(places: Places, grid: Grid, rows: range) -> tuple[float, float]:
    """The first and last row of the mosaic that a band of rows needs; inf and -inf where it touches nothing."""
    columns = np.linspace(0, grid.width, max(2, grid.width // KNOTS_PX + 2))
    _, down = places.at(columns, np.array([rows.start, (rows.start + rows.stop) / 2, rows.stop]))
    down = down[np.isfinite(down)]
    slack = 2 + 2 * max(places.span)
    return (down.min() - slack, down.max() + slack) if down.size else (math.inf, -math.inf)


@dataclass(frozen=True)
class Sampled:
    """A part of the map: values [K, H, W], NaN where nothing of the mosaic is near, and how much of it is observed."""

    values: Array
    share: Array
    """[H, W], 0 to 1"""
    nearest: Array
    """[K, H, W]: of the nearest observed pixel of the mosaic, NaN where there is none near; made where it is needed"""


def sample(mosaic: Mosaic, places: Places, part: Part, needed: Array | None) -> Sampled:
    """Means over the pixels of the map: of n x n bilinear samples each, over what is observed.

    Args:
        needed: [H, W], where a value must be found, if need be from farther away.
    """
    counts = [max(1, math.ceil(span / _shrink(places) - 0.05)) for span in places.span]
    columns, rows = (_centres(along, count) for along, count in zip((part.columns, part.rows), counts, strict=True))
    across, down = places.at(columns, rows)
    shape = len(part.rows), counts[1], len(part.columns), counts[0]
    box = _around(mosaic.plan, across, down, 2 * _shrink(places) + 1)
    if box is None:
        return _nothing(mosaic.channels, shape)
    found = mosaic.read(box)
    observed = np.isfinite(found[0])
    if not observed.any():
        return _nothing(mosaic.channels, shape)
    across, down = across - box.left, down - box.top
    known, weight = np.where(observed, found, 0), observed.astype(np.float32)
    maps = _as_counted_by_opencv(across, down, _shrink(places))
    share = _mean(_remap(_averaged(weight, _shrink(places)), maps), shape)
    with np.errstate(invalid="ignore"):
        values = np.stack([_mean(_remap(_averaged(layer, _shrink(places)), maps), shape) / share for layer in known])
    values[:, share < LEAST_WEIGHT] = np.nan
    missing = None if needed is None else needed & (share < LEAST_WEIGHT)
    if missing is None or not missing.any():
        return Sampled(values, share, values)
    return Sampled(values, share, _nearest(found, observed, _mean(across, shape), _mean(down, shape)))


def _shrink(places: Places) -> int:
    """How many pixels of the mosaic are averaged first, so that few samples do for a coarse map."""
    return max(1, math.floor(min(places.span) / 2))


def _centres(along: range, count: int) -> Floats:
    """Positions of `count` samples in each pixel."""
    return along.start + (np.arange(len(along) * count) + 0.5) / count


def _nothing(channels: int, shape: tuple[int, int, int, int]) -> Sampled:
    values: Array = np.full((channels, shape[0], shape[2]), np.nan, np.float32)
    return Sampled(values, np.zeros(values.shape[1:], np.float32), values)


def _mean(samples: Array, shape: tuple[int, int, int, int]) -> Array:
    return samples if shape[1] == shape[3] == 1 else samples.reshape(shape).mean(axis=(1, 3))


def _around(plan: Plan, across: Floats, down: Floats, margin: int) -> Box | None:
    """What of the scene's part of the grid the positions touch; None where they do not."""
    finite = np.isfinite(across) & np.isfinite(down)
    if not finite.any():
        return None
    edges = [places[finite] for places in (across, down)] if not finite.all() else [across, down]
    low = [math.floor(places.min()) - margin for places in edges]
    high = [math.ceil(places.max()) + margin for places in edges]
    around = Box(
        max(low[0], plan.scene.left - margin), max(low[1], plan.scene.top - margin),
        min(high[0], plan.scene.right + margin), min(high[1], plan.scene.bottom + margin),
    )  # fmt: skip
    return around if around.left < around.right and around.top < around.bottom else None


def _as_counted_by_opencv(across: Floats, down: Floats, shrink: int) -> tuple[Array, Array]:
    """From the first pixel's centre; far outside where there is no place."""
    counted = (_snapped(places / shrink - 0.5) for places in (across, down))
    columns, rows = (np.nan_to_num(places, nan=-9, posinf=-9, neginf=-9).astype(np.float32) for places in counted)
    return columns, rows


def _snapped(places: Floats) -> Floats:
    whole: Floats = np.rint(places)
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(places - whole) < SNAP_PX, whole, places)


def _averaged(values: Array, shrink: int) -> Array:
    """Means over blocks; beyond the edge counts as 0."""
    if shrink == 1:
        return values
    height, width = values.shape
    padded = np.pad(values, ((0, -height % shrink), (0, -width % shrink)))
    return cv2.resize(padded, (padded.shape[1] // shrink, padded.shape[0] // shrink), interpolation=cv2.INTER_AREA)


def _remap(values: Array, maps: tuple[Array, Array]) -> Array:
    return cv2.remap(np.ascontiguousarray(values), *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def _nearest(found: Array, observed: Array, across: Floats, down: Floats) -> Array:
    rows, columns = ndimage.distance_transform_edt(~observed, return_distances=False, return_indices=True)
    height, width = observed.shape
    at_row = np.clip(np.nan_to_num(down), 0, height - 1).astype(np.intp)
    at_column = np.clip(np.nan_to_num(across), 0, width - 1).astype(np.intp)
    return found[:, rows[at_row, at_column], columns[at_row, at_column]]
