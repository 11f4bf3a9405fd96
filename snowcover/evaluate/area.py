"""How much ground is under snow, and how much of it once the map's own errors are known. Pure.

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
    """Ground below each pixel [height, width] of a window, on the ellipsoid, in any CRS (Mercator's, degrees, ...)."""
    return GroundArea(Grid(crs, transform, width, height)).pixels_km2(0, height).astype(np.float64)


def error_adjusted_km2(
    mapped_snow_km2: float, mapped_bare_km2: float
) -> Callable[[NDArray[np.number]], dict[str, NDArray[np.float64]]]:
    """The statistic "area_adjusted_km2" for a bootstrap of counts [..., 4] of tp, fp, fn, tn pixels.

    mapped_*: ground of each class in the whole map, which may reach beyond the reference. Where a class was mapped but
    no pixel of it met the reference, the area is NaN. The paper's own interval is that of pixels drawn one by one;
    ours comes from blocks, since neighbouring pixels err alike.
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
    """Ground under snow, [...]: of each mapped class, the share that the reference found to be snow.

    snow, pixels: [..., classes], reference pixels of each class of the map; mapped_km2: [classes].
    """
    share = np.divide(snow, pixels, out=np.full(snow.shape, np.nan), where=pixels > 0)
    return np.asarray(np.where(mapped_km2 > 0, share * mapped_km2, 0.0).sum(axis=-1))
