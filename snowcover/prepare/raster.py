"""A source raster before its pixels are read: is it whole, and where does it lie?"""

import math
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.io import DatasetReader

from snowcover import storage
from snowcover.errors import UserError
from snowcover.prepare.positions import WEB_MERCATOR, Array, Grid, apply, project

GIVE_CRS = "give it, for example crs=EPSG:32612 for UTM zone 12 north"
# Parameters of a projection that are longitudes; beyond 180 degrees the CRS was written by a broken program.
_LONGITUDE = re.compile(r'PARAMETER\["(?:central_meridian|longitude_of_\w+)",\s*([-+0-9.eE]+)')
CACHE_BYTES = 64 << 20  # GDAL's, shared by all threads; its own default is a share of the machine's memory


class BrokenRaster(UserError):
    """A source is no raster, or cut short."""


class MissingPlace(UserError):
    """A source does not say where on Earth it lies, or says it wrongly."""


@dataclass(frozen=True)
class Raster:
    """A source raster on this machine's disk, and what was found out about it."""

    uri: str
    path: str
    size_bytes: int
    grid: Grid
    bands: int
    dtype: str
    nodata: float | None
    names: tuple[str | None, ...]

    @property
    def name(self) -> str:
        return stem(self.uri)


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
    storage.download(uri, path)
    return path


@contextmanager
def scratch_folder() -> Iterator[str]:
    """A folder for the block's temporary files (TMPDIR says where), removed after it."""
    with tempfile.TemporaryDirectory(prefix="snowcover-") as folder:
        yield folder


def settings() -> rasterio.Env:
    """GDAL's settings for a thread of ours; without an Env each opening of a file costs 20 ms."""
    return rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES, GDAL_NUM_THREADS="1", GTIFF_SRS_SOURCE="GEOKEYS")


@contextmanager
def opened(uri: str, path: str) -> Iterator[DatasetReader]:
    """The raster at `path`; what GDAL finds wrong with it while the block runs is named as `uri`'s.

    Raises: BrokenRaster
    """
    try:
        with rasterio.open(path) as file:
            yield file
    except RasterioError as error:
        raise BrokenRaster(f"{uri} cannot be read as a raster ({error}): copy or download it again.") from error


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


def inspect(uri: str, path: str, crs: str | None) -> Raster:
    """What a raster is and where it lies; `crs` is the user's word against the file's.

    Raises:
        BrokenRaster, MissingPlace
    """
    with settings(), opened(uri, path) as file:
        place = Grid(_crs(uri, file.crs, crs), file.transform, file.width, file.height)
        _refuse_nowhere(uri, place)
        names = tuple(file.descriptions)
        size = Path(path).stat().st_size
        return Raster(uri, path, size, place, file.count, file.dtypes[0], file.nodata, names)


def _crs(uri: str, found: CRS | None, given: str | None) -> CRS:
    if given is not None:
        try:
            return CRS.from_user_input(given)
        except CRSError as error:
            raise MissingPlace(f"crs={given} is no coordinate reference system: {GIVE_CRS}.") from error
    if not found:
        raise MissingPlace(f"{uri} does not say its coordinate reference system: {GIVE_CRS}.")
    if not (found.is_projected or found.is_geographic):
        raise MissingPlace(f"{uri} has a coordinate reference system that is not tied to the Earth: {GIVE_CRS}.")
    longitudes = [float(degrees) for degrees in _LONGITUDE.findall(found.to_wkt())]
    if beyond := [degrees for degrees in longitudes if abs(degrees) > 180]:
        raise MissingPlace(
            f"{uri} has a malformed coordinate reference system (its central meridian is {beyond[0]:g} degrees): "
            f"{GIVE_CRS}."
        )
    return found


def _refuse_nowhere(uri: str, grid: Grid) -> None:
    if grid.transform == Affine.identity():
        raise MissingPlace(f"{uri} has no geotransform: georeference it first, for example by gdal_translate -a_ullr.")
    xs, ys = edge_points(grid)
    there = project(grid.crs, WEB_MERCATOR, xs, ys)
    if not np.isfinite(there).all(axis=0).any() or not _comes_back(grid, there, np.stack([xs, ys])):
        raise MissingPlace(
            f"{uri} lies at ({xs[0]:g}, {ys[0]:g}), which is nowhere on Earth in {grid.crs.to_string()[:60]}: "
            f"{GIVE_CRS}."
        )


def _comes_back(grid: Grid, there: Array, start: Array) -> bool:
    """Whether the raster's edge, taken to Web Mercator and back, is where it was, to a pixel."""
    finite = np.isfinite(there).all(axis=0)
    errors = np.abs(project(WEB_MERCATOR, grid.crs, *there[:, finite]) - start[:, finite])
    if grid.crs.is_geographic:
        errors = np.minimum(errors, np.abs(360 - errors))
    pixel = math.hypot(grid.transform.a, grid.transform.d)
    return bool((errors[np.isfinite(errors)] < pixel).all())


def edge_points(grid: Grid, points: int = 33) -> tuple[Array, Array]:
    """x and y in the grid's CRS of evenly spaced points along the raster's four edges."""
    along, zero, one = np.linspace(0, 1, points), np.zeros(points), np.ones(points)
    columns = np.concatenate([along, one, along, zero]) * grid.width
    rows = np.concatenate([zero, along, one, along]) * grid.height
    xs, ys = apply(grid.transform, columns, rows)
    return xs, ys
