"""Files in folders of this machine."""

import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from snowcover.storage import errors

COPY_BYTES = 1 << 22  # 4 MiB at a time: large enough to be quick, small compared with a batch of tiles
LEFT_OVER_AFTER_S = 3600  # without a byte: nobody writes so slowly
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


def remove_leftovers(folder: str) -> None:
    """Removes temporary files that killed processes have left below `folder`; see `storage.remove_leftovers`."""
    for above, _, names in os.walk(folder):
        for name in filter(_TEMPORARY.fullmatch, names):
            path = os.path.join(above, name)
            with suppress(OSError):  # somebody else's, or removed meanwhile: no matter
                if time.time() - os.stat(path).st_mtime > LEFT_OVER_AFTER_S and not is_held(path):
                    os.remove(path)


def hold(file: BinaryIO) -> None:
    """Marks an open file as in use until it is closed, which the end of its process does too."""
    with suppress(OSError):  # a file system without locks: its age alone decides then
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_held(path: str) -> bool:
    """Whether a process marks a file as in use; on another machine too, where the file system shares locks."""
    with open(path, "rb+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False


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


def create(path: str, content: bytes) -> None:
    """Writes a file that is not there yet, whole or not at all; see `storage.create`."""
    complete = os.path.join(os.path.dirname(path), f".{secrets.token_hex(8)}.tmp")
    write(complete, content)
    try:
        with _named_errors(path, "written"):
            os.link(complete, path)  # unlike a rename, never in place of another
    except errors.StorageError as error:
        if isinstance(error.__cause__, FileExistsError):
            raise errors.already_there(path) from error
        raise
    finally:
        os.remove(complete)


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
                hold(file)
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
