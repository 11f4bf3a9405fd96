"""Ground distance of each pixel to the edge of the canopy or of the snow. Pure.

Distances are exact: from a pixel's centre to the nearest centre on the other side, minus half a pixel's shorter side.
Adjacent pixels across an edge are thus both half a pixel from it. A window needs `halo_px` pixels around it.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

HALO_M = 30.0  # beyond the last edge of a bin, 27 m
CANOPY_HEIGHT_M = 2.0  # least height of vegetation that is canopy and hides snow
ALIKE = 1e-3  # difference of a pixel's width and height up to which the faster transform for square pixels is used

Distances = NDArray[np.float32]


def halo_px(pixel_m: tuple[float, float]) -> int:
    """Pixels that a window needs around it, for distances and for slopes; pixel_m: ground width and height."""
    return math.ceil(HALO_M / min(pixel_m)) + 1


def canopy_edge_m(canopy_height_m: NDArray[np.floating], pixel_m: tuple[float, float]) -> Distances:
    """Distance [H, W] to the nearest edge of canopy (CANOPY_HEIGHT_M), negative under it; NaN where height is NaN.

    Infinite without an edge.
    """
    known = ~np.isnan(canopy_height_m)
    canopy = canopy_height_m >= CANOPY_HEIGHT_M
    inside = _distance_to(known & ~canopy, pixel_m)
    outside = _distance_to(canopy, pixel_m)
    return np.where(known, np.where(canopy, -inside, outside), np.float32(np.nan))


def snow_edge_m(snow: NDArray[np.uint8], pixel_m: tuple[float, float]) -> Distances:
    """Distance [H, W] to the nearest edge between snow (1) and no snow (0) of a reference; NaN where it is 255.

    Infinite without an edge.
    """
    is_snow, is_bare = snow == 1, snow == 0
    distance = np.where(is_snow, _distance_to(is_bare, pixel_m), _distance_to(is_snow, pixel_m))
    return np.where(is_snow | is_bare, distance, np.float32(np.nan))


def _distance_to(targets: NDArray[np.bool_], pixel_m: tuple[float, float]) -> Distances:
    """Metres [H, W] from each pixel's centre to the nearest target's, less half a pixel; infinite without a target."""
    width, height = pixel_m
    if not targets.any():
        return np.full(targets.shape, np.inf, np.float32)
    if abs(width - height) <= ALIKE * max(width, height):
        pixels = cv2.distanceTransform((~targets).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        return (pixels - np.float32(0.5)) * np.float32((width + height) / 2)
    metres = ndimage.distance_transform_edt(~targets, sampling=(height, width))
    return (metres - min(pixel_m) / 2).astype(np.float32)
