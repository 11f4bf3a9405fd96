"""Planet's masks of unusable pixels: UDM (bits) and UDM2 (bands). Which of them make a pixel unusable is config."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from snowcover.errors import UserError
from snowcover.prepare.raster import Raster
from snowcover.prepare.reprojection import Array, Grid
from snowcover.sensors.planetscope import UDM2_BANDS, UDM2_UNUSABLE


class WrongUdm(UserError):
    """A UDM does not lie on its scene's grid, or is no UDM."""


@dataclass(frozen=True)
class Udm:
    """A mask file and what in it makes a pixel unusable."""

    uri: str
    path: str
    bits: tuple[int, ...]
    bands: tuple[str, ...]
    is_udm2: bool
    crc32: int

    def usable(self, file: DatasetReader, window: Window) -> Array:
        """[H, W] uint8: 1 where none of the chosen bits or bands is set."""
        if not self.is_udm2:
            return _clear_of(file.read(1, window=window), self.bits)
        chosen = [UDM2_BANDS.index(name) for name in self.bands]
        flags = file.read([index + 1 for index in chosen if index != UDM2_UNUSABLE] or [1], window=window)
        usable = (flags == 0).all(axis=0) if set(chosen) - {UDM2_UNUSABLE} else np.ones(flags.shape[1:], bool)
        if UDM2_UNUSABLE in chosen:
            usable &= _clear_of(file.read(UDM2_UNUSABLE + 1, window=window), self.bits).astype(bool)
        return usable.astype(np.uint8)


def _clear_of(flags: Array, bits: Sequence[int]) -> Array:
    chosen = np.uint8(reduce(or_, (1 << bit for bit in bits), 0))
    clear: Array = (flags.astype(np.uint8) & chosen) == 0
    return clear.astype(np.uint8)


def check(raster: Raster, scene: Raster, bits: Sequence[int], bands: Sequence[str]) -> Udm:
    """The mask of a scene.

    Raises: WrongUdm
    """
    if raster.bands not in (1, len(UDM2_BANDS)):
        raise WrongUdm(
            f"{raster.uri} has {raster.bands} bands; a UDM has 1 and a UDM2 {len(UDM2_BANDS)}: "
            "name the right file with udm.file, or set udm.use=false."
        )
    if raster.dtype not in ("uint8", "uint16"):
        raise WrongUdm(
            f"{raster.uri} holds {raster.dtype} pixels; the flags of a UDM are whole numbers without a sign: name the "
            "right file with udm.file, or set udm.use=false."
        )
    names = [name for name in raster.pixels.names if name in UDM2_BANDS]
    if raster.bands > 1 and names != sorted(names, key=UDM2_BANDS.index):
        raise WrongUdm(
            f"{raster.uri} has its bands in another order than a UDM2 ({', '.join(names)}): name the right file with "
            "udm.file, or set udm.use=false."
        )
    if not _same_place(raster.grid, scene.grid):
        raise WrongUdm(
            f"{raster.uri} ({raster.grid.width} x {raster.grid.height}) does not lie on the grid of "
            f"{scene.uri} ({scene.grid.width} x {scene.grid.height}): "
            "name the right file with udm.file, or set udm.use=false."
        )
    return Udm(raster.uri, raster.path, tuple(bits), tuple(bands), raster.bands > 1, raster.crc32)


def _same_place(a: Grid, b: Grid) -> bool:
    pixel = abs(b.transform.a) + abs(b.transform.b)
    return (a.width, a.height) == (b.width, b.height) and a.transform.almost_equals(b.transform, pixel / 1000)
