"""The area of interest that limits which tiles are made: tile names, a footprint, or a collect's tiles."""

import hashlib
import json
from collections.abc import Iterable, Sequence

from snowcover import storage
from snowcover.data import index
from snowcover.data.tiles import Bounds, Tile, bounds, parse, path
from snowcover.errors import UserError
from snowcover.prepare import polygons


class WrongCover(UserError):
    """A cover that names no tiles, or tiles of another zoom."""


class AreaOfInterest:
    """The tiles that may be made."""

    def __init__(self, tiles: Iterable[Tile] = (), footprint: Sequence[polygons.Shape] = ()) -> None:
        self._tiles = frozenset(tiles)
        self._footprint = footprint

    def within(self, boxes: Sequence[Bounds], zoom: int) -> set[Tile]:
        """The covered tiles that boxes in EPSG:3857 touch."""
        if self._footprint:
            return polygons.touched(self._footprint, boxes, zoom)
        return {tile for tile in self._tiles if any(_overlap(bounds(tile), box) for box in boxes)}

    def boxes(self, boxes: Sequence[Bounds]) -> list[Bounds]:
        """The parts of boxes in EPSG:3857 that the footprint's bounds cover; none for tiles given by name."""
        return polygons.common(self._footprint, boxes)

    @property
    def digest(self) -> str:
        """Identifies the area of interest in the index."""
        footprint = [[ring.tolist() for ring in shape] for shape in self._footprint]
        content = json.dumps([sorted(map(path, self._tiles)), footprint])
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def _overlap(a: Bounds, b: Bounds) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def read(cover: str | Sequence[str], zoom: int) -> AreaOfInterest:
    """The area of interest that the config key `cover` names.

    Raises:
        WrongCover, StorageError, BadIndex
    """
    if not isinstance(cover, str):
        return _from_tiles(cover, "cover", zoom)
    ending = cover.rpartition(".")[2].lower()
    if ending in ("geojson", "json"):
        return _from_polygons(cover)
    if ending in ("csv", "txt"):
        return _from_tiles(_names(storage.read(cover), cover), cover, zoom)
    if parse(f"{cover}.tif"):
        return _from_tiles([cover], "cover", zoom)
    if not cover.strip("/"):
        raise WrongCover(f"cover={cover!r} names nothing: {_GIVE}, or leave cover out to make all tiles.")
    return _from_tiles(_tiles_of_collect(cover.rstrip("/")), cover, zoom)


_GIVE = "give z/x/y names, a .csv or .txt of them, a .geojson, or a collect's folder"


def _from_polygons(cover: str) -> AreaOfInterest:
    try:
        return AreaOfInterest(footprint=polygons.read(storage.read(cover)))
    except polygons.NoPolygons as error:
        raise WrongCover(f"{cover} {error}.") from error


def _names(content: bytes, uri: str) -> list[str]:
    """The names in a text file, one or several per line, whatever editor wrote it."""
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise WrongCover(f"{uri} is not a text file ({error}): write z/x/y names, one per line, as UTF-8.") from error
    return [name for line in lines for name in (["".join(line.split())] if "," in line else line.split())]


def _tiles_of_collect(folder: str) -> list[str]:
    """The tiles of a collect, from its index or, if it has none, by listing the folder."""
    files = [file.uri for file in storage.list_files(f"{folder}/")]
    if f"{folder}/{index.NAME}" in files:
        uri = f"{folder}/{index.NAME}"
        found = index.from_json(storage.read(uri), uri)
        if not found.complete:
            raise WrongCover(f"cover={folder} is not finished: run the command that makes it once more.")
        return [entry.path for entry in found.tiles]
    return [file for file in files if parse(file)]


def _from_tiles(names: Sequence[str], origin: str, zoom: int) -> AreaOfInterest:
    tiles = [_tile(name, origin) for name in names]
    if not tiles:
        raise WrongCover(f"cover={origin} has no tiles: {_GIVE}.")
    if zooms := {tile.z for tile in tiles} - {zoom}:
        raise WrongCover(f"{origin} has tiles of zoom {min(zooms)}, zoom={zoom} was asked for: give zoom={min(zooms)}.")
    return AreaOfInterest(tiles)


def _tile(name: str, origin: str) -> Tile:
    """A name z/x/y, with or without .tif; in a CSV also x,y,z, as robosat.pink writes them."""
    if name.count(",") == 2:
        x, y, z = name.split(",")
        name = f"{z}/{x}/{y}"
    tile = parse(name) or parse(f"{name}.tif")
    if tile is None:
        raise WrongCover(f"{origin} names {name!r}, which is no tile: write z/x/y, or x,y,z in a CSV.")
    return tile
