"""The windows of a scene as a network takes them: cut from the tiles that it would have been trained on."""

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

Read = tuple[int, int, Array | None]  # row and column of a tile; raw [C, H, W], None where nothing is observed
Opener = Callable[[], AbstractContextManager[Source]]
CACHED_TILES = 12  # three rows of three, and what comes next: the oldest go first, used again or not


@dataclass(frozen=True)
class Window:
    """One window, in its place among the others."""

    row: int
    column: int
    raw: Array | None
    """[C, window_px, window_px] stored numbers, 0 in all bands where unobserved; None where nothing of it counts"""
    observed: Array | None
    """[stride_px, stride_px] bool, of what this window completes: the core's size, moved up and left by the ramp"""
    layers: Array | None = None
    """[L, window_px, window_px] float32, NaN where there are no data; None of networks without layers"""


def windows(opener: Opener, bands: int, dtype: str, plan: Plan, readers: int) -> Iterator[Window]:
    """All windows of the plan, row by row. The tiles are resampled once, by threads, and wait on the disk."""
    openers = [lambda: _reading(opener, plan)] * readers
    read = in_order(openers, plan.tiles(), 4 * readers)
    try:
        with cells((bands, plan.tile_size, plan.tile_size), dtype) as store:
            arriving = _Tiles(read, store)
            for row in plan.rows:
                for column in plan.columns:
                    yield _cut(plan, row, column, arriving)
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
    """Tiles by row and column, each read once and kept until its row is forgotten."""

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


def _cut(plan: Plan, row: int, column: int, tiles: _Tiles) -> Window:
    how, size = plan.layout, plan.tile_size
    left, top = (edge - how.context_px for edge in plan.core(row, column))
    raw: Array | None = None
    for tile_row in range(top // size, -(-(top + how.window_px) // size)):
        for tile_column in range(left // size, -(-(left + how.window_px) // size)):
            tile = tiles.get(tile_row, tile_column)
            if tile is None:
                continue
            if raw is None:
                raw = np.zeros((len(tile), how.window_px, how.window_px), tile.dtype)
            _copy(tile, (tile_row * size - top, tile_column * size - left), raw)
    if raw is None:
        return Window(row, column, None, None)
    start = how.context_px - how.ramp_px
    seen: Array = (raw[:, start : start + how.support_px, start : start + how.support_px] != 0).any(axis=0)
    if not seen.any():
        return Window(row, column, None, None)
    return Window(row, column, raw, seen[: how.stride_px, : how.stride_px])


def _copy(tile: Array, at: tuple[int, int], window: Array) -> None:
    """Lay a tile [C, h, w] into a window at a row and column, which may lie outside of it."""
    (to_rows, from_rows), (to_columns, from_columns) = (
        _overlap(*one) for one in zip(at, tile.shape[1:], window.shape[1:], strict=True)
    )
    window[:, to_rows, to_columns] = tile[:, from_rows, from_columns]


def _overlap(start: int, length: int, whole: int) -> tuple[slice, slice]:
    low, high = max(start, 0), min(start + length, whole)
    return slice(low, high), slice(low - start, high - start)


def batches(items: Iterator[Window], size: int) -> Iterator[Sequence[Window]]:
    """The windows in lists that hold at most `size` to be mapped."""
    batch: list[Window] = []
    count = 0
    for window in items:
        if count == size:
            yield batch
            batch, count = [], 0
        batch.append(window)
        count += window.raw is not None
        if len(batch) >= 64 and count == 0:  # of nothing: what is finished is not to wait for them
            yield batch
            batch = []
    if batch:
        yield batch
