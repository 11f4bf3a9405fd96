"""One pair of tiles from where it lies into memory, checked on the way."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snowcover import storage
from snowcover.data import geotiff
from snowcover.data.bands import names_in_file
from snowcover.data.config import DataConfig
from snowcover.data.fill_values import refuse_untagged_fill, refuse_zero_fill
from snowcover.data.geotiff import BrokenTile
from snowcover.data.layers import LayerReader
from snowcover.data.manifest import Pair
from snowcover.data.mask import Mask, WrongMask, read_mask
from snowcover.data.observed import holds, mark_unobserved, observed
from snowcover.data.place import check_place
from snowcover.data.raster_mask import dataset_mask
from snowcover.data.scaling import Scaling
from snowcover.data.scaling import of_bands as scaling_of
from snowcover.data.selection import WrongBands, band_numbers
from snowcover.data.tile_bytes import tile_bytes
from snowcover.data.tiles import Tile
from snowcover.errors import UserError
from snowcover.labels import BARE, SNOW, UNOBSERVED
from snowcover.storage.cache import Cache

__all__ = [
    "BARE", "SNOW", "UNOBSERVED", "BrokenTile", "PairReader", "RawPair", "WrongBands", "WrongMask", "WrongNodata",
    "WrongSize",
]  # fmt: skip


class WrongSize(UserError):
    """A tile is not of the size of the others, or a mask not of its image's."""


class WrongNodata(UserError):
    """data.nodata is no value that the tiles can hold."""


@dataclass(frozen=True)
class RawPair:
    """A pair of tiles as stored, with unobserved ground made uniform."""

    image: np.ndarray[Any, Any]
    """[C, H, W] in the file's type, doubles as float32; 0 in all bands exactly where unobserved"""
    mask: np.ndarray[Any, Any]
    """[H, W] uint8: 1 snow, 0 no snow, 255 unobserved in the mask or in the image"""
    scaling: Scaling | None = None
    """what the image's file says of its numbers; None where it says nothing"""
    has_snow: bool = True
    """1 is in the mask's file"""
    has_untagged_255: bool = False
    """255 is in the mask's file, and nothing there says that it is unobserved"""
    layers: np.ndarray[Any, Any] | None = None
    """[L, H, W] float32, NaN where a layer has no data; None of a run without layers"""

    @property
    def network_input(self) -> np.ndarray[Any, Any]:
        """The image as it is, or float32 [C + L, H, W] with the layers behind the bands."""
        return self.image if self.layers is None else np.concatenate([self.image.astype(np.float32), self.layers])


@dataclass(frozen=True)
class PairReader:
    """Reads pairs for one data config; safe to share between threads."""

    bands: Sequence[str]
    nodata: float
    cache: Cache | None = field(default=None)
    layers: LayerReader | None = field(default=None)

    @classmethod
    def of(cls, data: DataConfig) -> "PairReader":
        """One that reads as the config says.

        Raises: NoLayer, TileTwice, FolderDiffers, BadIndex, StorageError: of the layers, which are listed.
        """
        cache = Cache(data.cache) if data.cache else None
        return cls(data.bands, data.nodata, cache, LayerReader.of(data.layers, cache))

    def __call__(self, pair: Pair) -> RawPair:
        """The pair's tiles.

        Raises:
            BrokenTile, WrongPlace, WrongBands, WrongSize, WrongMask, WrongNodata, WrongScaling, UntaggedFill,
            WrongLayer, NoTime, StorageError: naming the file.
        """
        with geotiff.environment():
            image, seen, scaling = self.image(storage.File(pair.image, pair.image_bytes), pair.tile)
            mask = self._mask(pair)
            layers = None if self.layers is None else self.layers.read(pair.scene, pair.tile, seen.shape)
        if mask.values.shape != seen.shape:
            raise WrongSize(
                f"{pair.mask} has {_size(mask.values)} pixels, its image {pair.image} has {_size(image)}: "
                "tile both with the same tile size."
            )
        mask.values[~seen] = UNOBSERVED
        return RawPair(image, mask.values, scaling, mask.has_snow, mask.has_untagged_255, layers)

    def image(
        self, listed: storage.File, tile: Tile
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], Scaling | None]:
        """Bands [C, H, W], where they are observed [H, W], and what the file says of their numbers.

        To be called in `geotiff.environment()`.
        """
        uri = listed.uri
        with geotiff.opened(uri, tile_bytes(listed, self.cache)) as file:
            check_place(uri, file, tile)
            names = names_in_file(file.descriptions, [colour.name for colour in file.colorinterp])
            numbers = band_numbers(uri, names, self.bands)
            image = _as_the_network_takes(geotiff.read(uri, file, numbers))
            file_mask = dataset_mask(uri, file, names)
            scaling = scaling_of(uri, *([of[number - 1] for number in numbers] for of in (file.scales, file.offsets)))
            tag = file.nodata
        says = tag is not None or file_mask is not None
        nodata = tag if says else self._nodata(uri, image)
        seen = observed(list(image), nodata, file_mask)
        if not says:
            refuse_untagged_fill(uri, image, seen)
        if nodata and file_mask is None:
            refuse_zero_fill(uri, image, seen, nodata)
        mark_unobserved(image, seen)
        return image, seen, scaling

    def _mask(self, pair: Pair) -> Mask:
        with geotiff.opened(pair.mask, tile_bytes(storage.File(pair.mask, pair.mask_bytes), self.cache)) as file:
            check_place(pair.mask, file, pair.tile)
            return read_mask(pair.mask, file)

    def _nodata(self, uri: str, image: np.ndarray[Any, Any]) -> float:
        if holds(image.dtype, self.nodata):
            return self.nodata
        raise WrongNodata(
            f"data.nodata={self.nodata:g} is no {image.dtype}, which is what {uri} holds: give the value that "
            "unobserved pixels have in these tiles, or 0 where they are 0 in all bands."
        )


def _as_the_network_takes(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Doubles as float32: what is beyond that, such as a nodata of -1.8e308, is infinite and so unobserved."""
    if image.dtype != np.float64:
        return image
    with np.errstate(over="ignore"):
        return image.astype(np.float32)


def _size(array: np.ndarray[Any, Any]) -> str:
    return f"{array.shape[-1]} x {array.shape[-2]}"
