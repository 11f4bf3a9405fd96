"""Reads the reference window by window, with all other data aligned to it: see chunk.Chunk."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import numpy as np
from affine import Affine
from rasterio.windows import Window

from snowcover.data import gdal_warnings, terrain
from snowcover.evaluate import strata
from snowcover.evaluate.align import Alignment, Read
from snowcover.evaluate.chunk import Chunk
from snowcover.evaluate.distance import canopy_edge_m, halo_px, snow_edge_m
from snowcover.evaluate.exclude import OpenedExclusion
from snowcover.evaluate.products import OpenProduct
from snowcover.evaluate.rasters import aligned_metres
from snowcover.evaluate.reference import OpenReference
from snowcover.evaluate.site import Site
from snowcover.labels import UNOBSERVED
from snowcover.predict.area import pixel_steps_m
from snowcover.predict.prefetch import in_order
from snowcover.prepare import raster
from snowcover.prepare.reprojection import Array, Grid

Counted = TypeVar("Counted")
THREADS = 2
AHEAD = 2  # chunks started and not yet counted; bounds the memory


def chunks(site: Site, count: Callable[[Chunk], Counted]) -> Iterator[tuple[Chunk, Counted]]:
    """All windows in which the reference and a product are observed, in order.

    Args:
        count: called by threads for each chunk, in any order; its result is yielded with the chunk.

    Raises: BrokenRaster
    """
    made = in_order([lambda: _opened(site, count)] * THREADS, site.windows(), AHEAD)
    try:
        yield from (chunk for chunk in made if chunk is not None)
    finally:
        made.close()  # type: ignore[attr-defined]


@contextmanager
def _opened(
    site: Site, count: Callable[[Chunk], Counted]
) -> Iterator[Callable[[Window], tuple[Chunk, Counted] | None]]:
    """A function that makes chunks and counts them, for one thread."""
    with raster.settings(), gdal_warnings.taken(), ExitStack() as stack:
        maker = _ChunkMaker(site, stack)

        def make(window: Window) -> tuple[Chunk, Counted] | None:
            chunk = maker.make(window)
            return None if chunk is None else (chunk, count(chunk))

        yield make


class _ChunkMaker:
    """All files of a site opened by one thread."""

    def __init__(self, site: Site, stack: ExitStack) -> None:
        self._site = site
        self._names = {stratum.name for stratum in site.strata}
        self._halo = halo_px(site.pixel_m)
        self._reference: OpenReference = stack.enter_context(site.reference.opened())
        self._products: list[OpenProduct] = [stack.enter_context(product.opened()) for product in site.products]
        self._excluded: OpenedExclusion = stack.enter_context(site.exclusion.opened())
        self._canopy: Read | None = stack.enter_context(site.canopy.opened()) if site.canopy else None
        self._elevation: Read | None = stack.enter_context(site.elevation.opened()) if site.elevation else None

    def make(self, window: Window) -> Chunk | None:
        """The chunk of a window; None if the reference or all products are unobserved."""
        halo = self._halo
        around = Window(window.col_off - halo, window.row_off - halo, window.width + 2 * halo, window.height + 2 * halo)
        inner = np.s_[halo : halo + window.height, halo : halo + window.width]
        snow_around, depth_around = self._reference.read(around)
        if (snow_around[inner] == UNOBSERVED).all():
            return None
        read = [product.read(window) for product in self._products]
        if all(np.isnan(layers[0]).all() for layers, _ in read):
            return None
        snow = snow_around[inner].copy()
        snow[self._excluded.of(window)] = UNOBSERVED
        depth_m = None if depth_around is None else depth_around[inner]
        elevation_m, bins = self._of_terrain(around, inner)
        bins |= self._of_canopy(around, inner)
        bins |= self._of_reference(snow_around, depth_m, inner)
        bins |= self._of_scenes(read[0][1])
        names = [product.name for product in self._site.products]
        return Chunk(
            row=window.row_off, col=window.col_off,
            transform=self._site.grid.transform * Affine.translation(window.col_off, window.row_off),
            snow=snow, depth_m=depth_m,
            share={name: layers[0] for name, (layers, _) in zip(names, read, strict=True)},
            probability={name: layers[1] for name, (layers, _) in zip(names, read, strict=True) if len(layers) > 1},
            strata=bins, block=self._site.blocks.of(window), trained=self._trained(window), elevation_m=elevation_m,
        )  # fmt: skip

    def _trained(self, window: Window) -> Array:
        trained = self._site.trained
        return np.zeros((window.height, window.width), bool) if trained is None else trained.of(window)

    def _of_reference(self, snow: Array, depth_m: Array | None, inner: tuple[slice, slice]) -> dict[str, Array]:
        edge_m = snow_edge_m(snow, self._site.pixel_m)[inner]
        found = {strata.SNOW_EDGE.name: strata.bins_of(strata.SNOW_EDGE, edge_m)}
        if depth_m is not None:
            found[strata.SNOW_DEPTH.name] = strata.bins_of(strata.SNOW_DEPTH, depth_m)
        return found

    def _of_canopy(self, around: Window, inner: tuple[slice, slice]) -> dict[str, Array]:
        if self._canopy is None or self._site.canopy is None:
            return {}
        height_m = aligned_metres(self._canopy, Alignment(self._site.canopy.grid, self._site.grid), around)
        height_m = np.maximum(height_m, 0)  # lidar gives some negative heights
        edge_m = canopy_edge_m(height_m, self._site.pixel_m)[inner]
        return {
            strata.CANOPY_HEIGHT.name: strata.bins_of(strata.CANOPY_HEIGHT, height_m[inner]),
            strata.CANOPY_EDGE.name: strata.bins_of(strata.CANOPY_EDGE, edge_m),
        }

    def _of_terrain(self, around: Window, inner: tuple[slice, slice]) -> tuple[Array | None, dict[str, Array]]:
        """Elevation [H, W], and the bins of elevation, slope, aspect and illumination."""
        if self._elevation is None or self._site.elevation is None:
            return None, {}
        halo = self._halo - 1
        near = Window(around.col_off + halo, around.row_off + halo, around.width - 2 * halo, around.height - 2 * halo)
        elevation_m = aligned_metres(self._elevation, Alignment(self._site.elevation.grid, self._site.grid), near)
        steps_m = pixel_steps_m(_part_of(self._site.grid, near))
        inside = np.s_[1:-1, 1:-1]
        rise = terrain.Rise(*(component[inside] for component in terrain.rise_of(elevation_m, steps_m)))
        elevation_m = elevation_m[inside]
        found = {
            strata.ELEVATION.name: strata.bins_of(strata.ELEVATION, elevation_m),
            strata.SLOPE.name: strata.slope_bins(rise),
            strata.ASPECT.name: strata.aspect_bins(rise),
        }
        if self._site.sun_deg is not None:
            light = terrain.illumination(rise, *self._site.sun_deg)
            found[strata.ILLUMINATION.name] = strata.bins_of(strata.ILLUMINATION, light)
        return elevation_m, found

    def _of_scenes(self, of_file: Array) -> Mapping[str, Array]:
        if len(self._site.scenes) < 2:
            return {}
        found = {"scene": of_file}
        if strata.DATE_GAP.name in self._names:
            gaps = strata.bins_of(strata.DATE_GAP, np.array([*self._site.gaps_days, np.nan]))
            found[strata.DATE_GAP.name] = gaps[of_file]
        return found


def _part_of(grid: Grid, window: Window) -> Grid:
    moved = grid.transform * Affine.translation(window.col_off, window.row_off)
    return Grid(grid.crs, moved, window.width, window.height)
