"""The snow line: the elevation where snow covers half of the ground, by aspect. Pure.

Of all elevations it is the one with the least snow below it plus bare ground above it (Krajci et al. 2014, J. Hydrology
519: regional snow-line elevation); that is where a monotone fit of snow share to elevation crosses one half.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

BAND_M = 10.0
ASPECTS = 9
"""All ground first, then the eight of strata.ASPECT in its order."""


class SnowLineSums:
    """Snow and no snow by block, aspect and elevation band: `sums` [blocks, ASPECTS, bands, 2]."""

    def __init__(self, blocks: int, lowest_m: float, highest_m: float) -> None:
        """lowest_m, highest_m: of the elevations to come."""
        raise NotImplementedError

    sums: NDArray[np.float32]

    def add(
        self,
        snow_share: NDArray[np.floating],
        elevation_m: NDArray[np.floating],
        aspect: NDArray[np.integer],
        block: NDArray[np.integer],
    ) -> None:
        """All [N], of the pixels to count: snow share 0 to 1; bin of strata.ASPECT, -1 for none.

        A pixel without elevation (NaN) is left out.
        """
        raise NotImplementedError

    @property
    def statistic(self) -> Callable[[NDArray[np.number]], dict[str, NDArray[np.float64]]]:
        """[..., bands, 2] -> "snow_line_m" [...], for a bootstrap of `sums`; NaN where all is snow, or nothing."""
        raise NotImplementedError
