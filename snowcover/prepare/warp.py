"""One resampling, from a source raster's own grid straight into a tile's EPSG:3857 grid.

A tile's pixel centres are projected exactly at a few columns and interpolated linearly in between, with a measured
error of a fraction of a source pixel. OpenCV then samples the source at these positions.
"""

import math
from typing import Protocol

import cv2
import numpy as np
from rasterio.windows import Window

from snowcover.data.tiles import Bounds, Tile, bounds
from snowcover.prepare.nodata import keep_off
from snowcover.prepare.reprojection import Array, Floats, Grid, source_positions

MAX_SOURCE_PX = 2**22  # read at once: a tile that needs more is made in parts, which bounds the memory
# OpenCV 5 interpolates these at the exact position, for one, three or four bands; all else at 1/32 of a pixel.
EXACT = ("uint8", "uint16", "float32")
LARGEST = np.finfo(np.float32).max
# If a pixel centre falls on the border of two source pixels, the right and lower one is taken, as GDAL does.
TIE_PX = 1e-10


class Source(Protocol):
    """A raster opened by one thread, which knows its own nodata rules."""

    @property
    def grid(self) -> Grid: ...
    @property
    def bands(self) -> int: ...
    @property
    def dtype(self) -> str: ...
    @property
    def nodata(self) -> float: ...
    @property
    def continuous(self) -> bool:
        """Whether pixels are measurements, sampled bilinearly, or labels, sampled by nearest neighbour."""
        ...

    def read(self, window: Window) -> tuple[Array, Array]:
        """Values [H, W, C], 0 where not valid if continuous, and valid [H, W] uint8 0 or 1."""
        ...


def warp(source: Source, tile: Tile, size_px: int) -> tuple[Array, Array]:
    """The source's pixels in the tile's grid.

    Returns values [size_px, size_px, C], `source.nodata` in all bands where not observed, and the observed mask
    [size_px, size_px] uint8. No reader takes an observed pixel for nodata.
    """
    return warp_box(source, bounds(tile), size_px)


def warp_box(source: Source, box: Bounds, size_px: int) -> tuple[Array, Array]:
    """The same as `warp` for any square of EPSG:3857."""
    columns, rows = source_positions(source.grid, box, size_px)
    return _sample(source, columns, rows, _block_px(columns, rows))


def _block_px(columns: Floats, rows: Floats) -> tuple[int, int]:
    """How many whole source pixels a tile pixel spans across and down; blocks of that size are averaged first."""
    spans = (_span(positions) for positions in (columns, rows))
    across, down = (max(1, math.floor(span + 1e-6)) if math.isfinite(span) else 1 for span in spans)
    return across, down


def _span(positions: Floats) -> float:
    """Source pixels per tile pixel: a median, for the source may begin and end (at one meridian) within the tile."""
    row, columns = positions.shape[0] // 2, positions.shape[1] * np.arange(1, 4) // 4
    steps = positions[row, columns] - positions[row - 1, columns], positions[row, columns] - positions[row, columns - 1]
    return float(np.median(np.hypot(*steps)))


def _sample(source: Source, columns: Floats, rows: Floats, block_px: tuple[int, int]) -> tuple[Array, Array]:
    window = _window(source.grid, columns, rows, block_px if source.continuous else (1, 1))
    if window.width * window.height > MAX_SOURCE_PX and columns.size > 1:
        axis = int(columns.shape[1] > columns.shape[0])
        halves = zip(np.array_split(columns, 2, axis), np.array_split(rows, 2, axis), strict=True)
        parts = [_sample(source, *half, block_px) for half in halves]
        return np.concatenate([values for values, _ in parts], axis), np.concatenate([seen for _, seen in parts], axis)
    if window.width == 0:
        return _nothing(source, columns.shape)
    values, valid = source.read(window)
    if not valid.any():
        return _nothing(source, columns.shape)
    columns, rows = _relative_to(columns, window.col_off), _relative_to(rows, window.row_off)
    sampled: Array
    observed: Array
    if source.continuous and block_px == (1, 1) and source.dtype in EXACT and _has_all_neighbours(valid, columns, rows):
        sampled, observed = _remap(values, *_from_pixel_centre(columns, rows)), np.ones(columns.shape, np.uint8)
    else:
        nearest = np.floor(columns + TIE_PX).astype(np.float32), np.floor(rows + TIE_PX).astype(np.float32)
        observed = _nearest(valid, *nearest)
        sampled = _bilinear(values, valid, columns, rows, block_px) if source.continuous else _nearest(values, *nearest)
        sampled = sampled.reshape(*columns.shape, -1)
    _hide(sampled, observed, source.nodata)
    return sampled, observed


