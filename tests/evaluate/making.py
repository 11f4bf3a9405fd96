"""Ground and snow to evaluate on, made from a seed."""

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from snowcover.data.terrain import Rise


def block_places(side: int) -> NDArray[np.int64]:
    """[side * side, 2], row by row."""
    return np.stack(np.divmod(np.arange(side * side), side), axis=1)


@cache
def correlated_counts(surveys: int, side: int, block_px: int = 10, reach_px: float = 1.0) -> NDArray[np.int64]:
    """[surveys, side * side, 4], tp, fp, fn, tn by block of maps whose errors are alike among neighbouring pixels.

    Snow and errors are Gaussian fields cut at a level, smoothed with `reach_px` as standard deviation.
    """
    rng = np.random.default_rng(5)
    size = side * block_px
    noise = rng.standard_normal((surveys, 2, size + 8, size + 8)).astype(np.float32)
    smooth = ndimage.gaussian_filter(noise, (0, 0, reach_px, reach_px))[:, :, 4:-4, 4:-4]
    snow, wrong = smooth[:, 0] > 0, smooth[:, 1] > smooth.std()
    mapped = snow ^ wrong
    kinds = np.stack([snow & mapped, ~snow & mapped, snow & ~mapped, ~snow & ~mapped], axis=-1)
    blocks = kinds.reshape(surveys, side, block_px, side, block_px, 4).sum(axis=(2, 4), dtype=np.int64)
    return blocks.reshape(surveys, side * side, 4)


def facing(slope_deg: ArrayLike, aspect_deg: ArrayLike) -> Rise:
    """Ground of these slopes that faces these directions, float32."""
    steep, faces = np.tan(np.radians(np.atleast_1d(slope_deg))), np.radians(np.atleast_1d(aspect_deg))
    return Rise(np.float32(-steep * np.sin(faces)), np.float32(-steep * np.cos(faces)))
