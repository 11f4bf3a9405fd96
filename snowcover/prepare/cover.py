"""Limits the tiles to be made: to names, to a footprint, or to what a collect has."""

import hashlib
import json
from collections.abc import Iterable, Sequence

import numpy as np
from rasterio.features import rasterize
from rasterio.transform import from_bounds
from rasterio.warp import transform_geom

from snowcover import storage
from snowcover.data import index
from snowcover.data.tiles import Tile, bounds, parse, path
from snowcover.errors import UserError
from snowcover.prepare.positions import WEB_MERCATOR


class WrongCover(UserError):
    """A cover that names no tiles, or tiles of another zoom."""


class Cover:
    """The tiles that may be made."""

    def __init__(self, tiles: Iterable[Tile] = (), footprint: Sequence[dict[str, object]] = ()) -> None:
        self._tiles = frozenset(tiles)
        self._footprint = footprint  # shapes in EPSG:3857

    def of(self, candidates: Sequence[Tile]) -> list[Tile]:
        """Those of the candidates that are covered, in their order."""
        allowed = self._touched(candidates) if self._footprint else self._tiles
        return [tile for tile in candidates if tile in allowed]

    @property
    def digest(self) -> str:
        """Tells two covers apart, short enough to read."""
        told = json.dumps([sorted(map(path, self._tiles)), list(self._footprint)])
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def _touched(self, candidates: Sequence[Tile]) -> set[Tile]:
        """The footprint drawn on a raster whose pixels are tiles."""
        xs, ys = [tile.x for tile in candidates], [tile.y for tile in candidates]
        first, last = Tile(candidates[0].z, min(xs), min(ys)), Tile(candidates[0].z, max(xs), max(ys))
        left, _, _, top = bounds(first)
        _, bottom, right, _ = bounds(last)
        width, height = last.x - first.x + 1, last.y - first.y + 1
        place = from_bounds(left, bottom, right, top, width, height)
        drawn = rasterize(self._footprint, (height, width), transform=place, all_touched=True, dtype=np.uint8)
        return {tile for tile in candidates if drawn[tile.y - first.y, tile.x - first.x]}


def read(cover: str | Sequence[str], zoom: int) -> Cover:
    """The cover that the config names.

    Raises:
        WrongCover, StorageError, BadIndex
    """
    if not isinstance(cover, str):
        return _of_tiles(cover, "cover", zoom)
    if cover.endswith((".geojson", ".json")):
        return Cover(footprint=_shapes(storage.read(cover), cover))
    if cover.endswith((".csv", ".txt")):
        return _of_tiles(storage.read(cover).decode().split(), cover, zoom)
    if parse(f"{cover}.tif"):
        return _of_tiles([cover], "cover", zoom)
    return _of_tiles(_made(cover.rstrip("/")), cover, zoom)


def _made(folder: str) -> list[str]:
    """The tiles of a collect: by its index, or of one made otherwise by listing."""
    files = [file.uri for file in storage.list_files(f"{folder}/")]
    if f"{folder}/{index.NAME}" in files:
        uri = f"{folder}/{index.NAME}"
        found = index.from_json(storage.read(uri), uri)
        if not found.complete:
            raise WrongCover(f"cover={folder} is not finished: run the command that makes it once more.")
        return [entry.path for entry in found.tiles]
    return [file for file in files if parse(file)]


def _of_tiles(names: Sequence[str], told: str, zoom: int) -> Cover:
    tiles = [_tile(name, told) for name in names]
    if not tiles:
        raise WrongCover(
            f"cover={told} has no tiles: give z/x/y names, a .csv or .txt of them, a .geojson, or a collect's folder."
        )
    if zooms := {tile.z for tile in tiles} - {zoom}:
        raise WrongCover(f"{told} has tiles of zoom {min(zooms)}, zoom={zoom} was asked for: give zoom={min(zooms)}.")
    return Cover(tiles)


def _tile(name: str, told: str) -> Tile:
    """A name z/x/y, with or without .tif; in a CSV also x,y,z, as robosat.pink writes them."""
    if name.count(",") == 2:
        x, y, z = name.split(",")
        name = f"{z}/{x}/{y}"
    tile = parse(name) or parse(f"{name}.tif")
    if tile is None:
        raise WrongCover(f"{told} names {name!r}, which is no tile: write z/x/y, or x,y,z in a CSV.")
    return tile


def _shapes(content: bytes, uri: str) -> list[dict[str, object]]:
    """The polygons of a GeoJSON file (EPSG:4326, as RFC 7946 has it), in EPSG:3857."""
    try:
        found = _geometries(json.loads(content))
        shapes = [
            transform_geom("EPSG:4326", WEB_MERCATOR, shape) for shape in found if "Polygon" in str(shape["type"])
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WrongCover(f"{uri} is not GeoJSON ({type(error).__name__}: {error}): give a file of polygons.") from error
    if not shapes:
        raise WrongCover(f"{uri} has no polygon: give a footprint, for example a collect's footprint.geojson.")
    return shapes


def _geometries(node: dict[str, object]) -> list[dict[str, object]]:
    if node["type"] == "FeatureCollection":
        return [shape for feature in node["features"] for shape in _geometries(feature)]  # type: ignore[attr-defined]
    if node["type"] == "Feature":
        return _geometries(node["geometry"]) if node["geometry"] else []  # type: ignore[arg-type]
    return [node]
