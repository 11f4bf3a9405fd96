"""GDAL's warnings, kept off the terminal, where it would stand under the name of a temporary file."""

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator

from rasterio.errors import NotGeoreferencedWarning

warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)  # such a file is refused by its own name


class _Of(threading.local):
    """This thread's open blocks, the innermost last: the name that each listens for, and what it heard."""

    def __init__(self) -> None:
        self.blocks: list[tuple[str, list[str]]] = []


_of_thread = _Of()


@contextlib.contextmanager
def taken(name: str = "") -> Iterator[list[str]]:
    """What GDAL warns of in this thread until the block ends.

    Args:
        name: of the file as GDAL knows it, for warnings while several are open; "" takes all that remains.
    """
    block: tuple[str, list[str]] = (name, [])
    _of_thread.blocks.append(block)
    try:
        yield block[1]
    finally:
        _of_thread.blocks[:] = [other for other in _of_thread.blocks if other is not block]


def _take(record: logging.LogRecord) -> bool:
    """A logging filter: False for what was taken, and for what rasterio logs of errors that it raises too."""
    text = " ".join(record.getMessage().split())
    for name, heard in reversed(_of_thread.blocks):
        if name in text:
            if record.levelno >= logging.WARNING:
                heard.append(text)
            return False
    return record.levelno >= logging.WARNING


_log = logging.getLogger("rasterio._env")  # rasterio logs warnings in the thread that reads
_log.addFilter(_take)
_log.setLevel(logging.WARNING)  # however quiet the rest is to be