def _relative_to(positions: Floats, start: int) -> Floats:
    """Positions relative to a window's first pixel; well outside where they are not finite."""
    relative = positions - start
    return relative if math.isfinite(relative.sum()) else np.nan_to_num(relative, nan=-2, posinf=-2, neginf=-2)


def _has_all_neighbours(valid: Array, columns: Floats, rows: Floats) -> bool:
    """Whether every position has four valid neighbours."""
    height, width = valid.shape
    inside = columns.min() >= 0.5 and rows.min() >= 0.5 and columns.max() <= width - 0.5 and rows.max() <= height - 0.5
    return bool(inside and valid.all())


def _from_pixel_centre(columns: Floats, rows: Floats) -> tuple[Array, Array]:
    """Positions relative to the first pixel's centre, as OpenCV counts them."""
    return (columns - 0.5).astype(np.float32), (rows - 0.5).astype(np.float32)


def _nothing(source: Source, shape: tuple[int, ...]) -> tuple[Array, Array]:
    return np.full((*shape, source.bands), source.nodata, source.dtype), np.zeros(shape, np.uint8)


def _window(grid: Grid, columns: Floats, rows: Floats, block_px: tuple[int, int]) -> Window:
    """The source pixels that the positions touch, in whole averaging blocks; of size 0 if there are none."""
    starts, sizes = [], []
    for positions, length, step in ((columns, grid.width, block_px[0]), (rows, grid.height, block_px[1])):
        low, high = _range(positions)
        start = int(np.clip((low - 1) // step * step - step, 0, length))
        end = int(np.clip((high + 1) // step * step + 2 * step, 0, length))
        starts.append(start)
        sizes.append(end - start)
    return Window(starts[0], starts[1], sizes[0], sizes[1]) if min(sizes) > 0 else Window(0, 0, 0, 0)


def _range(positions: Floats) -> tuple[float, float]:
    low, high = positions.min(), positions.max()
    if not (math.isfinite(low) and math.isfinite(high)):  # points that have no projection
        finite = positions[np.isfinite(positions)]
        return (finite.min(), finite.max()) if finite.size else (-math.inf, -math.inf)
    return low, high


def _nearest(values: Array, columns: Array, rows: Array) -> Array:
    return cv2.remap(values, columns, rows, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)


def _bilinear(values: Array, valid: Array, columns: Floats, rows: Floats, block_px: tuple[int, int]) -> Array:
    """Values at the positions from valid neighbours alone, their weights normalised to sum to one."""
    weighted = _averages(values.astype(np.float32) * valid[..., None], block_px)
    weights = _averages(valid.astype(np.float32)[..., None], block_px)
    positions = _from_pixel_centre(columns / block_px[0], rows / block_px[1])
    total = _remap(weights, *positions)
    with np.errstate(over="ignore"):
        result: Array = _remap(weighted, *positions) / np.where(total > 0, total, 1)
    if values.dtype.kind == "f":
        return np.clip(result, -LARGEST, LARGEST, out=result)  # the mean of the largest numbers is finite
    return np.rint(result).astype(values.dtype)


def _averages(values: Array, block_px: tuple[int, int]) -> Array:
    """Means over blocks of block_px[0] x block_px[1] pixels of [H, W, C]; beyond the edge counts as 0."""
    across, down = block_px
    if block_px == (1, 1):
        return values
    height, width = values.shape[:2]
    padded = np.pad(values, ((0, -height % down), (0, -width % across), (0, 0)))
    size = (padded.shape[1] // across, padded.shape[0] // down)
    return cv2.resize(padded, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], -1)


def _remap(values: Array, x: Array, y: Array) -> Array:
    """Bilinear samples of [H, W, C] at positions from the first pixel's centre; beyond the edge counts as 0."""
    parts = [cv2.remap(part, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT) for part in _parts(values)]
    return parts[0].reshape(*x.shape, -1) if len(parts) == 1 else np.dstack(parts)


def _parts(values: Array) -> list[Array]:
    """Bands in fours and ones (see EXACT)."""
    bands = values.shape[2]
    fours = [np.ascontiguousarray(values[..., i : i + 4]) for i in range(0, bands - 3, 4)]
    return fours + [np.ascontiguousarray(values[..., i]) for i in range(bands // 4 * 4, bands)]


def _hide(values: Array, seen: Array, nodata: float) -> None:
    """Set nodata where not observed; observed pixels that equal nodata are changed by the smallest step."""
    hidden = seen == 0
    if hidden.any():
        values[hidden] = nodata
    keep_off(values, ~hidden, nodata)
