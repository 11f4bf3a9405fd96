"""Whether a tile lies where its path says."""

import math

from rasterio.crs import CRS
from rasterio.io import DatasetReader

from snowcover.data.tiles import HALF_WORLD_M, MAX_ZOOM, Tile, bounds, path
from snowcover.errors import UserError

TOLERANCE_PX = 0.25  # tiles of other tools are rounded; a shift of half a pixel is a wrong place
WEB_MERCATOR = CRS.from_epsg(3857)
OTHER_CODES = {"3857", "3785", "900913", "102100", "102113"}  # what else EPSG, ESRI and others call it
Corners = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]


class WrongPlace(UserError):
    """A tile's file says that it lies elsewhere than its path says, or does not say where it lies."""


def check_place(uri: str, file: DatasetReader, tile: Tile) -> None:
    """Hold the file's own coordinates against its path.

    Raises:
        WrongPlace: another place, another coordinate system, other rows, or no coordinates.
    """
    left, bottom, right, top = bounds(tile)
    if file.crs is None and file.transform.is_identity:
        raise WrongPlace(
            f"{uri} does not say where it lies, so that its path cannot be checked: make it again with coordinates, or "
            f"give it those of its path (gdal_edit.py -a_srs EPSG:3857 -a_ullr {left!r} {top!r} {right!r} {bottom!r} "
            f"{uri})."
        )
    if file.crs is not None and not _is_web_mercator(file.crs):
        raise WrongPlace(
            f"{uri} is in {_short(file.crs)}, and a tile z/x/y is in EPSG:3857: make the tiles with "
            "`python -m snowcover.prepare`."
        )
    found, tolerance_m = _corners(file), TOLERANCE_PX * (right - left) / max(file.width, file.height)
    if not _same(found, ((left, top), (right, top), (left, bottom)), tolerance_m):
        raise WrongPlace(f"{uri} does not lie where its path says: {_explained(found, tile, tolerance_m)}.")


def _corners(file: DatasetReader) -> Corners:
    """Upper left, upper right and lower left of the stored rows."""
    return file.transform * (0, 0), file.transform * (file.width, 0), file.transform * (0, file.height)


def _same(found: Corners, wanted: Corners, tolerance_m: float) -> bool:
    return all(math.dist(one, other) <= tolerance_m for one, other in zip(found, wanted, strict=True))


def _explained(found: Corners, tile: Tile, tolerance_m: float) -> str:
    """What the coordinates say instead, and the way out."""
    z, x, y = tile
    rows = 1 << z
    (left, top), (right, _), (_, bottom) = found
    if top < bottom:
        return "its rows are stored from south to north: make it again from north to south (gdalwarp does)"
    other = _tile_at(left, top, right - left)
    if other is None or not _fits(found, other, tolerance_m):
        return (
            f"its coordinates, {left:.1f} to {right:.1f} m east and {bottom:.1f} to {top:.1f} m north, are those of no "
            "tile: make the tiles again with `python -m snowcover.prepare`"
        )
    if other == (z, x, rows - 1 - y):
        return (
            f"its coordinates are those of {path(other)}, so this folder is laid out in TMS rows, counted from the "
            "south: rename each y to 2**z - 1 - y (gdal2tiles.py --xyz writes them so)"
        )
    if other == (z, y, x):
        return f"its coordinates are those of {path(other)}, so this folder is laid out as z/y/x: rename it to z/x/y"
    return f"its coordinates are those of {path(other)}: rename it, or make the tiles again"


def _tile_at(left: float, top: float, width_m: float) -> Tile | None:
    if width_m <= 0:
        return None
    z = round(math.log2(2 * HALF_WORLD_M / width_m))
    if not 0 <= z <= MAX_ZOOM:
        return None
    side = 2 * HALF_WORLD_M / (1 << z)
    x, y = round((left + HALF_WORLD_M) / side), round((HALF_WORLD_M - top) / side)
    return Tile(z, x, y) if min(x, y) >= 0 and max(x, y) < 1 << z else None


def _fits(found: Corners, tile: Tile, tolerance_m: float) -> bool:
    left, bottom, right, top = bounds(tile)
    return _same(found, ((left, top), (right, top), (left, bottom)), tolerance_m)


def _is_web_mercator(crs: CRS) -> bool:
    if crs == WEB_MERCATOR:
        return True
    authority = crs.to_authority()
    return authority is not None and authority[1] in OTHER_CODES


def _short(crs: CRS) -> str:
    authority = crs.to_authority()
    return ":".join(authority) if authority else crs.to_string()[:60]
