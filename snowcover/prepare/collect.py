"""Snow depth -> mask: 1 snow, 0 no snow, 255 unobserved."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from snowcover.errors import UserError
from snowcover.prepare.positions import Array, Grid
from snowcover.prepare.raster import Raster

SNOW, BARE, UNOBSERVED = 1, 0, 255
STRIP_ROWS, STRIP_COLUMNS = 512, 16384  # read at once: 32 MB of float32


class WrongCollect(UserError):
    """A raster given as a collect is neither snow depth nor a mask."""


@dataclass(frozen=True)
class Rule:
    """What makes a pixel snow, and what makes a depth unbelievable."""

    nodata: float | None
    threshold_m: float
    lowest_m: float
    highest_m: float
    is_mask: bool = False

    def mask(self, values: Array) -> tuple[Array, int]:
        """Mask uint8 of depths (metres) or of mask values, any shape, and how many depths were absurd."""
        known = _known(values, self.nodata)
        if self.is_mask:
            return _of_mask(values, known), 0
        believed = known & (values >= self.lowest_m) & (values <= self.highest_m)  # False for NaN
        mask = np.full(values.shape, UNOBSERVED, np.uint8)
        np.copyto(mask, values >= self.threshold_m, where=believed, casting="unsafe")
        return mask, int(np.count_nonzero(known)) - int(np.count_nonzero(believed))


def _known(values: Array, nodata: float | None) -> Array:
    known = ~np.isnan(values) if values.dtype.kind == "f" else np.ones(values.shape, bool)
    return known if nodata is None or np.isnan(nodata) else known & (values != nodata)


def _of_mask(values: Array, known: Array) -> Array:
    mask = np.full(values.shape, UNOBSERVED, np.uint8)
    mask[known & (values == SNOW)] = SNOW
    mask[known & (values == BARE)] = BARE
    return mask


@dataclass
class CollectSource:
    """A collect opened by one thread, read as a mask; see warp.Source."""

    file: DatasetReader
    grid: Grid
    rule: Rule
    bands: int = field(default=1, init=False)
    dtype: str = field(default="uint8", init=False)
    nodata: float = field(default=UNOBSERVED, init=False)
    smooth: bool = field(default=False, init=False)

    def read(self, window: Window) -> tuple[Array, Array]:
        """The mask [H, W, 1] and where it is observed, [H, W] uint8."""
        mask, _ = self.rule.mask(self.file.read(1, window=window))
        return mask[..., None], (mask != UNOBSERVED).astype(np.uint8)


def check(raster: Raster) -> None:
    """Raises: WrongCollect"""
    if raster.bands != 1:
        raise WrongCollect(
            f"{raster.uri} has {raster.bands} bands; a collect has one, of snow depth in metres or of 0 and 1: "
            "is it imagery, to be given as scenes=...?"
        )


def is_mask(file: DatasetReader) -> bool:
    """Whether every observed value is 0 or 1 (or 255, in bytes), read until the first depth: then it is a mask."""
    return not any(_has_depth(file.read(1, window=window), file.nodata) for window in strips(file.width, file.height))


def _has_depth(values: Array, nodata: float | None) -> bool:
    plain = (values == SNOW) | (values == BARE)
    if values.dtype == np.uint8:
        plain |= values == UNOBSERVED
    return bool((_known(values, nodata) & ~plain).any())


def strips(width: int, height: int) -> Iterator[Window]:
    """Windows that cover a raster once, top to bottom, each small enough for the memory."""
    for row in range(0, height, STRIP_ROWS):
        for column in range(0, width, STRIP_COLUMNS):
            yield Window(column, row, min(STRIP_COLUMNS, width - column), min(STRIP_ROWS, height - row))
