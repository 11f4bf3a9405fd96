"""Files in folders of this machine."""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from snowcover.storage import errors

COPY_BYTES = 1 << 22  # 4 MiB at a time: large enough to be quick, small beside a batch of tiles
_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.tmp")


def sizes(prefix: str) -> dict[str, int]:
    """Size in bytes of every file whose path begins with `prefix`, by path; see `storage.list_files`."""
    name_begins = prefix.rpartition("/")[2]
    with _named_errors(prefix, "listed"):
        return dict(_walk(prefix.removesuffix(name_begins), name_begins, parents=()))


def _walk(folder: str, name_begins: str, parents: tuple[tuple[int, int], ...]) -> Iterator[tuple[str, int]]:
    """Paths and sizes below `folder` ("" or ending in a slash), following links but never in a circle."""
    try:
        status = os.stat(folder or ".")
        entries = list(os.scandir(folder or "."))
    except (FileNotFoundError, NotADirectoryError):
        return  # nothing begins so, as with a prefix in S3; or it was removed while we looked
    here = (status.st_dev, status.st_ino)
    if here in parents:
        return
    for entry in entries:
        path = folder + entry.name
        if not entry.name.startswith(name_begins) or _TEMPORARY.fullmatch(entry.name):
            continue
        if entry.is_dir():
            yield from _walk(path + "/", "", (*parents, here))
        elif entry.is_file():
            with suppress(FileNotFoundError):
                yield path, entry.stat().st_size


def read(path: str, listed_bytes: int | None = None) -> bytes:
    """The whole file; see `storage.read`."""
    with opened(path) as file:
        content = file.read()
    if listed_bytes is not None and len(content) != listed_bytes:
        raise errors.other_size(path, len(content), listed_bytes)
    return content


def write(path: str, content: bytes) -> None:
    """Writes the whole file or nothing; see `storage.write`."""
    with atomically(path) as file:
        file.write(content)


def delete(path: str) -> None:
    """Removes a file; see `storage.delete`."""
    with _named_errors(path, "removed"), suppress(FileNotFoundError):
        os.remove(path)


def download(path: str, target: str) -> None:
    """Copies a file, whole or not at all; see `storage.download`."""
    with opened(path) as source:
        before = os.fstat(source.fileno())
        with atomically(target) as file:
            while part := source.read(COPY_BYTES):
                file.write(part)
            after = os.fstat(source.fileno())
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                raise errors.changed_while_read(path)


def upload(source: str, path: str) -> None:
    """Copies a file, whole or not at all; see `storage.upload`."""
    download(source, path)


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """A file to read from."""
    with _named_errors(path, "read"), open(path, "rb") as file:
        yield file


@contextmanager
def atomically(path: str) -> Iterator[BinaryIO]:
    """A file to write to that becomes `path` when the block ends well, and vanishes when it does not.

    Makes the folder. The temporary name lies in the same folder, because a rename is atomic only within
    one file system; the content is on the disk before it gets its name, so that no crash leaves half a file.
    """
    folder = os.path.dirname(path)
    temporary = os.path.join(folder, f".{secrets.token_hex(8)}.tmp")
    with _named_errors(path, "written"):
        try:
            os.makedirs(folder or ".", exist_ok=True)
            with open(temporary, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.remove(temporary)
            raise


@contextmanager
def _named_errors(path: str, verb: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise errors.of_disk(error, path, verb) from error
