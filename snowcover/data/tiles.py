"""The Web Mercator tile grid: where a tile z/x/y lies, and which tile a path names. Pure.

Formulas: the XYZ scheme of OGC 17-083r2 (WebMercatorQuad): the square of EPSG:3857 around the world is cut
into 2**z by 2**z tiles, x counted from the west, y from the north.
"""

import math
import re
from typing import NamedTuple

HALF_WORLD_M = math.pi * 6378137.0  # half the equator of the sphere that EPSG:3857 uses
MAX_ZOOM = 30  # tiles of 4 cm; beyond it a number in a path is no zoom

_NUMBER = r"(0|[1-9][0-9]{0,9})"  # no leading zeros, so that two paths never name one tile
_TILE_PATH = re.compile(rf"(?:.*/)?{_NUMBER}/{_NUMBER}/{_NUMBER}\.(?i:tiff?)", re.DOTALL)

Bounds = tuple[float, float, float, float]


class Tile(NamedTuple):
    """One cell of the grid; sorts by zoom, then column, then row."""

    z: int
    x: int
    y: int


def _line_m(index: int, z: int) -> float:
    """Distance in metres of grid line `index` from the middle of the world.

    index / 2**z (a shift) is exact in binary, so a line shared by several zooms has the same float in each.
    """
    return (2 * index / (1 << z) - 1) * HALF_WORLD_M


def bounds(tile: Tile) -> Bounds:
    """(left, bottom, right, top) of the tile in EPSG:3857 metres; neighbours share their edges exactly."""
    z, x, y = tile
    return _line_m(x, z), -_line_m(y + 1, z), _line_m(x + 1, z), -_line_m(y, z)


def longitude_latitude(x_m: float, y_m: float) -> tuple[float, float]:
    """Degrees east and north of a point in EPSG:3857."""
    half_turns = x_m / HALF_WORLD_M, y_m / HALF_WORLD_M
    return 180 * half_turns[0], math.degrees(math.atan(math.sinh(math.pi * half_turns[1])))


def ancestor(tile: Tile, z: int) -> Tile:
    """The tile of zoom `z` that contains `tile` (itself when z is its own zoom).

    Raises: ValueError when z is negative or finer than the tile.
    """
    if not 0 <= z <= tile.z:
        raise ValueError(f"{path(tile)} has no ancestor at zoom {z}: give a zoom from 0 to {tile.z}")
    return Tile(z, tile.x >> (tile.z - z), tile.y >> (tile.z - z))


def path(tile: Tile) -> str:
    """The tile's place under its scene or collect: "z/x/y.tif"."""
    return f"{tile.z}/{tile.x}/{tile.y}.tif"


def parse(path: str) -> Tile | None:
    """The tile that a path or uri ends in (z/x/y.tif, .tiff, .TIF), None when it ends in no tile of the grid."""
    match = _TILE_PATH.fullmatch(path)
    if match is None:
        return None
    tile = Tile(*map(int, match.groups()))
    inside = tile.z <= MAX_ZOOM and max(tile.x, tile.y) < 1 << tile.z
    return tile if inside else None


def covering(bounds_3857: Bounds, z: int) -> list[Tile]:
    """The tiles of zoom `z` that share area with a box, sorted; a box that ends on a tile's edge stops there.

    The box is (left, bottom, right, top) in EPSG:3857 metres; what lies outside the grid is left out.
    Raises: ValueError when the box has no area or is not finite.
    """
    left, bottom, right, top = bounds_3857
    if not (left < right and bottom < top and all(map(math.isfinite, bounds_3857))):
        raise ValueError(f"a box needs left < right and bottom < top in finite metres, got {bounds_3857}")
    columns, rows = _cells(left, right, z), _cells(-top, -bottom, z)
    return [Tile(z, x, y) for x in columns for y in rows]


def _cells(low_m: float, high_m: float, z: int) -> range:
    """Indices of the grid's cells that overlap the open interval (low_m, high_m)."""
    first = _lines_up_to(low_m, z) - 1
    end = _lines_up_to(high_m, z)
    if end > 0 and _line_m(end - 1, z) == high_m:  # the last line only touches the interval's end
        end -= 1
    return range(max(first, 0), min(end, 1 << z))


def _lines_up_to(distance_m: float, z: int) -> int:
    """How many grid lines, counted from the world's edge, lie at or before a distance (0 to 2**z + 1)."""
    guess = math.floor((distance_m / HALF_WORLD_M + 1) / 2 * (1 << z))
    guess = min(max(guess, -1), 1 << z)
    # Division rounds: settle by comparing with the very floats that bounds() gives.
    while guess < 1 << z and _line_m(guess + 1, z) <= distance_m:
        guess += 1
    while guess >= 0 and _line_m(guess, z) > distance_m:
        guess -= 1
    return guess + 1
