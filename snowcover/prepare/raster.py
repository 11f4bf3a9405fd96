"""A source raster before its pixels are read: whether it is intact, and its georeference."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from snowcover import storage
from snowcover.data import gdal, gdal_warnings
from snowcover.errors import UserError
from snowcover.prepare.georeference import grid_of
from snowcover.prepare.pixels import Pixels, pixels_of
from snowcover.prepare.reprojection import Grid
from snowcover.storage import local

SIDE_FILES = (".msk", ".aux.xml")  # GDAL's, next to a raster: its mask and its metadata
# GDAL's warnings about missing data; its others are about odd tags.
_DAMAGE = re.compile(r"IO error|can ?not read|read error|unexpected end|corrupt", re.IGNORECASE)
CACHE_BYTES = 64 << 20  # GDAL's, shared by all threads; its own default is a share of the machine's memory


class BrokenRaster(UserError):
    """A source is not a raster, or truncated."""


@dataclass(frozen=True)
class Raster:
    """A source raster on the local disk, and its metadata."""

    uri: str
    path: str
    size_bytes: int
    crc32: int
    """zlib.crc32 of the file and of GDAL's side files, to recognise tiles made from other content"""
    grid: Grid
    pixels: Pixels

    @property
    def name(self) -> str:
        return stem(self.uri)

    @property
    def bands(self) -> int:
        """Number of bands of data, without the alpha band."""
        return len(self.pixels.numbers)

    @property
    def dtype(self) -> str:
        return self.pixels.dtype


def stem(uri: str) -> str:
    """A file's name without folder and extension."""
    return re.sub(r"\.\w+$", "", uri.rstrip("/").rsplit("/", 1)[-1])


def local_file(uri: str, folder: str) -> str:
    """The path of a file on the local disk: itself or, for a file in S3, a copy in `folder`.

    A scene is read window by window, several times; one download is faster and needs no second S3 client.
    """
    if not storage.is_remote(uri):
        if not Path(uri).is_file():
            raise storage.MissingFile(f"{uri} does not exist: check the path")
        return uri
    path = str(Path(folder) / uri.rsplit("/", 1)[-1])
    listed = {file.uri for file in storage.list_files(uri)}
    for ending in ("", *(ending for ending in SIDE_FILES if uri + ending in listed)):
        storage.download(uri + ending, path + ending)
    return path


def settings() -> rasterio.Env:
    """GDAL's settings for one of our threads."""
    return gdal.environment(GDAL_CACHEMAX=CACHE_BYTES, GTIFF_SRS_SOURCE="GEOKEYS")


@contextmanager
def opened(uri: str, path: str) -> Iterator[DatasetReader]:
    """The raster at `path`; what GDAL finds wrong with it within the block is reported for `uri`.

    Raises:
        BrokenRaster: it or one of its tags cannot be read; GDAL would continue without the tag.
    """
    with gdal_warnings.taken(Path(path).name) as warnings:
        try:
            with rasterio.open(path) as file:
                file.tags()  # read now, else GDAL's warnings about them come after the check
                _refuse_damage(uri, path, warnings)
                yield file
        except RasterioError as error:
            why = _cause(error).replace(path, uri)
            raise BrokenRaster(f"{uri} cannot be read as a raster ({why}): copy or download it again.") from error
        _refuse_damage(uri, path, warnings)


def _refuse_damage(uri: str, path: str, warnings: list[str]) -> None:
    for warning in filter(_DAMAGE.search, warnings):
        why = warning.partition(" in ")[2] or warning
        raise BrokenRaster(f"{uri} is damaged or truncated ({why.replace(path, uri)}): copy or download it again.")


def _cause(error: BaseException) -> str:
    """The innermost error's message, which is GDAL's; rasterio's own only refers to it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())


@contextmanager
def scratch_errors(folder: str) -> Iterator[None]:
    """Turn GDAL's failures to write temporary files into DiskFull.

    Raises: DiskFull
    """
    try:
        yield
    except (RasterioError, CPLE_BaseError) as error:
        raise storage.DiskFull(
            f"A temporary file in {folder} could not be written ({error}): free some space, or name another place "
            "with the environment variable TMPDIR."
        ) from error


def pixels_in(uri: str) -> Pixels:
    """The pixel metadata of a local file.

    Raises:
        BrokenRaster
        UserError: what `pixels_of` raises.
    """
    with settings(), opened(uri, uri) as file:
        return pixels_of(uri, file)


def inspect(uri: str, path: str, crs: str | None) -> Raster:
    """The metadata of a raster; `crs`, if given, replaces the file's.

    Raises:
        BrokenRaster, MissingGeoreference
        UserError: what `pixels_of` raises.
    """
    with settings(), opened(uri, path) as file:
        pixels = pixels_of(uri, file)
        place = grid_of(uri, file, crs)
    return Raster(uri, path, Path(path).stat().st_size, checksum(path), place, pixels)


def checksum(path: str) -> int:
    """zlib.crc32 of a file and of GDAL's side files."""
    total = 0
    for part in (path + ending for ending in ("", *SIDE_FILES)):
        if Path(part).is_file():
            with local.opened(part) as file:
                while content := file.read(local.COPY_BYTES):
                    total = crc32(content, total)
    return total
