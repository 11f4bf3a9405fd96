"""What can go wrong with a file, one class per failure; every message is one sentence with the way out."""

import errno

from snowcover.errors import UserError


class StorageError(UserError):
    """A file or a folder cannot be read, listed or written."""


class MissingFile(StorageError):
    """There is no such file."""


class FileExists(StorageError):
    """There is a file of that name already, with other content."""


class MissingBucket(StorageError):
    """There is no such bucket."""


class OtherRegion(StorageError):
    """The bucket lies in another AWS region than the one that was asked."""


class NoCredentials(StorageError):
    """There are no AWS credentials, or none that the server takes."""


class AccessDenied(StorageError):
    """The file exists for somebody else."""


class Unreachable(StorageError):
    """The server did not answer as it should, however often it was asked."""


class FileChanged(StorageError):
    """The file is not of the size that it was listed with, or became another while it was read."""


class DiskFull(StorageError):
    """There is no room left to write to."""


def other_size(uri: str, size_bytes: int, listed_bytes: int) -> FileChanged:
    """The error for a file of another size than the listed one."""
    return FileChanged(
        f"{uri} has {size_bytes} bytes where {listed_bytes} were listed: it was changed or cut short since, so copy "
        "or make it again, or list it again by starting again"
    )


def changed_while_read(uri: str) -> FileChanged:
    """The error for a file that is being written to."""
    return FileChanged(f"{uri} cannot be read because it was changed meanwhile: start again")


def already_there(uri: str) -> FileExists:
    """The error for a file that must be a new one."""
    return FileExists(f"{uri} is there already with other content, and stays: write to another name")


NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def of_disk(error: OSError, path: str, verb: str) -> StorageError:
    """Names an error of the local disk; `verb` says what was tried: read, listed, written."""
    if isinstance(error, FileNotFoundError):
        return MissingFile(f"{path} cannot be {verb} because it does not exist: check the path")
    if error.errno in NO_ROOM:
        return DiskFull(f"{path} cannot be {verb} because the disk is full: free some space or choose another")
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return AccessDenied(f"{path} cannot be {verb} ({error.strerror}): change its permissions or the path")
    return StorageError(f"{path} cannot be {verb} ({error.strerror or error}): check the path and the disk")
