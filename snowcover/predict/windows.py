"""The input windows of a scene, cut from tiles resampled exactly as in training."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import numpy as np

from snowcover.data import gdal_warnings
from snowcover.data.observed import mark_unobserved
from snowcover.predict.cells import Cells, cells
from snowcover.predict.plan import Plan
from snowcover.predict.prefetch import in_order
from snowcover.prepare import raster
from snowcover.prepare.reprojection import Array
from snowcover.prepare.warp import Source, warp

Read = tuple[int, int, Array | None]  # row and column of a tile; raw [C, H, W], None if nothing is observed
Opener = Callable[[], AbstractContextManager[Source]]
CACHED_TILES = 12  # three rows of three, and the next ones; the oldest are dropped first


@dataclass(frozen=True)
class Window:
    """One window, at its row and column among all windows."""

    row: int
    column: int
    raw: Array | None
    """[C, window_px, window_px] stored numbers, 0 in all bands where unobserved; None if it has no observed pixel"""
    observed: Array | None
    """[stride_px, stride_px] bool, of the block that this window completes: its core, moved up and left by the ramp"""
    layers: Array | None = None
    """[L, window_px, window_px] float32, NaN without data; None for networks without layers"""


def windows(opener: Opener, bands: int, dtype: str, plan: Plan, readers: int) -> Iterator[Window]:
    """All windows of the plan, row by row. Tiles are resampled once, by threads, and cached on disk."""
    openers = [lambda: _reading(opener, plan)] * readers
    read = in_order(openers, plan.tiles(), 4 * readers)
    try:
        with cells((bands, plan.tile_size, plan.tile_size), dtype) as store:
            arriving = _Tiles(read, store)
            for row in plan.rows:
                for column in plan.columns:
                    yield _window(plan, row, column, arriving)
                _, next_top = plan.core(row + 1, 0)
                arriving.discard_before((next_top - plan.layout.context_px) // plan.tile_size)
    finally:
        read.close()  # type: ignore[attr-defined]


@contextmanager
def _reading(opener: Opener, plan: Plan) -> Iterator[Callable[[tuple[int, int]], Read]]:
    with raster.settings(), gdal_warnings.taken(), opener() as source:

        def read(place: tuple[int, int]) -> Read:
            values, seen = warp(source, plan.tile(*place), plan.tile_size)
            if not seen.any():
                return *place, None
            image = np.ascontiguousarray(np.moveaxis(values, 2, 0))
            mark_unobserved(image, seen == 1)
            return *place, image

        yield read


class _Tiles:
    """Tiles by row and column, each read once and kept until its row is discarded."""

    def __init__(self, read: Iterator[Read], store: Cells) -> None:
        self._read, self._store = read, store
        self._last = (-1, -1)
        self._cache: OrderedDict[tuple[int, int], Array | None] = OrderedDict()

    def get(self, row: int, column: int) -> Array | None:
        while self._last < (row, column) and (read := next(self._read, None)) is not None:
            self._last, values = read[:2], read[2]
            if values is not None:
                self._store.put(*self._last, values)
        if (row, column) not in self._cache:
            self._cache[row, column] = self._store.get(row, column)
            if len(self._cache) > CACHED_TILES:
                self._cache.popitem(last=False)
        return self._cache[row, column]

    def discard_before(self, row: int) -> None:
        self._store.discard_before(row)


def _window(plan: Plan, row: int, column: int, tiles: _Tiles) -> Window:
    layout, size = plan.layout, plan.tile_size
    left, top = (edge - layout.context_px for edge in plan.core(row, column))
    raw: Array | None = None
    for tile_row in range(top // size, -(-(top + layout.window_px) // size)):
        for tile_column in range(left // size, -(-(left + layout.window_px) // size)):
            tile = tiles.get(tile_row, tile_column)
            if tile is None:
                continue
            if raw is None:
                raw = np.zeros((len(tile), layout.window_px, layout.window_px), tile.dtype)
            _copy(tile, (tile_row * size - top, tile_column * size - left), raw)
    if raw is None:
        return Window(row, column, None, None)
    start = layout.context_px - layout.ramp_px
    seen: Array = (raw[:, start : start + layout.support_px, start : start + layout.support_px] != 0).any(axis=0)
    if not seen.any():
        return Window(row, column, None, None)
    return Window(row, column, raw, seen[: layout.stride_px, : layout.stride_px])


def _copy(tile: Array, at: tuple[int, int], window: Array) -> None:
    """Copy a tile [C, h, w] into a window at a row and column, which may lie outside the window."""
    (to_rows, from_rows), (to_columns, from_columns) = (
        _overlap(*side) for side in zip(at, tile.shape[1:], window.shape[1:], strict=True)
    )
    window[:, to_rows, to_columns] = tile[:, from_rows, from_columns]


def _overlap(start: int, length: int, whole: int) -> tuple[slice, slice]:
    low, high = max(start, 0), min(start + length, whole)
    return slice(low, high), slice(low - start, high - start)


def batches(items: Iterator[Window], size: int) -> Iterator[Sequence[Window]]:
    """The windows in batches with at most `size` that have observed pixels."""
    batch: list[Window] = []
    count = 0
    for window in items:
        if count == size:
            yield batch
            batch, count = [], 0
        batch.append(window)
        count += window.raw is not None
        if len(batch) >= 64 and count == 0:  # all empty: finished rows must not wait for them
            yield batch
            batch = []
    if batch:
        yield batch
