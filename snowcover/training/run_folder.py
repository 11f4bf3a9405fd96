"""A run's folders on this machine: one process at a time, tidied of what a kill left, with the log in the right one."""

import contextlib
import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from snowcover import checkpoints
from snowcover.errors import UserError


class InUse(UserError):
    """Another process trains into the same folder now."""


class NoFolder(UserError):
    """The folder of checkpoints cannot be made or opened."""


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Within the block no other process that asks has the folder of checkpoints; a killed one has let go of it.

    Raises:
        InUse, NoFolder
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise NoFolder(
            f"No checkpoint can be saved in {folder} ({error.strerror}): give a folder that can be written with "
            "hydra.run.dir, or checkpoint.dir for the checkpoints alone."
        ) from error
    try:
        _lock(handle, folder)
        checkpoints.remove_left_over(folder)
        yield
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()  # where the run was refused before it had anything to save
        os.close(handle)  # and with it the lock


def _lock(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise InUse(
                f"Another process trains into {folder} at this moment: wait until it has ended, or give another "
                "checkpoint.dir."
            ) from error
        # else a network's file system that has no locks for folders


def move_log(before: Path, folder: Path) -> None:
    """Move a folder's log, and what is logged from now on, to another's file of that name; remove the first if empty.

    For a resumed run: Hydra makes a folder for each command, and opens its log there.
    """
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler) and Path(handler.baseFilename).parent.resolve() == before.resolve():
            _move(handler, folder.resolve() / Path(handler.baseFilename).name)
    with contextlib.suppress(OSError):
        before.rmdir()  # not while it has other files


def _move(handler: logging.FileHandler, path: Path) -> None:
    handler.acquire()
    try:
        handler.close()
        said = Path(handler.baseFilename)
        with path.open("ab") as file:
            file.write(said.read_bytes() if said.is_file() else b"")
        said.unlink(missing_ok=True)
        handler.baseFilename, handler.mode = str(path), "a"
        handler.stream = handler._open()
    finally:
        handler.release()
