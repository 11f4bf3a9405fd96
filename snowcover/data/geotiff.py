"""A GeoTIFF in memory, opened and read so that damage never passes.

GDAL drops a tag that it cannot read, such as one that was cut off the end of the file, and only warns; the bands'
names, nodata or place are then missing as if they had never been there. Here such a warning is an error.
"""

import contextlib
import logging
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader, MemoryFile

from snowcover.data import gdal, gdal_warnings
from snowcover.errors import UserError

log = logging.getLogger(__name__)

_DAMAGE = re.compile(r"IO error|ignor|can ?not|could not|fail|corrupt|incorrect|wrong|invalid|missing", re.I)
_TEMPORARY_NAME = re.compile(r"(CPLE_\w+ in )?(\S*[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\S*?:? )?")


class BrokenTile(UserError):
    """A file is not a whole GeoTIFF."""


def environment() -> rasterio.Env:
    """What `opened` is to be called in. Without EMPTY_DIR, GDAL looks for side files of every tile."""
    return gdal.environment(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR")


_logged: set[str] = set()


@contextlib.contextmanager
def opened(uri: str, content: bytes) -> Iterator[DatasetReader]:
    """The GeoTIFF in `content`; call within `environment()`.

    Raises:
        BrokenTile: it is not whole: also where only a tag cannot be read, whether on opening or later in the block.
    """
    if not content:
        raise BrokenTile(f"{uri} is empty: make or copy this tile again.")
    with MemoryFile(content) as memory, gdal_warnings.taken() as heard:
        try:
            file = memory.open(driver="GTiff")
        except RasterioError as error:
            raise _broken(uri, "is no readable GeoTIFF", _cause(error)) from error
        with file:
            file.tags()  # read now: what GDAL leaves for later would be missed
            _refuse_damage(uri, heard)
            yield file
        _refuse_damage(uri, heard)


def read(uri: str, file: DatasetReader, band: int | list[int]) -> np.ndarray[Any, Any]:
    """One band [H, W] or several [C, H, W].

    Raises:
        BrokenTile
    """
    try:
        return file.read(band)
    except RasterioError as error:
        raise broken_pixels(uri, error) from error


def broken_pixels(uri: str, error: RasterioError) -> BrokenTile:
    """The error for a file whose pixels cannot be read."""
    return _broken(uri, "is cut short or damaged", _cause(error))


def _refuse_damage(uri: str, heard: list[str]) -> None:
    for text in (_TEMPORARY_NAME.sub("", text, count=1) for text in heard):
        if _DAMAGE.search(text):
            raise _broken(uri, "is cut short or damaged", text)
        _log_once(uri, text)
    heard.clear()


def _log_once(uri: str, text: str) -> None:
    """A warning that is no sign of damage: of a thousand tiles the first is enough."""
    if text not in _logged:
        _logged.add(text)
        log.warning("%s: GDAL warns: %s", uri, text)


def _broken(uri: str, what: str, why: str) -> BrokenTile:
    return BrokenTile(f"{uri} {what} ({why}): make or copy this tile again.")


def _cause(error: BaseException) -> str:
    """The innermost words, which are GDAL's; rasterio's own only point at them."""
    while error.__cause__ is not None:
        error = error.__cause__
    return _TEMPORARY_NAME.sub("", " ".join(str(error).split()), count=1)
