"""Snow depth -> mask: 1 snow, 0 no snow, 255 unobserved."""

from dataclasses import dataclass, field

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from snowcover.errors import UserError
from snowcover.labels import BARE, SNOW, UNOBSERVED
from snowcover.prepare.nodata import seen
from snowcover.prepare.pixels import Pixels
from snowcover.prepare.raster import Raster
from snowcover.prepare.reprojection import Array, Grid


class WrongCollect(UserError):
    """A raster given as a collect is neither snow depth nor a mask."""


@dataclass(frozen=True)
class Rule:
    """Which depths are snow, and which are out of range."""

    nodata: float | None
    """in stored numbers"""
    threshold_m: float
    lowest_m: float
    highest_m: float
    is_mask: bool = False
    scale_m: float = 1.0
    offset_m: float = 0.0
    """depth in metres = stored number * scale_m + offset_m"""
    other_nodata: tuple[float, ...] = ()
    """further values of unobserved pixels"""

    def mask(self, values: Array, dataset_mask: Array | None = None) -> tuple[Array, int]:
        """Mask uint8 of stored depths or mask values, any shape, and how many depths were out of range.

        `dataset_mask`, of the same shape, is 0 where the file's own mask says unobserved.
        """
        known = self.known(values, dataset_mask)
        if self.is_mask:
            return _as_mask(values, known), 0
        metres = self.metres(values)
        in_range = known & (metres >= self.lowest_m) & (metres <= self.highest_m)
        mask = np.full(values.shape, UNOBSERVED, np.uint8)
        np.copyto(mask, metres >= self.threshold_m, where=in_range, casting="unsafe")
        return mask, _count(known) + self._infinite(values, dataset_mask) - _count(in_range)

    def known(self, values: Array, dataset_mask: Array | None = None) -> Array:
        """Where stored numbers are observed, bool."""
        return seen([values], self.all_nodata, dataset_mask)

    @property
    def all_nodata(self) -> tuple[float, ...]:
        return self.other_nodata if self.nodata is None else (self.nodata, *self.other_nodata)

    def metres(self, values: Array) -> Array:
        """Depths in metres, as float32, so that 0.1 m stored as 10 cm is not less than 0.1 m."""
        if (self.scale_m, self.offset_m) == (1, 0):
            return values
        return (values * np.float64(self.scale_m) + self.offset_m).astype(np.float32)

    def _infinite(self, values: Array, dataset_mask: Array | None) -> int:
        """How many depths are infinite: unobserved, and out of range unless infinity is the file's nodata value."""
        if values.dtype.kind != "f" or (self.nodata is not None and np.isinf(self.nodata)):
            return 0
        infinite = np.isinf(values)
        return _count(infinite if dataset_mask is None else infinite & (dataset_mask != 0))


def _count(where: Array) -> int:
    return int(np.count_nonzero(where))


def _as_mask(values: Array, known: Array) -> Array:
    mask = np.full(values.shape, UNOBSERVED, np.uint8)
    mask[known & (values == SNOW)] = SNOW
    mask[known & (values == BARE)] = BARE
    return mask


def read_mask(file: DatasetReader, pixels: Pixels, rule: Rule, window: Window) -> tuple[Array, int]:
    """The mask [H, W] of a window of a collect, and how many of its depths were out of range."""
    return rule.mask(file.read(pixels.numbers[0], window=window), pixels.read_mask(file, window))


@dataclass
class CollectSource:
    """A collect opened by one thread, read as a mask; see warp.Source."""

    file: DatasetReader
    grid: Grid
    pixels: Pixels
    rule: Rule
    bands: int = field(default=1, init=False)
    dtype: str = field(default="uint8", init=False)
    nodata: float = field(default=UNOBSERVED, init=False)
    continuous: bool = field(default=False, init=False)

    def read(self, window: Window) -> tuple[Array, Array]:
        """The mask [H, W, 1] and where it is observed, [H, W] uint8."""
        mask, _ = read_mask(self.file, self.pixels, self.rule, window)
        return mask[..., None], (mask != UNOBSERVED).astype(np.uint8)


def check(raster: Raster) -> None:
    """Raises: WrongCollect"""
    if raster.bands != 1:
        raise WrongCollect(
            f"{raster.uri} has {raster.bands} bands; a collect has one, of snow depth in metres or of 0 and 1: "
            "is it imagery, to be given as scenes=...?"
        )
    if np.dtype(raster.dtype).kind not in "iuf":
        raise WrongCollect(f"{raster.uri} holds {raster.dtype} pixels, which cannot be snow depths: convert it first.")
