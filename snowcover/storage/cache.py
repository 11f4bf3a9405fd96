"""Tiles of S3 kept in a folder once they were read."""

import hashlib
import os
import zlib

from snowcover import storage
from snowcover.storage import File, local
from snowcover.storage.errors import MissingFile, StorageError

CHECKSUM_BYTES = 4  # CRC-32, which costs a tenth of the reading


class Cache:
    """A folder of files once read, for any number of threads and processes at a time.

    A file is kept under a digest of its uri, with a checksum behind it, and served only where its size is the listed
    one and the checksum fits: so an object replaced by one of another size is read again, and a file that was cut
    short or damaged is never served. The size is all that a manifest holds of a file next to its uri, on every kind of
    storage; an object replaced by one of exactly the same size needs an empty cache folder.

    Args:
        folder: a folder of this machine, made on the first read.
    """

    def __init__(self, folder: str) -> None:
        if storage.is_remote(folder):
            raise StorageError(f"{folder} cannot be a cache: give a folder of this machine")
        self.folder = folder

    def read(self, file: File) -> bytes:
        """The content of `file`, from the folder where it is kept there; local files are not kept.

        Raises:
            StorageError: as `storage.read` and `storage.write`; DiskFull where the folder has no room.
        """
        if not storage.is_remote(file.uri):
            return storage.read(file.uri, file.size_bytes)
        path = self._path(file)
        content = _kept(path)
        if content is None or len(content) != file.size_bytes:
            content = storage.read(file.uri, file.size_bytes)
            local.write(path, content + _checksum(content))
        return content

    def _path(self, file: File) -> str:
        name = hashlib.sha256(file.uri.encode()).hexdigest()
        return os.path.join(self.folder, name[:2], name)  # 256 folders: none grows to a million names


def _kept(path: str) -> bytes | None:
    try:
        kept = local.read(path)
    except MissingFile:
        return None
    content = kept[:-CHECKSUM_BYTES]
    return content if kept[-CHECKSUM_BYTES:] == _checksum(content) else None


def _checksum(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(CHECKSUM_BYTES, "little")
