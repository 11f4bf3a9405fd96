"""The pixel metadata of a raster file: type, names, scale and unit, and masks of unobserved pixels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader
from rasterio.windows import Window

from snowcover.data.bands import ALPHA, canonical, names_in_file
from snowcover.errors import UserError
from snowcover.prepare.reprojection import Array
from snowcover.prepare.units import unit_of


class SeveralImages(UserError):
    """A file holds several rasters, or none."""


class MixedBands(UserError):
    """The bands of one file differ in type or nodata value."""


class WrongScale(UserError):
    """A file's scale or offset is not a usable number."""


@dataclass(frozen=True)
class Pixels:
    """The data bands of a file: all but its alpha band, which is a mask."""

    numbers: tuple[int, ...]
    """band numbers in the file, from 1"""
    dtype: str
    nodata: float | None
    """as tagged in the file"""
    names: tuple[str, ...]
    """canonical names, from band descriptions, else from colour interpretation; "" if the file has neither"""
    described: tuple[bool, ...]
    """whether the name comes from a description"""
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    """physical value = stored number * scale + offset"""
    units: tuple[str, ...]
    """all units that the file gives the first band, in their shortest spelling; empty if none"""
    is_palette: bool
    alpha: int | None
    """number of the alpha band"""
    masked: tuple[int, ...]
    """numbers of the bands whose mask (internal or .msk) is read; a single one if the mask is for the whole dataset"""

    @property
    def has_mask(self) -> bool:
        """Whether the file itself has a mask of observed pixels."""
        return self.alpha is not None or bool(self.masked)

    @property
    def is_scaled(self) -> bool:
        return any(scale != 1 for scale in self.scales) or any(self.offsets)

    def read_mask(self, file: DatasetReader, window: Window) -> Array | None:
        """[H, W], 0 where the file's own masks say unobserved; None if it has no mask."""
        mask: Array | None = file.read(self.alpha, window=window) != 0 if self.alpha else None
        if self.masked:
            inner = file.read_masks(list(self.masked), window=window).all(axis=0)
            mask = inner if mask is None else mask & inner
        return mask


def pixels_of(uri: str, file: DatasetReader) -> Pixels:
    """The pixel metadata of an opened file; `uri` is for error messages.

    Raises: SeveralImages, MixedBands, WrongScale
    """
    _refuse_several(uri, file)
    colours = [colour.name for colour in file.colorinterp]
    names = names_in_file(file.descriptions, colours)
    # GDAL takes the fourth band of any uint8 file for alpha; a band with another description is data.
    alpha = next((i for i, name in enumerate(names) if name == ALPHA), None)
    data = [i for i in range(file.count) if i != alpha]
    if not data:
        raise SeveralImages(f"{uri} has only an alpha band: there is nothing to tile.")
    _refuse_mixed(uri, [file.dtypes[i] for i in data], [file.nodatavals[i] for i in data])
    pixels = Pixels(
        numbers=tuple(i + 1 for i in data),
        dtype=file.dtypes[data[0]],
        nodata=file.nodatavals[data[0]],
        names=tuple(names[i] for i in data),
        described=tuple(bool(canonical(file.descriptions[i])) for i in data),
        scales=tuple(float(file.scales[i]) for i in data),
        offsets=tuple(float(file.offsets[i]) for i in data),
        units=unit_of(file, data[0] + 1),
        is_palette=file.colorinterp[data[0]] == ColorInterp.palette,
        alpha=None if alpha is None else alpha + 1,
        masked=_masked(file, data),
    )
    _refuse_scale(uri, pixels)
    return pixels


def _masked(file: DatasetReader, data: Sequence[int]) -> tuple[int, ...]:
    own = {i: set(file.mask_flag_enums[i]) for i in data}
    masked = [
        i + 1 for i in data if not own[i] & {MaskFlags.all_valid, MaskFlags.alpha} and own[i] != {MaskFlags.nodata}
    ]
    whole = masked and MaskFlags.per_dataset in own[masked[0] - 1]
    return tuple(masked[:1] if whole else masked)


def _refuse_several(uri: str, file: DatasetReader) -> None:
    if file.count == 0 or len(file.subdatasets) > 1:
        found = [name.rsplit("/", 1)[-1] for name in file.subdatasets[:3]]
        raise SeveralImages(
            f"{uri} holds {len(file.subdatasets)} rasters ({', '.join(found) or 'none with bands'}): write the right "
            "one to a GeoTIFF of its own, for example with gdal_translate."
        )


def _refuse_mixed(uri: str, dtypes: Sequence[str], nodata: Sequence[float | None]) -> None:
    for what, found in (("types", dtypes), ("nodata values", nodata)):
        if len(different := sorted({str(value) for value in found})) > 1:
            raise MixedBands(
                f"{uri} has bands of different {what} ({', '.join(different)}): give all bands the same, for example "
                "by gdalwarp with -ot and -dstnodata."
            )


def _refuse_scale(uri: str, pixels: Pixels) -> None:
    for scale, offset in zip(pixels.scales, pixels.offsets, strict=True):
        if scale == 0 or not math.isfinite(scale) or not math.isfinite(offset):
            raise WrongScale(
                f"{uri} has a scale of {scale:g} and an offset of {offset:g}, which no pixels can have: correct them, "
                " for example by gdal_edit.py -scale 1 -offset 0."
            )
