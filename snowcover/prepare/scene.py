"""Imagery as it is read: which pixels are observed, and what its numbers mean."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from snowcover.errors import UserError
from snowcover.prepare.nodata import seen
from snowcover.prepare.pixels import Pixels
from snowcover.prepare.raster import Raster, stem
from snowcover.prepare.reprojection import Array, Grid
from snowcover.prepare.udm import Udm
from snowcover.sensors.planetscope import quantity

DTYPES = ("uint8", "uint16", "int16", "float32")  # what warp can average without loss


class UnknownBands(UserError):
    """A scene has bands that nobody named."""


class WrongType(UserError):
    """A scene's pixels are of a type that is no imagery."""


class MixedQuantities(UserError):
    """Radiance and reflectance in one command: the same number would mean two things."""


class MixedScales(UserError):
    """Scenes of different scale or offset in one command: the same number would mean two things."""


@dataclass
class SceneSource:
    """A scene opened by one thread; see warp.Source."""

    file: DatasetReader
    grid: Grid
    pixels: Pixels
    nodata: float
    """of the tiles"""
    unobserved: tuple[float, ...] = ()
    """what pixels of the file are equal to where nothing was observed"""
    udm: Udm | None = None
    udm_file: DatasetReader | None = None
    continuous: bool = True

    @property
    def bands(self) -> int:
        return len(self.pixels.numbers)

    @property
    def dtype(self) -> str:
        return self.pixels.dtype

    def read(self, window: Window) -> tuple[Array, Array]:
        """Values [H, W, C], 0 where not observed or the UDM says unusable, and valid [H, W] uint8."""
        bands = self.file.read(list(self.pixels.numbers), window=window)
        valid = seen(list(bands), self.unobserved, self.pixels.read_mask(self.file, window)).view(np.uint8)
        if self.udm is not None and self.udm_file is not None:
            valid &= self.udm.usable(self.udm_file, window)
        values = np.ascontiguousarray(np.moveaxis(bands, 0, 2))
        if not valid.all():
            values[valid == 0] = 0
        return values, valid


def check_type(raster: Raster) -> None:
    """Raises: WrongType"""
    if raster.dtype not in DTYPES:
        raise WrongType(
            f"{raster.uri} holds {raster.dtype} pixels, imagery is expected as {', '.join(DTYPES)}: convert it first."
        )
    if raster.pixels.is_palette:
        raise WrongType(
            f"{raster.uri} holds numbers of colours in a palette, no measurements: give the imagery it was made of."
        )


def refuse_mixture(names: Sequence[str], converts: bool) -> None:
    """Raises: MixedQuantities"""
    kinds = {quantity(name): name for name in names}
    if "TOA radiance" in kinds and "surface reflectance" in kinds and not converts:
        raise MixedQuantities(
            f"{kinds['TOA radiance']} holds radiance at the top of the atmosphere and {kinds['surface reflectance']} "
            "surface reflectance: tile them apart, or set radiance=reflectance to convert the first kind."
        )


def turns(name: str, radiance: str) -> bool:
    """Whether a scene of this name is turned into reflectance, by what `radiance` asks for."""
    return radiance == "reflectance" and quantity(name) == "TOA radiance"


class SameScales:
    """The scenes of one command, each held against the first."""

    def __init__(self, radiance: str) -> None:
        self.radiance = radiance
        self.first: tuple[str, frozenset[tuple[float, float]]] | None = None

    def check(self, uri: str, pixels: Pixels) -> None:
        """Raises: MixedScales"""
        own = frozenset(zip(pixels.scales, pixels.offsets, strict=True))
        found = uri, (frozenset({(1.0, 0.0)}) if turns(stem(uri), self.radiance) else own)
        self.first = self.first or found
        if found[1] != self.first[1]:
            raise MixedScales(
                f"{uri} has {_text(found[1])}, {self.first[0]} has {_text(self.first[1])}: one number would mean two "
                "things, so tile them apart."
            )


def _text(scales: Iterable[tuple[float, float]]) -> str:
    return " and ".join(f"scale {scale:g} with offset {offset:g}" for scale, offset in sorted(scales))
