"""Snow-covered area, as mapped and adjusted for the map's errors. Pure.

Olofsson et al. 2014, Good practices for estimating area and assessing accuracy of land change, RSE 148, eq. 9 to 11.
"""

from collections.abc import Callable

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from snowcover.predict.area import GroundArea
from snowcover.prepare.reprojection import Grid


def pixel_areas_km2(crs: CRS, transform: Affine, height: int, width: int) -> NDArray[np.float64]:
    """Ground area of each pixel [height, width] of a window, on the ellipsoid, in any CRS."""
    return GroundArea(Grid(crs, transform, width, height)).pixels_km2(0, height).astype(np.float64)


def error_adjusted_km2(
    mapped_snow_km2: float, mapped_bare_km2: float
) -> Callable[[NDArray[np.number]], dict[str, NDArray[np.float64]]]:
    """The statistic "area_adjusted_km2" for bootstrapping counts [..., 4] of tp, fp, fn, tn pixels.

    mapped_*: area of each class in the whole map, which may extend beyond the reference. If a class was mapped but none
    of its pixels lies on the reference, the area is NaN. The paper's interval assumes independent pixels; ours comes
    from blocks, because the errors of neighbouring pixels are correlated.
    """
    mapped = np.array([mapped_snow_km2, mapped_bare_km2])

    def statistic(counts: NDArray[np.number]) -> dict[str, NDArray[np.float64]]:
        tp, fp, fn, tn = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
        snow, pixels = np.stack([tp, fn], axis=-1), np.stack([tp + fp, fn + tn], axis=-1)
        return {"area_adjusted_km2": adjusted_km2(snow, pixels, mapped)}

    return statistic


def adjusted_km2(
    snow: NDArray[np.float64], pixels: NDArray[np.float64], mapped_km2: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Adjusted snow area [...]: the area of each mapped class times its share of snow in the reference.

    snow, pixels: [..., classes], reference pixels of each class of the map; mapped_km2: [classes].
    """
    share = np.divide(snow, pixels, out=np.full(snow.shape, np.nan), where=pixels > 0)
    return np.asarray(np.where(mapped_km2 > 0, share * mapped_km2, 0.0).sum(axis=-1))
