"""One pair of tiles from where it lies into memory, checked on the way."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader, MemoryFile

from snowcover import storage
from snowcover.config import DataConfig
from snowcover.data.manifest import Pair
from snowcover.errors import UserError
from snowcover.storage.cache import Cache

SNOW, BARE, UNOBSERVED = 1, 0, 255
# Without EMPTY_DIR, GDAL looks for side files of every tile.
GDAL_SETTINGS = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_NUM_THREADS": "1"}


class BrokenTile(UserError):
    """A file is not a whole GeoTIFF."""


class WrongBands(UserError):
    """An image tile does not have the bands that the config names."""


class WrongSize(UserError):
    """A tile is not of the size of the others, or a mask not of its image's."""


class WrongMask(UserError):
    """A mask tile holds something other than snow, no snow and unobserved."""


@dataclass(frozen=True)
class RawPair:
    """A pair of tiles as stored, with unobserved ground made uniform."""

    image: np.ndarray[Any, Any]
    """[C, H, W] in the file's type; 0 in all bands where unobserved"""
    mask: np.ndarray[Any, Any]
    """[H, W] uint8: 1 snow, 0 no snow, 255 unobserved in the mask or in the image"""


@dataclass(frozen=True)
class PairReader:
    """Reads pairs for one data config; safe to share between threads."""

    bands: Sequence[str]
    nodata: float
    cache: Cache | None = field(default=None)

    @classmethod
    def of(cls, data: DataConfig) -> "PairReader":
        return cls(data.bands, data.nodata, Cache(data.cache) if data.cache else None)

    def __call__(self, pair: Pair) -> RawPair:
        """The pair's tiles.

        Raises:
            BrokenTile, WrongBands, WrongSize, WrongMask, StorageError: naming the file.
        """
        with rasterio.Env(**GDAL_SETTINGS):
            image, observed = self._image(pair)
            mask = _mask(pair.mask, self._bytes(pair.mask, pair.mask_bytes))
        if mask.shape != image.shape[1:]:
            raise WrongSize(
                f"{pair.mask} has {_size(mask)} pixels, its image {pair.image} has {_size(image)}: "
                "tile both with the same tile size."
            )
        mask[~observed] = UNOBSERVED
        return RawPair(image, mask)

    def _image(self, pair: Pair) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        uri = pair.image
        with _opened(uri, self._bytes(uri, pair.image_bytes)) as file:
            image = _read(uri, file, _band_numbers(uri, file, self.bands))
            nodata = self.nodata if file.nodata is None else file.nodata
        unobserved = np.isnan(image) if np.isnan(nodata) else image == nodata  # [C, H, W]
        observed = ~unobserved.all(axis=0)  # [H, W]: a band alone may well be dark
        image[:, ~observed] = 0
        return np.nan_to_num(image, copy=False), observed

    def _bytes(self, uri: str, size_bytes: int) -> bytes:
        if self.cache is None or not storage.is_remote(uri):
            return storage.read(uri)
        return self.cache.read(storage.File(uri, size_bytes))


@contextlib.contextmanager
def _opened(uri: str, content: bytes) -> Iterator[DatasetReader]:
    if not content:
        raise BrokenTile(f"{uri} is empty: make or copy this tile again.")
    with MemoryFile(content) as memory:
        try:
            file = memory.open()
        except RasterioError as error:
            raise BrokenTile(
                f"{uri} is no readable GeoTIFF ({_cause(error)}): make or copy this tile again."
            ) from error
        with file:
            yield file


def _read(uri: str, file: DatasetReader, band: int | list[int]) -> np.ndarray[Any, Any]:
    try:
        return file.read(band)
    except RasterioError as error:
        raise BrokenTile(f"{uri} is cut short or damaged ({_cause(error)}): make or copy this tile again.") from error


def _cause(error: BaseException) -> str:
    """The innermost words, which are GDAL's; rasterio's own only point at them."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())


def _band_numbers(uri: str, file: DatasetReader, bands: Sequence[str]) -> list[int]:
    """Bands by the names in the file if it names them all, else by their order."""
    names = [name.lower() if name else "" for name in file.descriptions]
    if set(bands) <= set(names):
        return [names.index(band) + 1 for band in bands]
    if file.count != len(bands):
        raise WrongBands(
            f"{uri} has {file.count} band{'s' if file.count != 1 else ''}, data.bands names {len(bands)} "
            f"({', '.join(bands)}): give the bands that the tiles have."
        )
    return list(range(1, file.count + 1))


def _mask(uri: str, content: bytes) -> np.ndarray[Any, Any]:
    with _opened(uri, content) as file:
        if file.count != 1:
            raise WrongMask(f"{uri} has {file.count} bands; a mask has one: 1 snow, 0 no snow, 255 unobserved.")
        stored = _read(uri, file, 1)
        nodata = file.nodata
    mask = np.full(stored.shape, UNOBSERVED, np.uint8)
    known = np.ones(stored.shape, bool) if nodata is None else ~_equal(stored, nodata)
    for value in (SNOW, BARE):
        mask[known & (stored == value)] = value
    odd = known & (mask == UNOBSERVED) & ~_equal(stored, UNOBSERVED)
    if odd.any():
        raise WrongMask(
            f"{uri} holds the value {stored[odd].flat[0]}; a mask holds 1 snow, 0 no snow, 255 or its nodata "
            "value for unobserved: tile the mask, not the depth."
        )
    return mask


def _equal(values: np.ndarray[Any, Any], value: float) -> np.ndarray[Any, Any]:
    return np.isnan(values) if np.isnan(value) else values == value


def _size(array: np.ndarray[Any, Any]) -> str:
    return f"{array.shape[-1]} x {array.shape[-2]}"
