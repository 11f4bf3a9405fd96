"""Rasters as input of an evaluation: georeference, observed pixels, and values in metres."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from snowcover.errors import UserError
from snowcover.evaluate.align import Alignment, Read, aligned
from snowcover.prepare import raster
from snowcover.prepare.georeference import MissingGeoreference, grid_of
from snowcover.prepare.nodata import nodata_values, seen
from snowcover.prepare.pixels import Pixels, pixels_of
from snowcover.prepare.reprojection import Array, Grid
from snowcover.prepare.units import IN_METRES


class WrongRaster(UserError):
    """A raster does not hold what its key says."""


@dataclass(frozen=True)
class RasterFile:
    """A raster of one band on the local disk."""

    uri: str
    path: str
    grid: Grid
    pixels: Pixels
    nodata: tuple[float, ...]
    """values of unobserved pixels"""
    tags: Mapping[str, str]
    description: str

    @property
    def name(self) -> str:
        return raster.stem(self.uri)

    @contextmanager
    def opened(self) -> Iterator["OpenRaster"]:
        """The raster for one thread.

        Raises: BrokenRaster
        """
        with raster.opened(self.uri, self.path) as file:
            yield OpenRaster(self, file)


@dataclass(frozen=True)
class OpenRaster:
    """A raster opened by one thread."""

    of: RasterFile
    file: DatasetReader

    def read(self, window: Window) -> tuple[Array, Array]:
        """Stored numbers and where they are observed, both [h, w]."""
        stored = self.file.read(self.of.pixels.numbers[0], window=window)
        return stored, seen([stored], self.of.nodata, self.of.pixels.read_mask(self.file, window))


def inspect_raster(uri: str, scratch: str, crs: str | None, nodata: float | None = None) -> RasterFile:
    """The metadata of a raster; one in S3 is first copied to `scratch`.

    Args:
        crs: the coordinate reference system of a file without one, or with an impossible one.
        nodata: value of unobserved pixels besides the file's own.

    Raises:
        WrongRaster: it has several bands, or pixels that are not numbers.
        BrokenRaster, MissingGeoreference, StorageError
        UserError: what `pixels_of` raises.
    """
    Path(scratch).mkdir(parents=True, exist_ok=True)
    path = raster.local_file(uri, scratch)
    with raster.settings(), raster.opened(uri, path) as file:
        pixels = pixels_of(uri, file)
        if len(pixels.numbers) != 1:
            raise WrongRaster(f"{uri} has {len(pixels.numbers)} bands, but one is needed: write it to its own file.")
        if np.dtype(pixels.dtype).kind not in "iuf":
            raise WrongRaster(f"{uri} holds {pixels.dtype} pixels, which are not measurements: convert it first.")
        values = nodata_values(uri, pixels, nodata)
        number = pixels.numbers[0]
        tags = {**file.tags(), **file.tags(number)}
        return RasterFile(uri, path, _grid(uri, file, crs), pixels, values, tags, file.descriptions[number - 1] or "")


def _grid(uri: str, file: DatasetReader, crs: str | None) -> Grid:
    try:
        return grid_of(uri, file, None)
    except MissingGeoreference:
        if crs is None:
            raise
        return grid_of(uri, file, crs)


@dataclass(frozen=True)
class Metres:
    """A raster of heights in metres: of canopy, or of the ground."""

    file: RasterFile
    scale_m: float
    offset_m: float
    lowest_m: float
    highest_m: float
    """heights beyond these are untagged fill values"""

    @property
    def grid(self) -> Grid:
        return self.file.grid

    @contextmanager
    def opened(self) -> Iterator[Read]:
        """A function that reads a window as metres [1, H, W] float32 and the known mask [H, W] bool, for one thread.

        Raises:
            BrokenRaster
        """
        with self.file.opened() as file:

            def read(window: Window) -> tuple[Array, Array]:
                stored, known = file.read(window)
                metres = stored.astype(np.float32)
                if (self.scale_m, self.offset_m) != (1, 0):
                    metres = metres * np.float32(self.scale_m) + np.float32(self.offset_m)
                known &= (metres >= self.lowest_m) & (metres <= self.highest_m)
                return metres[None], known

            yield read


def heights(key: str, file: RasterFile, lowest_m: float, highest_m: float) -> Metres:
    """A raster in metres, by its scale, offset and unit.

    Raises: WrongRaster
    """
    units, (scale,), (offset,) = file.pixels.units, file.pixels.scales, file.pixels.offsets
    unit = units[0] if units else "m"
    if len(units) > 1 or unit not in IN_METRES:
        raise WrongRaster(f"{key}={file.uri} gives its heights the unit {' and '.join(units)}: convert them to metres.")
    return Metres(file, scale * IN_METRES[unit], offset * IN_METRES[unit], lowest_m, highest_m)


def aligned_metres(read: Read, alignment: Alignment, window: Window) -> Array:
    """Heights [H, W] in a window of the target, NaN where unobserved: means of a finer raster, bilinear interpolation
    of a coarser one (cell values would give steps)."""
    own: Array = aligned(read, alignment, window, 1)[0]
    if alignment.is_finer or np.isnan(own).all():
        return own
    columns, rows = window.col_off + np.arange(window.width) + 0.5, window.row_off + np.arange(window.height) + 0.5
    x, y = (np.nan_to_num(places - 0.5, nan=-9, posinf=-9, neginf=-9) for places in alignment.at(columns, rows))
    source = alignment.source
    left, top = max(0, int(x.min()) - 1), max(0, int(y.min()) - 1)
    right, bottom = min(source.width, int(x.max()) + 3), min(source.height, int(y.max()) + 3)
    values, known = read(Window(left, top, right - left, bottom - top))
    at_x, at_y = (np.broadcast_to(places, own.shape).astype(np.float32) for places in (x - left, y - top))
    total, weight = (
        cv2.remap(layer, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        for layer in (np.where(known, values[0], 0), known.astype(np.float32))
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.isnan(own), own, total / weight)
