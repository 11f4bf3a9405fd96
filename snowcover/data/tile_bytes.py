"""The bytes of a listed tile, from where it lies or from the cache."""

from snowcover import storage
from snowcover.data.geotiff import BrokenTile
from snowcover.storage.cache import Cache


def tile_bytes(file: storage.File, cache: Cache | None) -> bytes:
    """Raises: BrokenTile, StorageError"""
    try:
        return storage.read(file.uri, file.size_bytes) if cache is None else cache.read(file)
    except storage.FileChanged as error:
        raise BrokenTile(f"{error}.") from error
