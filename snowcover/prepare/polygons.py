"""Footprints: the polygons of a GeoJSON file, also across the 180th meridian, and the tiles that they touch."""

import json
import math
from collections.abc import Iterable, Sequence

import numpy as np
from rasterio.features import rasterize
from rasterio.transform import from_bounds

from snowcover.data.tiles import HALF_WORLD_M, Bounds, Tile, bounds, covering
from snowcover.prepare.extent import MOST_NORTHERN
from snowcover.prepare.reprojection import Array, Floats

Shape = list[Array]
"""a polygon's rings in EPSG:3857, each [n, 2]"""


class NoPolygons(ValueError):
    """A file is not GeoJSON, has no polygon, or none in longitude and latitude."""


def read(content: bytes) -> list[Shape]:
    """The polygons of a GeoJSON file (EPSG:4326, RFC 7946). A ring across the 180th meridian, whether it continues to
    181 or jumps to -179 degrees, is returned twice: at both edges of the map.

    Raises: NoPolygons
    """
    try:
        polygons = [rings for shape in _geometries(json.loads(content)) for rings in _polygons(shape) if rings]
        shapes = [[_ring(points) for points in rings] for rings in polygons]
    except NoPolygons:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise NoPolygons(f"is not GeoJSON ({type(error).__name__}: {error}): give a file of polygons") from error
    if not shapes:
        raise NoPolygons("has no polygon: give a footprint, for example a collect's footprint.geojson")
    return [turned for shape in shapes for turned in _on_the_map(shape)]


def _geometries(node: dict[str, object]) -> list[dict[str, object]]:
    if node["type"] == "FeatureCollection":
        return [shape for feature in node["features"] for shape in _geometries(feature)]  # type: ignore[attr-defined]
    if node["type"] == "GeometryCollection":
        return [shape for part in node["geometries"] for shape in _geometries(part)]  # type: ignore[attr-defined]
    if node["type"] == "Feature":
        return _geometries(node["geometry"]) if node["geometry"] else []  # type: ignore[arg-type]
    return [node]


def _polygons(shape: dict[str, object]) -> list[list[list[list[float]]]]:
    if shape["type"] == "Polygon":
        return [shape["coordinates"]]  # type: ignore[list-item]
    return list(shape["coordinates"]) if shape["type"] == "MultiPolygon" else []  # type: ignore[call-overload]


def _ring(points: Sequence[Sequence[float]]) -> Array:
    longitudes, latitudes = (np.array([float(point[axis]) for point in points]) for axis in (0, 1))
    if not (np.abs(longitudes) <= 540).all() or not (np.abs(latitudes) <= 90).all():
        raise NoPolygons(
            f"has a corner at ({longitudes[0]:g}, {latitudes[0]:g}), which is not longitude and latitude: write it in "
            "EPSG:4326"
        )
    if len({(x, y) for x, y in zip(longitudes, latitudes, strict=True)}) < 3:
        raise NoPolygons("has a polygon with fewer than three corners: give at least three")
    steps = np.abs(np.diff(longitudes))
    if ((steps > 180) & (steps < 360)).any():  # no edge spans half the world: it goes the other way
        longitudes = np.unwrap(longitudes, period=360)
    tangents = np.tan(np.radians(np.clip(latitudes, -MOST_NORTHERN, MOST_NORTHERN)))
    return np.stack([longitudes / 180, np.arcsinh(tangents) / math.pi], axis=1) * HALF_WORLD_M


def _on_the_map(shape: Shape) -> list[Shape]:
    """The polygon shifted by whole turns around the world, for each turn in which it touches the map."""
    xs = shape[0][:, 0]
    turns = [2 * HALF_WORLD_M * turn for turn in (-1, 0, 1)]
    touching = [turn for turn in turns if xs.min() + turn < HALF_WORLD_M and xs.max() + turn > -HALF_WORLD_M]
    return [[ring + np.array([turn, 0]) for ring in shape] for turn in touching]


def common(shapes: Iterable[Shape], boxes: Sequence[Bounds]) -> list[Bounds]:
    """Intersections of boxes in EPSG:3857 with the bounds of polygons."""
    return [both for shape in shapes for box in boxes if (both := _common(_bounds(shape[0]), box))]


def touched(shapes: Iterable[Shape], boxes: Sequence[Bounds], zoom: int) -> set[Tile]:
    """The tiles that the polygons touch within boxes in EPSG:3857."""
    return {
        tile for shape in shapes for box in common([shape], boxes) for tile in _rasterized(shape, covering(box, zoom))
    }


def _bounds(ring: Array) -> Bounds:
    (left, bottom), (right, top) = ring.min(axis=0).tolist(), ring.max(axis=0).tolist()
    return left, bottom, right, top


def _common(a: Bounds, b: Bounds) -> Bounds | None:
    left, bottom, right, top = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
    return (left, bottom, right, top) if left < right and bottom < top else None


def _rasterized(shape: Shape, tiles: Sequence[Tile]) -> set[Tile]:
    """The tiles of a block that the polygon touches, found by rasterizing it with tiles as pixels."""
    if not tiles:
        return set()
    first, last = tiles[0], tiles[-1]
    left, _, _, top = bounds(first)
    _, bottom, right, _ = bounds(last)
    size = last.y - first.y + 1, last.x - first.x + 1
    place = from_bounds(left, bottom, right, top, size[1], size[0])
    polygon = {"type": "Polygon", "coordinates": [_closed(ring).tolist() for ring in shape]}
    drawn = rasterize([polygon], size, transform=place, all_touched=True, dtype=np.uint8)
    return {tile for tile in tiles if drawn[tile.y - first.y, tile.x - first.x]}


def _closed(ring: Floats) -> Floats:
    return ring if (ring[0] == ring[-1]).all() else np.concatenate([ring, ring[:1]])
