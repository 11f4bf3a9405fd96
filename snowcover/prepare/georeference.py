"""The georeference of a source raster; an impossible one is refused before pixels are read."""

import math
import re
import shlex

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.io import DatasetReader

from snowcover import storage
from snowcover.errors import UserError
from snowcover.prepare.extent import boxes, mercator, ring
from snowcover.prepare.reprojection import WGS84, Array, Grid, period, project, wrap_to_grid
from snowcover.prepare.zoom import fitting_zoom

GIVE_CRS = "give it, for example crs=EPSG:32612 for UTM zone 12 north"
A_ULLR = "for example by gdal_translate -a_ullr"
SMALLEST_PIXEL_M, LARGEST_PIXEL_M = 1e-3, 1e6
# Parameters of a projection that are longitudes; beyond 180 degrees the CRS was written by a broken program.
_LONGITUDE = re.compile(r'PARAMETER\["(?:central_meridian|longitude_of_\w+)",\s*([-+0-9.eE]+)')


class MissingGeoreference(UserError):
    """A source has no georeference, or one that cannot be true."""


def grid_of(uri: str, file: DatasetReader, crs: str | None) -> Grid:
    """The raster's grid; `crs`, if given, replaces the file's.

    Raises: MissingGeoreference
    """
    if file.transform == Affine.identity():
        raise MissingGeoreference(_without_geotransform(uri, file))
    place = Grid(_crs(uri, file.crs, crs), file.transform, file.width, file.height)
    _refuse_impossible(uri, place)
    return place


def _without_geotransform(uri: str, file: DatasetReader) -> str:
    points, points_crs = file.gcps
    if points:
        xs, ys = np.array([point.x for point in points]), np.array([point.y for point in points])
        longitudes, latitudes = project(points_crs or WGS84, WGS84, xs, ys)
        what, how = "ground control points", ""
    elif file.rpcs is not None:
        longitudes, latitudes = np.array([file.rpcs.long_off]), np.array([file.rpcs.lat_off])
        what, how = "rational polynomial coefficients", "-rpc -to RPC_DEM=dem.tif "
    else:
        return f"{uri} has no geotransform: georeference it first, {A_ULLR}."
    target = f"-t_srs EPSG:{utm_zone(float(np.median(longitudes)), float(np.median(latitudes)))}"
    warped = re.sub(r"(\.\w+)?$", "_warped.tif", uri.rsplit("/", 1)[-1], count=1)
    command = f"gdalwarp {how}{target} {_gdal_path(uri)} {shlex.quote(warped)}"
    return f"{uri} has {what} but no geotransform: warp it first, by {command}"


def utm_zone(longitude: float, latitude: float) -> int:
    """EPSG code of the UTM zone, or of a polar stereographic projection where UTM ends."""
    if not -80 <= latitude <= 84:
        return 3413 if latitude > 0 else 3031
    zone = math.floor((longitude + 180) % 360 / 6) + 1
    return (32600 if latitude >= 0 else 32700) + zone


def _gdal_path(uri: str) -> str:
    return shlex.quote(f"/vsis3/{uri.removeprefix('s3://')}" if storage.is_remote(uri) else uri)


def _crs(uri: str, found: CRS | None, given: str | None) -> CRS:
    if given is not None:
        return _given(given)
    if not found:
        raise MissingGeoreference(f"{uri} does not say its coordinate reference system: {GIVE_CRS}.")
    if not (found.is_projected or found.is_geographic):
        raise MissingGeoreference(f"{uri} has a coordinate reference system that is not tied to the Earth: {GIVE_CRS}.")
    longitudes = [float(degrees) for degrees in _LONGITUDE.findall(found.to_wkt())]
    if beyond := [degrees for degrees in longitudes if abs(degrees) > 180]:
        raise MissingGeoreference(
            f"{uri} has a malformed coordinate reference system (its central meridian is {beyond[0]:g} degrees): "
            f"{GIVE_CRS}."
        )
    return found


def _given(crs: str) -> CRS:
    try:
        found = CRS.from_user_input(crs)
    except CRSError as error:
        raise MissingGeoreference(f"crs={crs} is no coordinate reference system: {GIVE_CRS}.") from error
    if not (found.is_projected or found.is_geographic):
        raise MissingGeoreference(f"crs={crs} is neither projected nor geographic: {GIVE_CRS}.")
    return found


def _refuse_impossible(uri: str, grid: Grid) -> None:
    place, crs = ", ".join(f"{number:g}" for number in tuple(grid.transform)[:6]), grid.crs.to_string()[:60]
    if not all(map(math.isfinite, tuple(grid.transform))) or grid.transform.is_degenerate:
        raise MissingGeoreference(f"{uri} has a geotransform without area ({place}): georeference it again, {A_ULLR}.")
    xs, ys = ring(grid, 33)
    touched = boxes(grid)
    if (
        _is_off_the_globe(grid, xs, ys)
        or not _projects_back(grid, np.stack([xs, ys]))
        or not (touched or np.isfinite(mercator(grid, xs, ys)).any())
    ):
        raise MissingGeoreference(
            f"{uri} lies at ({xs[0]:g}, {ys[0]:g}), which is nowhere on Earth in {crs}: {GIVE_CRS}."
        )
    if not touched:
        raise MissingGeoreference(
            f"{uri} lies wholly beyond 85.06 degrees of latitude, where the map of Web Mercator tiles ends: use a "
            "source that reaches further from the pole."
        )
    pixel_m = fitting_zoom(grid, 512).pixel_m
    if not SMALLEST_PIXEL_M <= pixel_m <= LARGEST_PIXEL_M:
        raise MissingGeoreference(
            f"{uri} would have pixels of {pixel_m:g} m on the ground: its geotransform ({place}) does not fit its "
            f"coordinate reference system ({crs}), so {GIVE_CRS}."
        )


def _is_off_the_globe(grid: Grid, xs: Array, ys: Array) -> bool:
    """Whether the raster goes beyond a pole, or more than once around the world; a pixel's excess is allowed."""
    turn, quarter = period(grid.crs), 90 * math.pi / 180
    place = grid.transform
    across, down = math.hypot(place.a, place.b), math.hypot(place.d, place.e)
    beyond = grid.crs.is_geographic and np.abs(ys).max() > quarter / grid.crs.units_factor[1] + down
    return bool(beyond or (turn is not None and (np.ptp(xs) > turn + across or np.abs(xs).max() > 1.5 * turn + across)))


def _projects_back(grid: Grid, start: Array) -> bool:
    """Whether the raster's edge, projected to longitude and latitude and back, is off by less than a pixel."""
    lonlat = project(grid.crs, WGS84, *start)
    finite = np.isfinite(lonlat).all(axis=0)
    back = wrap_to_grid(grid, *project(WGS84, grid.crs, *lonlat[:, finite]))
    errors = np.abs(back - wrap_to_grid(grid, *start[:, finite]))
    pixel = math.hypot(grid.transform.a, grid.transform.d)
    return bool((errors[np.isfinite(errors)] < pixel).all())
