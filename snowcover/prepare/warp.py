"""One resampling, from a source raster's own grid straight into a tile's EPSG:3857 grid.

A tile's pixel centres are projected exactly at a few columns and linearly in between, which is off by a fraction of
a source pixel that is measured, not hoped for. OpenCV then samples the source there.
"""

import math
from typing import Protocol

import cv2
import numpy as np
from rasterio.windows import Window

from snowcover.data.tiles import Bounds, Tile, bounds
from snowcover.prepare.nodata import keep_off
from snowcover.prepare.reprojection import Array, Floats, Grid, positions

MAX_SOURCE_PX = 2**22  # read at once: a tile that needs more is made in parts, so memory has a bound
# OpenCV 5 interpolates these at the exact position, one, three or four bands at a time; all else at 1/32 of a pixel.
EXACT = ("uint8", "uint16", "float32")
LARGEST = np.finfo(np.float32).max
# Where a tile's pixel centre falls on the line between two source pixels, take the right and lower one, as GDAL does.
TIE_PX = 1e-10


class Source(Protocol):
    """A raster opened by one thread, with what counts as nodata in it decided."""

    @property
    def grid(self) -> Grid: ...
    @property
    def bands(self) -> int: ...
    @property
    def dtype(self) -> str: ...
    @property
    def nodata(self) -> float: ...
    @property
    def smooth(self) -> bool:
        """Whether pixels are measurements, to be sampled bilinearly; else labels, by the nearest one."""
        ...

    def read(self, window: Window) -> tuple[Array, Array]:
        """Values [H, W, C], 0 where not valid if smooth, and valid [H, W] uint8 0 or 1."""
        ...


def warp(source: Source, tile: Tile, size_px: int) -> tuple[Array, Array]:
    """The source's pixels in the tile's grid.

    Returns values [size_px, size_px, C], `source.nodata` in all bands where not observed, and where they are
    observed, [size_px, size_px] uint8; there no reader takes them for nodata.
    """
    return warp_box(source, bounds(tile), size_px)


def warp_box(source: Source, box: Bounds, size_px: int) -> tuple[Array, Array]:
    """The source's pixels in any square of EPSG:3857, as `warp` gives those of a tile."""
    columns, rows = positions(source.grid, box, size_px)
    return _sample(source, columns, rows, _shrink(columns, rows))


def _shrink(columns: Floats, rows: Floats) -> tuple[int, int]:
    """How many whole source pixels a tile pixel spans across and down: these are averaged first."""
    spans = (_span(places) for places in (columns, rows))
    across, down = (max(1, math.floor(span + 1e-6)) if math.isfinite(span) else 1 for span in spans)
    return across, down


def _span(places: Floats) -> float:
    """Of the tile's middle pixel, unless the source's two ends, which may be one meridian, meet just there."""
    row, columns = places.shape[0] // 2, places.shape[1] * np.arange(1, 4) // 4
    steps = places[row, columns] - places[row - 1, columns], places[row, columns] - places[row, columns - 1]
    return float(np.median(np.hypot(*steps)))


def _sample(source: Source, columns: Floats, rows: Floats, shrink: tuple[int, int]) -> tuple[Array, Array]:
    window = _window(source.grid, columns, rows, shrink if source.smooth else (1, 1))
    if window.width * window.height > MAX_SOURCE_PX and columns.size > 1:
        axis = int(columns.shape[1] > columns.shape[0])
        halves = zip(np.array_split(columns, 2, axis), np.array_split(rows, 2, axis), strict=True)
        parts = [_sample(source, *half, shrink) for half in halves]
        return np.concatenate([values for values, _ in parts], axis), np.concatenate([seen for _, seen in parts], axis)
    if window.width == 0:
        return _nothing(source, columns.shape)
    values, valid = source.read(window)
    if not valid.any():
        return _nothing(source, columns.shape)
    columns, rows = _within(columns, window.col_off), _within(rows, window.row_off)
    sampled: Array
    observed: Array
    if source.smooth and shrink == (1, 1) and source.dtype in EXACT and _is_whole(valid, columns, rows):
        sampled, observed = _remap(values, *_centred(columns, rows)), np.ones(columns.shape, np.uint8)
    else:
        nearest = np.floor(columns + TIE_PX).astype(np.float32), np.floor(rows + TIE_PX).astype(np.float32)
        observed = _nearest(valid, *nearest)
        sampled = _bilinear(values, valid, columns, rows, shrink) if source.smooth else _nearest(values, *nearest)
        sampled = sampled.reshape(*columns.shape, -1)
    _hide(sampled, observed, source.nodata)
    return sampled, observed


