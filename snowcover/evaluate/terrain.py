"""Slope, aspect and illumination from elevation, and where the sun stands. Pure."""

import math
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
J2000 = datetime(2000, 1, 1, 12, tzinfo=UTC)


def slope_and_aspect(elevation_m: Floats, steps_m: Floats) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Slope and the direction that it faces (downhill, clockwise from true north), both [H, W] in degrees (Horn 1981).

    elevation_m: [H, W], NaN unobserved; steps_m: [2, 2], predict.area.pixel_steps_m of the window, so that pixels may
    be degrees, turned or mirrored. NaN on the rim, next to unobserved pixels, and for the aspect of level ground: give
    a halo of one pixel.
    """
    slope, aspect = (np.full(elevation_m.shape, np.nan, np.float32) for _ in range(2))
    if min(elevation_m.shape) < 3:
        return slope, aspect
    heights = elevation_m.astype(np.float32, copy=False)
    rows = heights[:-2] + 2 * heights[1:-1] + heights[2:]  # [H - 2, W], the weights of Horn's differences
    cols = heights[:, :-2] + 2 * heights[:, 1:-1] + heights[:, 2:]  # [H, W - 2]
    rise = (rows[:, 2:] - rows[:, :-2]) / 8, (cols[2:] - cols[:-2]) / 8  # by column, by row
    inverse = np.linalg.inv(np.asarray(steps_m, np.float64)).astype(np.float32)
    east, north = (rise[0] * across + rise[1] * down for across, down in inverse)  # rise by metre
    inner = np.s_[1:-1, 1:-1]
    steepness = np.where(np.isnan(heights[inner]), np.float32(np.nan), np.hypot(east, north))
    slope[inner] = np.degrees(np.arctan(steepness))
    aspect[inner] = np.where(steepness > 0, np.degrees(np.arctan2(-east, -north)) % 360, np.float32(np.nan))
    return slope, aspect


def sun_position(time: datetime, longitude: float, latitude: float) -> tuple[float, float]:
    """Zenith angle and azimuth of the sun, degrees, azimuth clockwise from true north (NOAA's solar calculator).

    time: with its offset from UTC; longitude, latitude: degrees east and north. Without refraction.

    Raises:
        ValueError: if the time has no offset from UTC.
    """
    if time.tzinfo is None:
        raise ValueError(f"The time {time.isoformat()} has no offset from UTC, without which the sun has no place.")
    declination, equation_of_time_min = _sun(time)
    utc = time.astimezone(UTC)
    minutes = utc.hour * 60 + utc.minute + utc.second / 60 + equation_of_time_min + 4 * longitude
    hour_angle = math.radians(minutes / 4 - 180)
    phi = math.radians(latitude)
    east = -math.cos(declination) * math.sin(hour_angle)
    north = math.sin(declination) * math.cos(phi) - math.cos(declination) * math.sin(phi) * math.cos(hour_angle)
    up = math.sin(declination) * math.sin(phi) + math.cos(declination) * math.cos(phi) * math.cos(hour_angle)
    return math.degrees(math.acos(max(-1.0, min(1.0, up)))), math.degrees(math.atan2(east, north)) % 360


def _sun(time: datetime) -> tuple[float, float]:
    """Declination in radians and equation of time in minutes (Meeus 1998, Astronomical Algorithms, chapter 25)."""
    century = (time - J2000).total_seconds() / 86400 / 36525
    mean_longitude = math.radians((280.46646 + century * (36000.76983 + century * 0.0003032)) % 360)
    anomaly = math.radians(357.52911 + century * (35999.05029 - 0.0001537 * century))
    eccentricity = 0.016708634 - century * (0.000042037 + 0.0000001267 * century)
    centre = (
        math.sin(anomaly) * (1.914602 - century * (0.004817 + 0.000014 * century))
        + math.sin(2 * anomaly) * (0.019993 - 0.000101 * century)
        + math.sin(3 * anomaly) * 0.000289
    )
    node = math.radians(125.04 - 1934.136 * century)
    apparent = mean_longitude + math.radians(centre - 0.00569 - 0.00478 * math.sin(node))
    mean_obliquity = 23 + (26 + (21.448 - century * (46.815 + century * (0.00059 - century * 0.001813))) / 60) / 60
    obliquity = math.radians(mean_obliquity + 0.00256 * math.cos(node))
    declination = math.asin(math.sin(obliquity) * math.sin(apparent))
    y = math.tan(obliquity / 2) ** 2
    equation = (
        y * math.sin(2 * mean_longitude)
        - 2 * eccentricity * math.sin(anomaly)
        + 4 * eccentricity * y * math.sin(anomaly) * math.cos(2 * mean_longitude)
        - 0.5 * y * y * math.sin(4 * mean_longitude)
        - 1.25 * eccentricity**2 * math.sin(2 * anomaly)
    )
    return declination, 4 * math.degrees(equation)


def illumination(slope_deg: Floats, aspect_deg: Floats, zenith_deg: float, azimuth_deg: float) -> NDArray[np.float32]:
    """cos(i) [H, W]: 1 where the sun stands square to the ground, 0 and less where the ground faces away from it.

    Level ground (slope 0, aspect NaN) has the cosine of the zenith angle.
    """
    slope, zenith = np.radians(slope_deg), math.radians(zenith_deg)
    towards = np.where(
        slope_deg == 0, np.float32(0), np.cos(np.radians(aspect_deg) - np.float32(math.radians(azimuth_deg)))
    )
    found = math.cos(zenith) * np.cos(slope) + math.sin(zenith) * np.sin(slope) * towards
    return np.asarray(found, np.float32)
