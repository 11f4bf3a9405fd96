"""Which pixels of a raster are observed: one rule, for making tiles and for training on them. Pure.

A pixel is unobserved where any band is not finite, where any band equals a nodata value other than 0, where all bands
are 0 and 0 is nodata (one dark band alone is a measurement), or where the dataset's own mask (an alpha band or an
internal mask) is 0.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
FLOAT32_EPSILON = 2.0**-23  # nodata values are often written as float32 and read as float64, or the other way round
TINY = 1e-30  # smaller is 0 in float32 after a factor or two


def observed(bands: Sequence[Array], nodata: float | None, dataset_mask: Array | None = None) -> Array:
    """Where a pixel is observed, [H, W] bool.

    Args:
        bands: each [H, W], all of one type.
        nodata: the value of unobserved pixels; None where there is none. One that is not finite adds nothing.
        dataset_mask: [H, W], 0 where the file's own mask says unobserved; None where it has no mask.
    """
    seen = _nonzero(bands) if nodata == 0 else _all(~equals(band, nodata) for band in bands)
    if bands[0].dtype.kind == "f":
        seen &= _all(np.isfinite(band) for band in bands)
    if dataset_mask is not None:
        seen &= dataset_mask != 0
    return seen


def equals(values: Array, nodata: float | None) -> Array:
    """Where values are the nodata value, to float32's rounding where they are floating point; same shape, bool."""
    if nodata is None or not holds(values.dtype, nodata):
        return np.zeros(values.shape, bool)
    if values.dtype.kind != "f":
        return values == values.dtype.type(nodata)
    if np.isnan(nodata):
        return np.isnan(values)
    if np.isinf(nodata) or nodata == 0:
        return values == values.dtype.type(nodata)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.abs(values - values.dtype.type(nodata)) <= abs(nodata) * FLOAT32_EPSILON


def holds(dtype: Any, value: float) -> bool:
    """Whether a type can hold a nodata value: -9999 is no uint16, and NaN or 0.5 no whole number."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return bool(not np.isfinite(value) or abs(value) <= float(np.finfo(dtype).max) * (1 + FLOAT32_EPSILON))
    if not np.isfinite(value) or value != int(value):
        return False
    info = np.iinfo(dtype)
    return bool(info.min <= int(value) <= info.max)


def mark_unobserved(image: Array, seen: Array) -> None:
    """Make unobserved pixels of [C, H, W] 0 in all bands, and no others: an observed 0 becomes the next number."""
    image[:, ~seen] = 0
    floating = image.dtype.kind == "f"
    dark = seen & ~(np.abs(image) >= TINY if floating else image).any(axis=0)
    if dark.any():
        image[:, dark] = max(TINY, float(np.finfo(image.dtype).tiny)) if floating else 1


def _nonzero(bands: Sequence[Array]) -> Array:
    seen: Array = bands[0] != 0
    for band in bands[1:]:
        seen |= band != 0
    return seen


def _all(parts: Any) -> Array:
    seen: Array | None = None
    for part in parts:
        seen = part if seen is None else seen & part
    assert seen is not None
    return seen
