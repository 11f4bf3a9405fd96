"""The only reader and writer of folders and S3.

A file is named by a uri: `s3://bucket/folder/file`, or a path of this machine. Every failure is a
StorageError whose text is one message. S3 uses AWS's standard credential chain and settings (see
s3_connection); what can pass is tried again for about a minute. Any number of threads may call; processes
must not be forked from one that has used S3.
"""

from dataclasses import dataclass
from typing import Protocol

from snowcover.storage import local, s3, s3_connection
from snowcover.storage.errors import (
    AccessDenied,
    DiskFull,
    FileChanged,
    FileExists,
    MissingBucket,
    MissingFile,
    NoCredentials,
    OtherRegion,
    StorageError,
    Unreachable,
)

__all__ = [
    "AccessDenied",
    "DiskFull",
    "File",
    "FileChanged",
    "FileExists",
    "MissingBucket",
    "MissingFile",
    "NoCredentials",
    "OtherRegion",
    "StorageError",
    "Unreachable",
    "create",
    "delete",
    "download",
    "forget_connections",
    "is_remote",
    "list_files",
    "read",
    "remove_leftovers",
    "upload",
    "write",
]


@dataclass(frozen=True)
class File:
    """A file as it was listed."""

    uri: str
    size_bytes: int


def is_remote(uri: str) -> bool:
    """Whether the uri names something in S3."""
    return uri.startswith("s3://")


def list_files(prefix: str) -> list[File]:
    """Every file whose uri begins with the literal `prefix`, sorted by uri; empty where there is none.

    The prefix may end in the middle of a name: `s3://b/2018052` finds s3://b/2018052x_tiled/15/1/2.tif, and
    `data/image` finds data/images/1.tif and data/image.txt; the bucket's name must be whole. Uris come
    back in the form in which the prefix was given. In S3 this is one flat listing, a request per 1,000
    files.

    Raises:
        StorageError: MissingBucket, NoCredentials, AccessDenied, OtherRegion or Unreachable.
    """
    sizes = _place(prefix).sizes(prefix)
    return [File(uri, sizes[uri]) for uri in sorted(sizes)]


def read(uri: str, listed_bytes: int | None = None) -> bytes:
    """The whole content of a file, into memory, so not for hundreds of MB (see `download`).

    Args:
        listed_bytes: the size that the file was listed with, where that is known.

    Raises:
        StorageError: MissingFile, MissingBucket, NoCredentials, AccessDenied, OtherRegion or Unreachable;
            FileChanged where the file is not of the listed size.
    """
    return _place(uri).read(uri, listed_bytes)


def write(uri: str, content: bytes) -> None:
    """Writes a file, whole or not at all, in place of any of that name; makes the folders above it.

    Raises:
        StorageError: DiskFull, MissingBucket, NoCredentials, AccessDenied, OtherRegion or Unreachable.
    """
    _place(uri).write(uri, content)


def create(uri: str, content: bytes) -> None:
    """Writes a file that is not there yet, whole or not at all; of several at once one succeeds.

    The same content once more changes nothing.

    Raises:
        StorageError: FileExists where other content is there; as `read` and `write`.
    """
    try:
        _place(uri).create(uri, content)
    except FileExists:
        if read(uri) != content:
            raise


def delete(uri: str) -> None:
    """Removes a file; one that is not there is no error.

    Raises:
        StorageError: as `write`.
    """
    _place(uri).delete(uri)


def download(uri: str, path: str) -> None:
    """Copies a file of any size to a local path, a part at a time; the path appears whole or not at all.

    Raises:
        StorageError: as `read` and `write`; FileChanged where the file is changed on the way.
    """
    _place(uri).download(uri, path)


def upload(path: str, uri: str) -> None:
    """Copies a local file of any size to a uri, a part at a time; the file there appears whole or not at all.

    Raises:
        StorageError: as `read` and `write`.
    """
    _place(uri).upload(path, uri)


def remove_leftovers(folder: str) -> None:
    """Removes temporary files of ours below a folder of this machine: those that a killed process has left.

    One that a process still has open, or has written to within the hour, stays. In S3 nothing is left behind: an
    object appears whole or not at all.
    """
    if not is_remote(folder):
        local.remove_leftovers(folder)


def forget_connections() -> None:
    """Drops what was derived from the AWS settings, for a process that has changed them."""
    s3_connection.forget()


class _Place(Protocol):
    """What storage.local and storage.s3 have in common."""

    def sizes(self, prefix: str, /) -> dict[str, int]: ...
    def read(self, uri: str, listed_bytes: int | None, /) -> bytes: ...
    def write(self, uri: str, content: bytes, /) -> None: ...
    def create(self, uri: str, content: bytes, /) -> None: ...
    def delete(self, uri: str, /) -> None: ...
    def download(self, uri: str, path: str, /) -> None: ...
    def upload(self, path: str, uri: str, /) -> None: ...


def _place(uri: str) -> _Place:
    if is_remote(uri):
        return s3
    if "://" in uri:
        raise StorageError(f"{uri} is neither in S3 nor on this machine: write s3://bucket/file or a path")
    return local
