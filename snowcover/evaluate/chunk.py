"""One window of the reference with everything brought to its grid: what is counted from. Pure."""

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
    """reference: 1 snow, 0 no snow, 255 unobserved or excluded, at the first depth threshold"""
    depth_m: NDArray[np.float32] | None
    """NaN unobserved; None where the reference is a mask"""
    share: Mapping[str, NDArray[np.float32]]
    """product -> snow share 0 to 1 of each pixel, of a map of classes the share of its snow within; NaN unobserved"""
    probability: Mapping[str, NDArray[np.float32]]
    """product -> mean probability of snow, for products that have one; NaN unobserved"""
    strata: Mapping[str, NDArray[np.int16]]
    """stratum -> bin of each pixel; -1 in none"""
    block: NDArray[np.int32]
    """number of the bootstrap block that each pixel lies in"""
    trained: NDArray[np.bool_]
    """ground that a product's network was trained on"""
    elevation_m: NDArray[np.float32] | None = None
    """NaN unobserved; None where no raster of elevation was given"""