def _within(places: Floats, start: int) -> Floats:
    """Positions counted from a window's first pixel; well outside where there is none."""
    counted = places - start
    return counted if math.isfinite(counted.sum()) else np.nan_to_num(counted, nan=-2, posinf=-2, neginf=-2)


def _is_whole(valid: Array, columns: Floats, rows: Floats) -> bool:
    """Whether every position has four valid neighbours."""
    height, width = valid.shape
    inside = columns.min() >= 0.5 and rows.min() >= 0.5 and columns.max() <= width - 0.5 and rows.max() <= height - 0.5
    return bool(inside and valid.all())


def _centred(columns: Floats, rows: Floats) -> tuple[Array, Array]:
    """As OpenCV counts: from the first pixel's centre."""
    return (columns - 0.5).astype(np.float32), (rows - 0.5).astype(np.float32)


def _nothing(source: Source, shape: tuple[int, ...]) -> tuple[Array, Array]:
    return np.full((*shape, source.bands), source.nodata, source.dtype), np.zeros(shape, np.uint8)


def _window(grid: Grid, columns: Floats, rows: Floats, shrink: tuple[int, int]) -> Window:
    """The source pixels that the positions touch, on whole blocks of the shrinking; of no size if there are none."""
    starts, sizes = [], []
    for places, length, step in ((columns, grid.width, shrink[0]), (rows, grid.height, shrink[1])):
        low, high = _range(places)
        start = int(np.clip((low - 1) // step * step - step, 0, length))
        end = int(np.clip((high + 1) // step * step + 2 * step, 0, length))
        starts.append(start)
        sizes.append(end - start)
    return Window(starts[0], starts[1], sizes[0], sizes[1]) if min(sizes) > 0 else Window(0, 0, 0, 0)


def _range(places: Floats) -> tuple[float, float]:
    low, high = places.min(), places.max()
    if not (math.isfinite(low) and math.isfinite(high)):  # points that have no projection
        finite = places[np.isfinite(places)]
        return (finite.min(), finite.max()) if finite.size else (-math.inf, -math.inf)
    return low, high


def _nearest(values: Array, columns: Array, rows: Array) -> Array:
    return cv2.remap(values, columns, rows, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)


def _bilinear(values: Array, valid: Array, columns: Floats, rows: Floats, shrink: tuple[int, int]) -> Array:
    """Values at the positions from valid neighbours alone: their weights are made to sum to one."""
    weighted = _averages(values.astype(np.float32) * valid[..., None], shrink)
    weights = _averages(valid.astype(np.float32)[..., None], shrink)
    places = _centred(columns / shrink[0], rows / shrink[1])
    total = _remap(weights, *places)
    with np.errstate(over="ignore"):
        result: Array = _remap(weighted, *places) / np.where(total > 0, total, 1)
    if values.dtype.kind == "f":
        return np.clip(result, -LARGEST, LARGEST, out=result)  # a mean of the largest numbers is no infinity
    return np.rint(result).astype(values.dtype)


def _averages(values: Array, shrink: tuple[int, int]) -> Array:
    """Means over blocks of shrink[0] x shrink[1] pixels of [H, W, C]; beyond the edge counts as 0."""
    across, down = shrink
    if shrink == (1, 1):
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
    """Nodata where not observed; an observed pixel that came out as one is moved off it, by as little as can be."""
    hidden = seen == 0
    if hidden.any():
        values[hidden] = nodata
    keep_off(values, ~hidden, nodata)
