"""Maps a scene with models of one grid: windows are read, mapped, blended and averaged to the map's grid."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from rasterio.windows import Window as RasterWindow

from snowcover.data.layers import LayerReader
from snowcover.models.mapper import SnowMapper
from snowcover.predict import plan, resample, windows
from snowcover.predict.blend import Blender
from snowcover.predict.cells import Cells, cells
from snowcover.predict.device_process import process_of
from snowcover.predict.layers import WindowLayers, reader_of
from snowcover.predict.members import D4, GPU_BATCH, Conversion, Members
from snowcover.predict.observed_mask import ObservedMask
from snowcover.predict.plan import Layout, Plan
from snowcover.predict.prefetch import in_order, prefetched
from snowcover.predict.resample import Mosaic, Part, PlanPositions
from snowcover.predict.windows import Window
from snowcover.prepare import raster
from snowcover.prepare.reprojection import Array, Grid
from snowcover.prepare.warp import Source
from snowcover.trained_model import TrainedModel

if TYPE_CHECKING:
    from snowcover.predict.mapping import SceneSource

READERS = min(4, os.cpu_count() or 1)
SAMPLERS = min(2, os.cpu_count() or 1)
UNIFORM_PX = 64  # side of the uniform tile that replaces an isolated observed pixel
UNIFORM_BATCH = 16

WindowPrediction = tuple[Window, Array | None]


@dataclass(frozen=True)
class Group:
    """Models that take the same input in the same grid."""

    models: tuple[TrainedModel, ...]
    flips: bool
    conversion: Conversion | None
    plan: Plan | None
    """None if the scene lies beyond Web Mercator"""
    layers: LayerReader | None = None

    @property
    def bands(self) -> tuple[str, ...]:
        return self.models[0].bands

    @property
    def members(self) -> int:
        return len(self.models) * (len(D4) if self.flips else 1)

    @property
    def window_count(self) -> int:
        return len(self.plan.rows) * len(self.plan.columns) if self.plan else 0


def groups_of(
    source: SceneSource, models: Sequence[TrainedModel], flips: bool, layout: Layout | None = None
) -> list[Group]:
    """The models grouped by their input, in their order."""
    groups: dict[object, list[TrainedModel]] = {}
    for model in models:
        conversion = source.conversion(model)
        numbers = conversion and tuple(tuple(map(float, part)) for part in conversion)
        layers = tuple(model.layers.items())
        key = (model.zoom, model.tile_size, model.bands, numbers, layers, _takes_margins(model.mapper, model.tile_size))
        groups.setdefault(key, []).append(model)
    return [_group(source, same, flips, layout) for same in groups.values()]


def _group(source: SceneSource, models: Sequence[TrainedModel], flips: bool, layout: Layout | None) -> Group:
    first = models[0]
    own = (
        plan.layout_with_margin(plan.core_px(first.tile_size))
        if _takes_margins(first.mapper, first.tile_size)
        else plan.layout_of_tile_size(first.tile_size)
    )
    found = plan.plan(source.grid, first.zoom, first.tile_size, layout or own)
    return Group(tuple(models), flips, source.conversion(first), found, reader_of(first.layers))


@lru_cache(maxsize=64)
def _takes_margins(mapper: SnowMapper, tile_size: int) -> bool:
    """Whether a network accepts windows larger than a tile; one made for a single size does not."""
    side = plan.layout_with_margin(plan.core_px(tile_size)).window_px
    try:
        with torch.inference_mode():
            return mapper.logits(torch.zeros(1, mapper.channels, side, side)).shape[-2:] == (side, side)
    except Exception:  # whatever a foreign network raises
        return False


def map_group(
    source: SceneSource, grid: Grid, group: Group, devices: Sequence[torch.device], on_window: Callable[[int], None]
) -> Iterator[tuple[int, Array]]:
    """Yields bands of rows of the map: first row and [K, H, width] float32 (mean; spread of several members)."""
    if group.plan is None:
        yield from _empty(grid, group)
        return
    run = _Run(source, grid, group, group.plan, devices)
    yield from run.rows(on_window)


def _empty(grid: Grid, group: Group) -> Iterator[tuple[int, Array]]:
    height = resample.band_rows(grid, (1.0, 1.0))
    for row in range(0, grid.height, height):
        shape = 1 if group.members == 1 else 2, min(height, grid.height - row), grid.width
        yield row, np.full(shape, np.nan, np.float32)


class _Run:
    """Maps one scene with one group."""

    def __init__(
        self, source: SceneSource, grid: Grid, group: Group, plan: Plan, devices: Sequence[torch.device]
    ) -> None:
        self._source, self._grid, self._group, self._plan, self._devices = source, grid, group, plan, devices
        self._opener: windows.Opener = partial(source.open, group.bands)
        self._positions = PlanPositions(grid, plan)
        self._seen = ObservedMask(grid.height) if grid == source.grid else None

    def rows(self, on_window: Callable[[int], None]) -> Iterator[tuple[int, Array]]:
        with cells(self._block_shape, np.float32) as blocks:
            mosaic = Mosaic(self._plan, blocks, self._block_shape[0])
            predictions = self._predictions()
            bands = self._ready(predictions, blocks, mosaic, on_window)
            rows = in_order([partial(self._sampling, mosaic)] * SAMPLERS, bands, SAMPLERS + 1)
            try:
                yield from rows
            finally:
                rows.close()  # type: ignore[attr-defined]

    @property
    def _block_shape(self) -> tuple[int, int, int]:
        return 1 if self._group.members == 1 else 2, self._plan.layout.stride_px, self._plan.layout.stride_px

    def _predictions(self) -> Iterator[list[WindowPrediction]]:
        """The networks' predictions for the windows, row by row."""
        dtype = self._dtype()
        stream = windows.windows(self._opener, len(self._group.bands), dtype, self._plan, READERS)
        if self._group.layers is not None:
            of_layers = WindowLayers(self._group.layers, self._plan, self._source.name)
            of_layers.check()
            stream = of_layers.with_layers(stream)
        size = GPU_BATCH if self._devices[0].type == "cuda" else 1
        batches = prefetched(windows.batches(stream, size), 2 * len(self._devices))
        return in_order([partial(self._mapping, device) for device in self._devices], batches, 2 * len(self._devices))

    def _dtype(self) -> str:
        with raster.settings(), self._opener() as source:
            return source.dtype

    @contextmanager
    def _mapping(self, device: torch.device) -> Iterator[Callable[[Sequence[Window]], list[WindowPrediction]]]:
        if len(self._devices) == 1:
            yield self._members(device).map
        else:
            group = self._group
            yield partial(process_of(device).map, self._mappers, group.flips, self._plan.layout, group.conversion)

    @property
    def _mappers(self) -> list[SnowMapper]:
        return [model.mapper for model in self._group.models]

    def _members(self, device: torch.device) -> Members:
        return Members(self._mappers, self._group.flips, self._plan.layout, device, self._group.conversion)

    def _ready(
        self,
        predictions: Iterator[list[WindowPrediction]],
        blocks: Cells,
        mosaic: Mosaic,
        on_window: Callable[[int], None],
    ) -> Iterator[range]:
        """Bands of rows of the map, each as soon as the part of the mosaic that it needs is finished."""
        waiting = self._bands()
        first_needed = list(np.minimum.accumulate([low for _, low, _ in reversed(waiting)]))[::-1]
        done = 0
        for finished_before in self._finished(predictions, blocks, on_window):
            while done < len(waiting) and waiting[done][2] < finished_before:
                yield waiting[done][0]
                done += 1
                oldest = first_needed[max(0, done - SAMPLERS - 2)]  # bands still being sampled need theirs, too
                if np.isfinite(oldest):
                    blocks.discard_before(mosaic.row_of(oldest) - 1)
        for band, _, _ in waiting[done:]:
            yield band

    def _bands(self) -> list[tuple[range, float, float]]:
        """All bands of rows, each with the first and last row of the mosaic that it needs."""
        height = resample.band_rows(self._grid, self._positions.span)
        starts = range(0, self._grid.height, height)
        bands = [range(start, min(start + height, self._grid.height)) for start in starts]
        return [(band, *resample.needed_rows(self._positions, self._grid, band)) for band in bands]

    def _finished(
        self, predictions: Iterator[list[WindowPrediction]], blocks: Cells, on_window: Callable[[int], None]
    ) -> Iterator[float]:
        """Blends the predictions; yields the row above which the mosaic is finished."""
        blender, row = Blender(self._plan.layout), self._plan.rows.start
        try:
            for batch in predictions:
                for window, prediction in batch:
                    if window.row != row:
                        row = window.row
                        yield self._plan.core(row, 0)[1] - self._plan.layout.ramp_px
                    block = blender.add(window.row, window.column, prediction)
                    if block is not None and window.observed is not None and window.observed.any():
                        block[:, ~window.observed] = np.nan
                        blocks.put(window.row, window.column, block)
                on_window(len(batch) * len(self._group.models))
        finally:
            predictions.close()  # type: ignore[attr-defined]

    @contextmanager
    def _sampling(self, mosaic: Mosaic) -> Iterator[Callable[[range], tuple[int, Array]]]:
        """A function that averages a band of rows to the map's grid, for one thread."""
        with raster.settings(), self._opener() as source:

            def sampled(band: range) -> tuple[int, Array]:
                parts = [self._part(mosaic, source, part) for part in resample.parts(self._grid, band)]
                return band.start, np.concatenate(parts, axis=2)

            yield sampled

    def _part(self, mosaic: Mosaic, source: Source, part: Part) -> Array:
        """[K, H, W] of a part of the map, NaN exactly where unobserved."""
        if self._seen is None:
            found = resample.sample(mosaic, self._positions, part, None)
            found.values[:, found.share < 0.5] = np.nan
            return found.values
        seen = self._seen.of(source, part)
        found = resample.sample(mosaic, self._positions, part, seen)
        result = np.where(np.isfinite(found.values[0]), found.values, found.nearest)
        result[:, ~seen] = np.nan
        isolated = seen & ~np.isfinite(result[0])
        if isolated.any():
            values, _ = source.read(_window(part))
            result[:, isolated] = self._isolated(values[isolated])
        return result

    def _isolated(self, pixels: Array) -> Array:
        """[K, N] for pixels [N, C] without observed pixels around them: each is mapped as a uniform tile."""
        members = self._members(torch.device("cpu"))
        found = []
        for start in range(0, len(pixels), UNIFORM_BATCH):
            batch = pixels[start : start + UNIFORM_BATCH]
            tiles: Array = np.ascontiguousarray(
                np.broadcast_to(batch[:, :, None, None], (*batch.shape, UNIFORM_PX, UNIFORM_PX))
            )
            tiles[(tiles == 0).all(axis=1, keepdims=True).repeat(tiles.shape[1], axis=1)] = 1
            found.append(
                members.probabilities(tiles, self._no_layers(len(tiles)))[:, :, UNIFORM_PX // 2, UNIFORM_PX // 2].T
            )
        return np.concatenate(found, axis=1)

    def _no_layers(self, tiles: int) -> Array | None:
        """Layers [B, L, UNIFORM_PX, UNIFORM_PX] without data, for which the network uses their means."""
        layers = self._mappers[0].layers
        return np.full((tiles, layers, UNIFORM_PX, UNIFORM_PX), np.nan, np.float32) if layers else None


def _window(part: Part) -> RasterWindow:
    return RasterWindow(part.columns.start, part.rows.start, len(part.columns), len(part.rows))
