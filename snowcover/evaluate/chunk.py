"""One window of the reference with all other data aligned to its grid. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from affine import Affine
from numpy.typing import NDArray


@dataclass(frozen=True)
class Chunk:
    """All arrays are [H, W] of the reference's own pixels."""

    row: int
    col: int
    """of its first pixel in the reference"""
    transform: Affine
    """of this window, in the reference's CRS"""
    snow: NDArray[np.uint8]
    """reference at the first depth threshold: 1 snow, 0 no snow, 255 unobserved or excluded"""
    depth_m: NDArray[np.float32] | None
    """NaN unobserved; None if the reference is a mask"""
    share: Mapping[str, NDArray[np.float32]]
    """product -> snow share of each pixel, 0 to 1 (for classes, the share of snow pixels); NaN unobserved"""
    probability: Mapping[str, NDArray[np.float32]]
    """product -> mean probability of snow, for products with probabilities; NaN unobserved"""
    strata: Mapping[str, NDArray[np.int16]]
    """stratum -> bin of each pixel; -1 for none"""
    block: NDArray[np.int32]
    """number of each pixel's bootstrap block"""
    trained: NDArray[np.bool_]
    """ground that a product's network was trained on"""
    elevation_m: NDArray[np.float32] | None = None
    """NaN unobserved; None without an elevation raster"""
