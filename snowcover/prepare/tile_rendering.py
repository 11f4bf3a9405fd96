"""Renders one tile: resampled from its source, counted, and encoded as GeoTIFF."""

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
from snowcover.prepare.radiance import to_reflectance
from snowcover.prepare.reprojection import WEB_MERCATOR, Array
from snowcover.prepare.warp import Source, warp


@dataclass(frozen=True)
class RenderSettings:
    """What all tiles of a job have in common."""

    size_px: int
    min_valid: float
    compress: str
    tags: Tags
    is_mask: bool
    shown: tuple[int, ...]
    """indices of the bands that the preview shows: red, green and blue, or a single one"""
    thumb_px: int
    factors: tuple[float, ...] | None = None
    """per band, the factor that values are multiplied by"""
    sample: Callable[[Source, Tile, int], tuple[Array, Array]] = warp
    """resamples a tile from a source, given its size in pixels: see `warp`"""

    @property
    def nodata(self) -> float:
        return self.tags.nodata


@dataclass(frozen=True)
class RenderedTile:
    """A tile's file, its entry in the index, and its thumbnail."""

    tile: Tile
    content: bytes
    entry: Entry
    thumb: Array
    """[thumb_px, thumb_px, 1 or 3], the tile made small for the preview"""


def render_tile(source: Source, tile: Tile, settings: RenderSettings) -> RenderedTile | None:
    """The tile, or None where less than `min_valid` of it is observed."""
    values, seen = settings.sample(source, tile, settings.size_px)
    observed_px = int(np.count_nonzero(seen))
    if observed_px == 0 or observed_px < settings.min_valid * settings.size_px**2:
        return None
    if settings.factors is not None:
        values = to_reflectance(values, np.asarray(settings.factors), seen, settings.nodata)
    return _rendered(tile, geotiff(values, tile, settings.tags, settings.compress), values, observed_px, settings)


def restore_tile(tile: Tile, content: bytes, uri: str, settings: RenderSettings) -> RenderedTile:
    """The rendered tile from the file that an earlier, interrupted run stored.

    Raises:
        BrokenTile: it is damaged, even if only in its tags, or was rendered with other settings.
    """
    with stored.opened(uri, content) as file:
        if not _has_settings(file, tile, settings):
            raise BrokenTile(f"{uri} is not what this command makes: remove it, or set overwrite=true.")
        bands = stored.read(uri, file, list(file.indexes))
    observed_px = int(np.count_nonzero(observed(list(bands), settings.nodata)))
    return _rendered(tile, content, np.moveaxis(bands, 0, 2), observed_px, settings)


def _has_settings(file: DatasetReader, tile: Tile, settings: RenderSettings) -> bool:
    """Whether a tile has the place, size and tags that it would get now; GDAL drops tags that it cannot read."""
    place = from_bounds(*bounds(tile), settings.size_px, settings.size_px)
    shape = (file.width, file.height, file.crs)
    return (
        shape == (settings.size_px, settings.size_px, WEB_MERCATOR)
        and file.transform.almost_equals(place, place.a / 1000)
        and settings.tags.are_in(file)
    )


def _rendered(tile: Tile, content: bytes, values: Array, observed_px: int, settings: RenderSettings) -> RenderedTile:
    snow_px = int(np.count_nonzero(values == SNOW)) if settings.is_mask else None
    entry = Entry(
        path=path(tile), size_bytes=len(content), crc32=crc32(content), observed_px=observed_px, snow_px=snow_px
    )
    return RenderedTile(tile, content, entry, _thumb(values, settings.shown, settings.thumb_px))


def _thumb(values: Array, shown: Sequence[int], side_px: int) -> Array:
    """Every n-th pixel: averages would invent values between snow and unobserved."""
    picked = np.ascontiguousarray(values[..., list(shown)])
    small = cv2.resize(picked, (side_px, side_px), interpolation=cv2.INTER_NEAREST)
    return small.reshape(side_px, side_px, len(shown))
