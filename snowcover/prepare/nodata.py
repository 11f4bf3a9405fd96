"""Nodata values of a source and of its tiles, and how measurements are kept distinct from them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from snowcover.data.observed import FLOAT32_EPSILON, equals, holds, observed
from snowcover.errors import UserError
from snowcover.prepare.pixels import Pixels
from snowcover.prepare.reprojection import Array


class WrongNodata(UserError):
    """A nodata value that the pixels' type cannot hold."""


def nodata_values(uri: str, pixels: Pixels, given: float | None) -> tuple[float, ...]:
    """The values of unobserved pixels: the file's own nodata value, and the user's.

    Raises: WrongNodata
    """
    if given is not None and not holds(pixels.dtype, given):
        raise WrongNodata(
            f"nodata={given:g} cannot be in {uri}, whose pixels are {pixels.dtype}: give a value of that type, or "
            "leave nodata out."
        )
    own = [value for value in (pixels.nodata,) if value is not None and holds(pixels.dtype, value)]
    return tuple(dict.fromkeys(own if given is None else [*own, float(given)]))


def seen(bands: Sequence[Array], nodata: Sequence[float], mask: Array | None) -> Array:
    """Where a pixel was observed, [H, W] bool: see snowcover.data.observed, for several nodata values."""
    found = observed(bands, nodata[0] if nodata else None, mask)
    for value in nodata[1:]:
        found &= observed(bands, value)
    return found


def tile_nodata(dtype: str, nodata: Sequence[float]) -> float:
    """The nodata value of a scene's tiles: a number that all programs read alike.

    Floating point without a finite nodata value of its own gets NaN, which no measurement equals.
    """
    finite = [value for value in nodata if math.isfinite(value)]
    if np.dtype(dtype).kind == "f":
        return float(np.dtype(dtype).type(finite[0])) if finite else math.nan
    return finite[0] if finite else 0.0


def keep_off(values: Array, where: Array, nodata: float) -> None:
    """Change [H, W, C] so that no reader takes a pixel in `where` [H, W] for nodata: see snowcover.data.observed."""
    if nodata != 0:
        for band in range(values.shape[2]):
            equal = equals(values[..., band], nodata) & where
            if equal.any():
                values[equal, band] = _nearest_other(values.dtype, nodata)
        return
    equal = (values[..., 0] == 0) & where
    if equal.any():
        equal[equal] = (values[equal] == 0).all(axis=1)
        values[equal] = _nearest_other(values.dtype, nodata)


def _nearest_other(dtype: Any, nodata: float) -> float:
    """The nearest value that no reader takes for nodata, towards 0 unless nodata is 0."""
    if np.dtype(dtype).kind != "f":
        return nodata + 1 if nodata <= 0 else nodata - 1
    return nodata * (1 - 4 * FLOAT32_EPSILON) if nodata else float(np.finfo(np.float32).tiny)
