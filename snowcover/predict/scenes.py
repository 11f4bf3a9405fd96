"""The scenes that a command maps: GeoTIFFs and folders of z/x/y tiles, each with a unique name."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

from snowcover import storage
from snowcover.data.folder import Folder
from snowcover.data.listing import Listing
from snowcover.errors import UserError
from snowcover.predict.config import Config
from snowcover.prepare import raster, sources
from snowcover.prepare.sources import NoScenes

DEMO = "demo"
_TIFF = re.compile(r"\.(tiff?|vrt|jp2)$", re.IGNORECASE)


class NotForTiles(UserError):
    """A key is given that applies to GeoTIFFs only, but the scene is a folder of tiles."""


@dataclass(frozen=True)
class ListedScene:
    """A scene before it is opened."""

    uri: str
    name: str
    size_bytes: int
    """of its file, or the sum over its tiles"""
    folder: Folder | None = None
    """None for a GeoTIFF"""

    def checksum(self) -> int | None:
        """zlib.crc32 of the file, or of the names and sizes of its tiles; None for a file in S3, which is not local."""
        if self.folder is not None:
            tiles = [(file.uri.removeprefix(self.uri), file.size_bytes) for file in self.folder.tiles.values()]
            return crc32(json.dumps(sorted(tiles)).encode())
        return None if storage.is_remote(self.uri) else raster.checksum(self.uri)


def list_scenes(config: Config) -> list[ListedScene]:
    """The scenes that a command names, sorted.

    Raises:
        NoScenes: a pattern matches nothing, or two scenes have one name.
        MixedQuantities, NotForTiles, FolderDiffers, BadIndex, StorageError
    """
    listing = Listing()
    found = {scene.uri: scene for pattern in config.patterns for scene in _matching(pattern, listing)}
    scenes = [found[uri] for uri in sorted(found)]
    sources.check_compatible(config, [scene.uri for scene in scenes])
    folders = [scene for scene in scenes if scene.folder is not None]
    if folders and (keys := list(_geotiff_keys(config))):
        raise NotForTiles(
            f"{folders[0].uri} is a folder of tiles, and {keys[0]} applies to GeoTIFFs only: leave {keys[0]} out, or "
            "map the two kinds in two commands."
        )
    return scenes


def _matching(pattern: str, listing: Listing) -> Iterator[ListedScene]:
    """The folders of tiles that a pattern matches or, if there are none, the files."""
    folders = [] if _TIFF.search(pattern) else listing.scenes(pattern)
    for folder in folders:
        yield ListedScene(folder.uri, folder.name, _size_bytes(list(folder.tiles.values())), folder)
    if folders:
        return
    try:
        files = sources.matching(pattern)
    except NoScenes as error:
        raise NoScenes(
            f"No GeoTIFF and no folder of z/x/y tiles matches scenes={pattern}: check the path, and quote it where it "
            "has a *."
        ) from error
    for file in files:
        yield ListedScene(file.uri, raster.stem(file.uri), file.size_bytes)


def _size_bytes(files: Sequence[storage.File]) -> int:
    return sum(file.size_bytes for file in files)


def _geotiff_keys(config: Config) -> Iterator[str]:
    if config.udm.file is not None:
        yield "udm.file"
    for key in ("bands", "crs"):
        if getattr(config, key) is not None:
            yield key
    if config.radiance != "keep":
        yield "radiance"
