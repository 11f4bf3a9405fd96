"""How much ground is under snow, and how much of it once the map's own errors are known. Pure.

Olofsson et al. 2014, Good practices for estimating area and assessing accuracy of land change, RSE 148, eq. 9 to 11.
"""

from collections.abc import Callable

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS


def pixel_areas_km2(crs: CRS, transform: Affine, height: int, width: int) -> NDArray[np.float64]:
    """Ground below each pixel [height, width] of a window, on the ellipsoid, in any CRS (Mercator's, degrees, ...)."""
    raise NotImplementedError


def error_adjusted_km2(
    mapped_snow_km2: float, mapped_bare_km2: float
) -> Callable[[NDArray[np.number]], dict[str, NDArray[np.float64]]]:
    """The statistic "area_adjusted_km2" for a bootstrap of counts [..., 4] of tp, fp, fn, tn pixels.

    mapped_*: ground of each class in the whole map, which may reach beyond the reference. Where a class was mapped but
    no pixel of it met the reference, the area is NaN. The paper's own interval is that of pixels drawn one by one;
    ours comes from blocks, since neighbouring pixels err alike.
    """
    raise NotImplementedError
