"""Imagery as it is read: which pixels are observed, what its bands are called, what its numbers mean."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Literal

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from snowcover.errors import UserError
from snowcover.prepare.positions import Array, Grid
from snowcover.prepare.raster import Raster
from snowcover.prepare.udm import Udm

Quantity = Literal["surface reflectance", "TOA radiance", "TOA reflectance", "unknown"]
DTYPES = ("uint8", "uint16", "int16", "float32")  # what warp can average without loss
REFLECTANCE_SCALE = 10000  # Planet's, of surface reflectance: 1 is stored as 10000

_PLANET_ANALYTIC = re.compile(r"_AnalyticMS(_SR)?(_|$)")


class UnknownBands(UserError):
    """A scene has bands that nobody named."""


class WrongType(UserError):
    """A scene's pixels are of a type that is no imagery."""


class MixedQuantities(UserError):
    """Radiance and reflectance in one command: the same number would mean two things."""


@dataclass
class SceneSource:
    """A scene opened by one thread; see warp.Source."""

    file: DatasetReader
    grid: Grid
    nodata: float
    udm: Udm | None = None
    udm_file: DatasetReader | None = None
    smooth: bool = True

    @property
    def bands(self) -> int:
        return int(self.file.count)

    @property
    def dtype(self) -> str:
        return str(self.file.dtypes[0])

    def read(self, window: Window) -> tuple[Array, Array]:
        """Values [H, W, C], 0 where no band is observed or the UDM says unusable, and valid [H, W] uint8."""
        values = np.ascontiguousarray(np.moveaxis(self.file.read(window=window), 0, 2))
        valid = observed(values, self.nodata)
        if self.udm is not None and self.udm_file is not None:
            valid &= self.udm.usable(self.udm_file, window)
        if not valid.all():
            values[valid == 0] = 0
        return np.nan_to_num(values, copy=False) if values.dtype.kind == "f" else values, valid


def observed(values: Array, nodata: float) -> Array:
    """[H, W] uint8: 1 where any band of [H, W, C] is not nodata; one dark band alone is a measurement."""
    bands = (values[..., band] for band in range(values.shape[2]))  # several times quicker than any(axis=2)
    found: Array = reduce(or_, (~np.isnan(band) if np.isnan(nodata) else band != nodata for band in bands))
    return found.view(np.uint8)


def band_names(raster: Raster, fallback: Sequence[str]) -> tuple[str, ...]:
    """The file's own band names, else `fallback`, which PlanetScope's four-band files need.

    Raises: UnknownBands
    """
    if raster.names and all(raster.names):
        return tuple(str(name) for name in raster.names)
    if len(fallback) == raster.bands:
        return tuple(fallback)
    raise UnknownBands(
        f"{raster.uri} has {raster.bands} bands without names, bands names {len(fallback)} ({', '.join(fallback)}): "
        "name them in the file's order, bands=[...]."
    )


def check_type(raster: Raster) -> None:
    """Raises: WrongType"""
    if raster.dtype not in DTYPES:
        raise WrongType(
            f"{raster.uri} holds {raster.dtype} pixels, imagery is expected as {', '.join(DTYPES)}: convert it first."
        )


def quantity(name: str) -> Quantity:
    """What a scene's numbers mean, by Planet's file names."""
    match = _PLANET_ANALYTIC.search(name)
    if match is None:
        return "unknown"
    return "surface reflectance" if match.group(1) else "TOA radiance"


def refuse_mixture(names: Sequence[str], converts: bool) -> None:
    """Raises: MixedQuantities"""
    kinds = {quantity(name): name for name in names}
    if "TOA radiance" in kinds and "surface reflectance" in kinds and not converts:
        raise MixedQuantities(
            f"{kinds['TOA radiance']} holds radiance at the top of the atmosphere and {kinds['surface reflectance']} "
            "surface reflectance: tile them apart, or set radiance=reflectance to convert the first kind."
        )


def nodata_of(raster: Raster, fallback: float | None) -> float:
    """The file's nodata value, else `fallback`, else 0: beyond a scene's edge a tile has to say so somehow."""
    found = raster.nodata if raster.nodata is not None else fallback
    return 0.0 if found is None else found


def true_colour(names: Sequence[str]) -> tuple[int, ...]:
    """Indices of red, green and blue by name, else of the first three bands, of a single band alone."""
    lower = [name.lower() for name in names]
    if {"red", "green", "blue"} <= set(lower):
        return tuple(lower.index(name) for name in ("red", "green", "blue"))
    return (2, 1, 0) if len(names) >= 3 else (0,)
