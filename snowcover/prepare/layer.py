"""A raster without a date -> a layer: its values as float32 and, for an elevation, slope and aspect."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from snowcover.data.layer_names import ELEVATION, TERRAIN_BANDS
from snowcover.data.terrain import terrain_bands
from snowcover.data.tiles import Tile, bounds
from snowcover.errors import UserError
from snowcover.prepare import fill, raster
from snowcover.prepare.nodata import nodata_values, seen
from snowcover.prepare.pixels import Pixels
from snowcover.prepare.raster import Raster
from snowcover.prepare.reprojection import Array, Grid
from snowcover.prepare.units import IN_METRES
from snowcover.prepare.warp import Source, warp_box

LOWEST_M, HIGHEST_M = -500.0, 9000.0  # of the land


class WrongLayerRaster(UserError):
    """A raster given as a layer has several bands, or is not the elevation that it should be."""


@dataclass
class LayerSource:
    """A raster opened by one thread, read in physical units; see warp.Source."""

    uri: str
    file: DatasetReader
    grid: Grid
    pixels: Pixels
    unobserved: tuple[float, ...]
    scale: float
    offset: float
    """physical value = stored number * scale + offset"""
    is_elevation: bool
    bands: int = field(default=1, init=False)
    dtype: str = field(default="float32", init=False)
    nodata: float = field(default=math.nan, init=False)
    continuous: bool = field(default=True, init=False)

    def read(self, window: Window) -> tuple[Array, Array]:
        """Values [H, W, 1] float32, 0 where unobserved, and where they are observed, [H, W] uint8.

        An elevation is NaN where unobserved and on the raster's edge, and is returned as observed everywhere, so that
        samples between known and unknown pixels are unknown. A mean over the known pixels alone would distort the
        terrain there, and the slopes derived from it.

        Raises: WrongLayerRaster: an elevation beyond LOWEST_M or HIGHEST_M.
        """
        stored = self.file.read(self.pixels.numbers[0], window=window)
        valid = seen([stored], self.unobserved, self.pixels.read_mask(self.file, window))
        values = np.where(valid, stored * np.float64(self.scale) + self.offset, 0).astype(np.float32)
        if self.is_elevation:
            if valid.any():
                self._refuse_out_of_range(values[valid])
            values[~(valid & self._inside(window))] = np.nan
            valid[:] = True
        return values[..., None], valid.view(np.uint8)

    def _inside(self, window: Window) -> Array:
        """[H, W] bool: pixels of a window that are not on the raster's edge."""
        rows = window.row_off + np.arange(window.height)
        columns = window.col_off + np.arange(window.width)
        inner = ((at > 0) & (at < length - 1) for at, length in ((rows, self.grid.height), (columns, self.grid.width)))
        return np.logical_and.outer(*inner)

    def _refuse_out_of_range(self, metres: Array) -> None:
        for elevation_m in (float(metres.min()), float(metres.max())):
            if not LOWEST_M <= elevation_m <= HIGHEST_M:
                raise WrongLayerRaster(
                    f"{self.uri} holds an elevation of {elevation_m:.9g} m, which no land has: give "
                    f"nodata={elevation_m:.9g} if nothing was observed there, correct its scale or unit, or give it "
                    "another name (layer_name=...)."
                )


@dataclass(frozen=True)
class LayerRaster:
    """A raster on the local disk, with everything needed to read it as a layer."""

    raster: Raster
    name: str
    unobserved: tuple[float, ...]
    scale: float
    offset: float

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of its tiles' bands."""
        return TERRAIN_BANDS if self.name == ELEVATION else (self.name,)

    @contextmanager
    def opened(self) -> Iterator[LayerSource]:
        """Raises: BrokenRaster"""
        found = self.raster
        with raster.opened(found.uri, found.path) as file:
            yield LayerSource(
                found.uri, file, found.grid, found.pixels, self.unobserved, self.scale, self.offset,
                self.name == ELEVATION,
            )  # fmt: skip


def inspect(found: Raster, name: str, nodata: float | None) -> LayerRaster:
    """Raises: WrongLayerRaster, WrongNodata, UntaggedFill"""
    pixels = found.pixels
    if found.bands != 1:
        raise WrongLayerRaster(
            f"{found.uri} has {found.bands} bands; a layer is made of one: extract it (gdal_translate -b 1), and make "
            "a layer of its own for each of the others."
        )
    if np.dtype(found.dtype).kind not in "iuf" or pixels.is_palette:
        raise WrongLayerRaster(f"{found.uri} holds no measurements ({found.dtype}): give a raster of numbers.")
    unobserved = nodata_values(found.uri, pixels, nodata)
    if name != ELEVATION:  # elevations are checked by their range
        with raster.settings(), raster.opened(found.uri, found.path) as file:
            fill.check_layer(found.uri, file, pixels, unobserved, nodata)
    metres = _in_metres(found) if name == ELEVATION else 1.0
    return LayerRaster(found, name, unobserved, pixels.scales[0] * metres, pixels.offsets[0] * metres)


def _in_metres(found: Raster) -> float:
    units = found.pixels.units
    if not units:
        return 1.0
    if len(units) > 1 or units[0] not in IN_METRES:
        raise WrongLayerRaster(
            f"{found.uri} says that its elevations are in {', '.join(units)}: correct the unit in the file "
            "(gdal_edit.py -units m), or convert them to metres."
        )
    return IN_METRES[units[0]]


def terrain(source: Source, tile: Tile, size_px: int) -> tuple[Array, Array]:
    """TERRAIN_BANDS of a tile [size_px, size_px, 4], NaN where any of them is unknown; and where all are known.

    The elevation is sampled one pixel beyond the tile, so that slopes are continuous across its edges.
    """
    left, bottom, right, top = bounds(tile)
    pixel = (right - left) / size_px
    around = left - pixel, bottom - pixel, right + pixel, top + pixel
    values, observed = warp_box(source, around, size_px + 2)
    if not observed.any():
        return np.full((size_px, size_px, len(TERRAIN_BANDS)), np.nan, np.float32), np.zeros((size_px,) * 2, np.uint8)
    bands = np.moveaxis(terrain_bands(values[..., 0], tile), 0, 2)
    known: Array = np.asarray(np.isfinite(bands).all(axis=2))
    bands[~known] = np.nan
    return bands, known.view(np.uint8)
