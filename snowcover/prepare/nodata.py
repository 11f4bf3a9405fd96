"""Values that mean "not observed": those of a source, that of its tiles, and measurements kept apart from it."""

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
    """What a pixel may be equal to where it was not observed: the file's own nodata value, and the user's.

    Raises: WrongNodata
    """
    if given is not None and not holds(pixels.dtype, given):
        raise WrongNodata(
            f"nodata={given:g} cannot be in {uri}, whose pixels are {pixels.dtype}: give a value that such a pixel can "
            "have, or leave nodata out."
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
    """The nodata value of the tiles of a scene: a number that all programs take for the same one.

    Floating point with no finite nodata value of its own gets NaN: no measurement can be equal to it.
    """
    finite = [value for value in nodata if math.isfinite(value)]
    if np.dtype(dtype).kind == "f":
        return float(np.dtype(dtype).type(finite[0])) if finite else math.nan
    return finite[0] if finite else 0.0


def keep_off(values: Array, where: Array, nodata: float) -> None:
    """Change [H, W, C] so that no reader takes a pixel `where` [H, W] for nodata: see snowcover.data.observed."""
    if nodata != 0:
        for band in range(values.shape[2]):
            taken = equals(values[..., band], nodata) & where
            if taken.any():
                values[taken, band] = _beside(values.dtype, nodata)
        return
    taken = (values[..., 0] == 0) & where
    if taken.any():
        taken[taken] = (values[taken] == 0).all(axis=1)
        values[taken] = _beside(values.dtype, nodata)


def _beside(dtype: Any, nodata: float) -> float:
    """The nearest value that is not taken for nodata, towards 0 unless nodata is 0."""
    if np.dtype(dtype).kind != "f":
        return nodata + 1 if nodata <= 0 else nodata - 1
    return nodata * (1 - 4 * FLOAT32_EPSILON) if nodata else float(np.finfo(np.float32).tiny)
