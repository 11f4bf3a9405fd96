"""Radiance at the top of the atmosphere -> reflectance there."""

import numpy as np

from snowcover.prepare.nodata import keep_off
from snowcover.prepare.reprojection import Array


def to_reflectance(values: Array, factors: Array, seen: Array, nodata: float) -> Array:
    """Bands of [H, W, C] times their factors, in the same type; where not `seen` [H, W], nodata and only there."""
    result: Array = values * factors
    if values.dtype.kind in "iu":
        result = np.clip(np.rint(result), 0, np.iinfo(values.dtype).max)
    result = result.astype(values.dtype)
    result[seen == 0] = nodata
    keep_off(result, seen != 0, nodata)
    return result
