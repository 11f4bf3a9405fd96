"""A source raster before its pixels are read: is it whole, and where does it lie?"""

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

SIDE_FILES = (".msk", ".aux.xml")  # of GDAL, beside a raster: its mask, and what else is said of its pixels
# Of GDAL's warnings, those of what is not there; others are of programs that write odd tags.
_DAMAGE = re.compile(r"IO error|can ?not read|read error|unexpected end|corrupt", re.IGNORECASE)
CACHE_BYTES = 64 << 20  # GDAL's, shared by all threads; its own default is a share of the machine's memory


class BrokenRaster(UserError):
    """A source is no raster, or cut short."""


@dataclass(frozen=True)
class Raster:
    """A source raster on this machine's disk, and what was found out about it."""

    uri: str
    path: str
    size_bytes: int
    crc32: int
    """zlib.crc32 of the file and of GDAL's side files: what was cut from other bytes is told apart"""
    grid: Grid
    pixels: Pixels

    @property
    def name(self) -> str:
        return stem(self.uri)

    @property
    def bands(self) -> int:
        """How many bands of data it has; an alpha band is none."""
        return len(self.pixels.numbers)

    @property
    def dtype(self) -> str:
        return self.pixels.dtype


def stem(uri: str) -> str:
    """A file's name without its folder and ending."""
    return re.sub(r"\.\w+$", "", uri.rstrip("/").rsplit("/", 1)[-1])


def local_file(uri: str, folder: str) -> str:
    """The path of a file on this machine: itself, or a copy in `folder` of what lies in S3.

    A scene is read window by window, several times over; one download is quicker and needs no second S3 client.
    """
    if not storage.is_remote(uri):
        if not Path(uri).is_file():
            raise storage.MissingFile(f"{uri} does not exist: check the path")
        return uri
    path = str(Path(folder) / uri.rsplit("/", 1)[-1])
    beside = {file.uri for file in storage.list_files(uri)}
    for ending in ("", *(ending for ending in SIDE_FILES if uri + ending in beside)):
        storage.download(uri + ending, path + ending)
    return path


def settings() -> rasterio.Env:
    """GDAL's settings for a thread of ours."""
    return gdal.environment(GDAL_CACHEMAX=CACHE_BYTES, GTIFF_SRS_SOURCE="GEOKEYS")


@contextmanager
def opened(uri: str, path: str) -> Iterator[DatasetReader]:
    """The raster at `path`; what GDAL finds wrong with it while the block runs is named as `uri`'s.

    Raises:
        BrokenRaster: it cannot be read, or a tag of it cannot: GDAL then goes on without band names, nodata or place.
    """
    with gdal_warnings.taken(Path(path).name) as heard:
        try:
            with rasterio.open(path) as file:
                file.tags()  # read now: what GDAL leaves for later would be missed
                _refuse_damage(uri, path, heard)
                yield file
        except RasterioError as error:
            why = _cause(error).replace(path, uri)
            raise BrokenRaster(f"{uri} cannot be read as a raster ({why}): copy or download it again.") from error
        _refuse_damage(uri, path, heard)


def _refuse_damage(uri: str, path: str, heard: list[str]) -> None:
    for text in filter(_DAMAGE.search, heard):
        why = text.partition(" in ")[2] or text
        raise BrokenRaster(f"{uri} is damaged or cut short ({why.replace(path, uri)}): copy or download it again.")


def _cause(error: BaseException) -> str:
    """The innermost words, which are GDAL's; rasterio's own only point at them."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())


@contextmanager
def scratch_errors(folder: str) -> Iterator[None]:
    """GDAL's failures to write temporary files, in a sentence.

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
    """What a file on this machine says of its pixels.

    Raises:
        BrokenRaster
        UserError: what `pixels_of` raises.
    """
    with settings(), opened(uri, uri) as file:
        return pixels_of(uri, file)


def inspect(uri: str, path: str, crs: str | None) -> Raster:
    """What a raster is and where it lies; `crs` is the user's word against the file's.

    Raises:
        BrokenRaster, MissingPlace
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
