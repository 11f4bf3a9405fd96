"""The tiles of one scene or collect as they were listed, compared with the index that prepare left next to them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from snowcover import storage
from snowcover.data import index
from snowcover.data.index import Index
from snowcover.data.tiles import Tile, parse
from snowcover.errors import UserError

NAMED = 3  # how many tiles a message names


class FolderDiffers(UserError):
    """A folder does not hold the tiles that its tiles.json says."""


class TileTwice(UserError):
    """A tile is there twice."""


@dataclass(frozen=True)
class Folder:
    """A scene or collect."""

    uri: str
    tiles: Mapping[Tile, storage.File]
    index: storage.File | None
    """its tiles.json"""

    @property
    def name(self) -> str:
        return self.uri.rsplit("/", 1)[-1]


def folders(files: Iterable[storage.File]) -> list[Folder]:
    """The folders of z/x/y.tif among listed files, sorted.

    Raises:
        TileTwice: y.tif and y.tiff of one tile.
        FolderDiffers: a tile has its mask in a file of its own, which would not be read.
    """
    tiles: dict[str, dict[Tile, storage.File]] = {}
    others: dict[str, storage.File] = {}
    for file in files:
        tile = parse(file.uri)
        if tile is None:
            others[file.uri] = file
            continue
        found = tiles.setdefault(file.uri.rsplit("/", 3)[0], {})
        if tile in found:
            raise TileTwice(f"{found[tile].uri} and {file.uri} are one tile: remove one of them.")
        found[tile] = file
    result = [Folder(uri, tiles[uri], others.get(f"{uri}/{index.NAME}")) for uri in sorted(tiles)]
    for file in (file for folder in result for file in folder.tiles.values()):
        if f"{file.uri}.msk" in others:
            raise FolderDiffers(
                f"{file.uri}.msk holds a mask that is not read: put it into the tile (gdal_translate --config "
                "GDAL_TIFF_INTERNAL_MASK YES), or remove it."
            )
    return result


def check_index(folder: Folder, found: Index, kind: str) -> str | None:
    """Hold a folder against its index.

    Args:
        kind: what the folder is to be, scene, collect or layer.

    Returns:
        What to show the user although nothing is wrong; None mostly.

    Raises:
        FolderDiffers: tiles were added, deleted or changed in size since, or it is of the other kind.
    """
    if found.kind != kind:
        raise FolderDiffers(f"{folder.uri} is a {found.kind}, by its {index.NAME}: give a {kind} here.")
    if not found.complete:
        return f"{folder.uri} is not complete, by its {index.NAME}: run prepare again, or train on a part of its tiles."
    said = {f"{folder.uri}/{entry.path}": entry.size_bytes for entry in found.tiles}
    there = {file.uri: file.size_bytes for file in folder.tiles.values()}
    problems = [
        *_format_difference(folder, there.keys() - said.keys(), "not in it"),
        *_format_difference(folder, said.keys() - there.keys(), "missing"),
        *_format_difference(
            folder, {uri for uri in said.keys() & there.keys() if said[uri] != there[uri]}, "of another size"
        ),
    ]
    if problems:
        raise FolderDiffers(
            f"{folder.uri} differs from its {index.NAME} ({'; '.join(problems)}): run prepare again, which makes again "
            f"what differs, or remove {index.NAME} to train on what is there."
        )
    return None


def _format_difference(folder: Folder, uris: set[str], how: str) -> list[str]:
    """`2 tiles missing: 15/1/2.tif, 15/1/3.tif`, or nothing."""
    if not uris:
        return []
    names = [uri.removeprefix(f"{folder.uri}/") for uri in sorted(uris)]
    shown = ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
    return [f"{len(names)} tile{'s' if len(names) > 1 else ''} {how}: {shown}"]
