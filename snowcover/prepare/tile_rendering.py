"""One tile: cut from its source, counted, and as the bytes of its file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zlib import crc32

import cv2
import numpy as np
from rasterio.io import DatasetReader
from rasterio.transform import from_bounds

from snowcover.data import geotiff as stored
from snowcover.data.geotiff import BrokenTile
from snowcover.data.index import Entry
from snowcover.data.observed import observed
from snowcover.data.tiles import Tile, bounds, path
from snowcover.labels import SNOW
from snowcover.prepare.encode import Tags, geotiff
from snowcover.prepare.radiance import scaled
from snowcover.prepare.reprojection import WEB_MERCATOR, Array
from snowcover.prepare.warp import Source, warp


@dataclass(frozen=True)
class Cut:
    """How tiles are cut: all that does not depend on which one."""

    size_px: int
    min_valid: float
    compress: str
    tags: Tags
    is_mask: bool
    shown: tuple[int, ...]
    """indices of the bands to show as red, green and blue, or of the one to show"""
    thumb_px: int
    factors: tuple[float, ...] | None = None
    """per band, what values are multiplied with"""
    sample: Callable[[Source, Tile, int], tuple[Array, Array]] = warp
    """the pixels of a tile of a source, by its size: see `warp`"""

    @property
    def nodata(self) -> float:
        return self.tags.nodata


@dataclass(frozen=True)
class Piece:
    """A tile as it is stored, and what is told of it."""

    tile: Tile
    content: bytes
    entry: Entry
    thumb: Array
    """[thumb_px, thumb_px, 1 or 3], the tile made small for the preview"""


def cut(source: Source, tile: Tile, how: Cut) -> Piece | None:
    """The tile, or None where less than `min_valid` of it is observed."""
    values, seen = how.sample(source, tile, how.size_px)
    observed_px = int(np.count_nonzero(seen))
    if observed_px == 0 or observed_px < how.min_valid * how.size_px**2:
        return None
    if how.factors is not None:
        values = scaled(values, np.asarray(how.factors), seen, how.nodata)
    return _piece(tile, geotiff(values, tile, how.tags, how.compress), values, observed_px, how)


def recall(tile: Tile, content: bytes, uri: str, how: Cut) -> Piece:
    """What is told of a tile that an earlier, interrupted run has stored.

    Raises:
        BrokenTile: it is damaged, be it only in its tags, or was not cut so.
    """
    with stored.opened(uri, content) as file:
        if not _is_so_cut(file, tile, how):
            raise BrokenTile(f"{uri} is not as this command makes it: remove it, or set overwrite=true.")
        bands = stored.read(uri, file, list(file.indexes))
    observed_px = int(np.count_nonzero(observed(list(bands), how.nodata)))
    return _piece(tile, content, np.moveaxis(bands, 0, 2), observed_px, how)


def _is_so_cut(file: DatasetReader, tile: Tile, how: Cut) -> bool:
    """Whether a tile says of itself what it would say if it was made now; GDAL drops tags that it cannot read."""
    place = from_bounds(*bounds(tile), how.size_px, how.size_px)
    shape = (file.width, file.height, file.crs)
    return (
        shape == (how.size_px, how.size_px, WEB_MERCATOR)
        and file.transform.almost_equals(place, place.a / 1000)
        and how.tags.are_in(file)
    )


def _piece(tile: Tile, content: bytes, values: Array, observed_px: int, how: Cut) -> Piece:
    snow_px = int(np.count_nonzero(values == SNOW)) if how.is_mask else None
    entry = Entry(
        path=path(tile), size_bytes=len(content), crc32=crc32(content), observed_px=observed_px, snow_px=snow_px
    )
    return Piece(tile, content, entry, _thumb(values, how.shown, how.thumb_px))


def _thumb(values: Array, shown: Sequence[int], side_px: int) -> Array:
    """Every n-th pixel: averages would invent values between snow and unobserved."""
    picked = np.ascontiguousarray(values[..., list(shown)])
    small = cv2.resize(picked, (side_px, side_px), interpolation=cv2.INTER_NEAREST)
    return small.reshape(side_px, side_px, len(shown))
