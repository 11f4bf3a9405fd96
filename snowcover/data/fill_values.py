"""Fill values that nothing in a file says to be such: a wrong number is worse than a refused tile. Pure."""

from typing import Any

import numpy as np

from snowcover.errors import UserError

Array = np.ndarray[Any, Any]
MANY = 1e-3  # share of a tile's pixels with one improbable value in all bands
MANY_PX = 8
MANY_ZEROS = 0.05  # a deep shadow may be 0 in all bands; more than that is what no swath covers
USUAL_FILLS = (-9999, -99999, -32768, -32767, -999)
BEYOND = 1e6  # no satellite's number is


class UntaggedFill(UserError):
    """Many pixels hold one value that can be no measurement, and the file does not say that it is nodata."""


def refuse_untagged_fill(uri: str, image: Array, seen: Array) -> None:
    """Look for a value such as -9999 in a tile whose file says nothing of unobserved pixels.

    Args:
        image: [C, H, W]
        seen: [H, W], where it would count as observed.

    Raises:
        UntaggedFill
    """
    first = image[0]
    same = seen & _improbable(first, alone=len(image) == 1)
    if not same.any():
        return
    for band in image[1:]:
        same &= band == first
    values, counts = np.unique(first[same], return_counts=True)
    if not len(counts) or counts.max() < max(MANY_PX, MANY * first.size):
        return
    value = float(values[counts.argmax()])
    raise UntaggedFill(
        f"{uri} holds {value:.9g} in {'all bands' if len(image) > 1 else 'its band'} of {counts.max()} of its "
        f"{first.size} pixels, and does not say what that means: if they are unobserved, give data.nodata={value:.9g} "
        f"or tag the file (gdal_edit.py -a_nodata {value:.9g}); if not, tag it with the value that is."
    )


def refuse_zero_fill(uri: str, image: Array, seen: Array, nodata: float) -> None:
    """Look for ground that is 0 in all bands where another value is nodata.

    Raises:
        UntaggedFill
    """
    zeros = int(np.count_nonzero(seen & ~image.any(axis=0)))
    if zeros > max(MANY_PX, MANY_ZEROS * seen.size):
        raise UntaggedFill(
            f"{uri} is 0 in all bands in {zeros} of its {seen.size} pixels, and its nodata value is {nodata:.9g}: if "
            "they are unobserved, tag it with 0 (gdal_edit.py -a_nodata 0), which is nodata where all bands are 0."
        )


def _improbable(values: Array, alone: bool) -> Array:
    """Where a value is suspicious if all bands have it: negative, beyond measure, or the end of a 16 bit type."""
    if values.dtype.kind == "f":
        beyond = np.abs(values) >= BEYOND
    else:
        end = np.iinfo(values.dtype).max
        beyond = values == end if end > 255 else np.zeros(values.shape, bool)  # 255 is bright snow in 8 bit
    return beyond | (np.isin(values, USUAL_FILLS) if alone else values < 0)
