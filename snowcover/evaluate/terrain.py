"""Slope, aspect and illumination from elevation, and where the sun stands. Pure."""

from datetime import datetime

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

Floats = NDArray[np.floating]


def slope_and_aspect(
    elevation_m: Floats, pixel_m: tuple[float, float], north_deg: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Slope and the direction that it faces (downhill, clockwise from true north), both [H, W] in degrees (Horn 1981).

    elevation_m: [H, W], NaN unobserved; pixel_m: ground width and height; north_deg: see `grid_north_deg`.
    NaN on the rim, next to unobserved pixels, and for the aspect of level ground: give a halo of one pixel.
    """
    raise NotImplementedError


def grid_north_deg(crs: CRS, transform: Affine, row: float, col: float) -> float:
    """Direction in which rows go up at a pixel, degrees clockwise from true north."""
    raise NotImplementedError


def sun_position(time: datetime, longitude: float, latitude: float) -> tuple[float, float]:
    """Zenith angle and azimuth of the sun, degrees, azimuth clockwise from true north (NOAA's solar calculator).

    time: with its offset from UTC; longitude, latitude: degrees east and north. Without refraction.

    Raises:
        ValueError: if the time has no offset from UTC.
    """
    raise NotImplementedError


def illumination(slope_deg: Floats, aspect_deg: Floats, zenith_deg: float, azimuth_deg: float) -> NDArray[np.float32]:
    """cos(i) [H, W]: 1 where the sun stands square to the ground, 0 and less where the ground faces away from it.

    Level ground (slope 0, aspect NaN) has the cosine of the zenith angle.
    """
    raise NotImplementedError
