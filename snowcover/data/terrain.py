"""How the ground rises and how the sun lights it, from elevation, and where the sun stands. Pure.

An evaluation's slopes and aspects are bins of the rise itself: as angles they would take ten times as long.
"""

import math
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snowcover.data.tiles import HALF_WORLD_M, Tile, bounds

Floats = NDArray[np.floating]
LEVEL = 1e-3  # a rise of a metre in a kilometre
ECCENTRICITY_2 = 0.00669437999014  # of WGS 84
J2000 = datetime(2000, 1, 1, 12, tzinfo=UTC)


class Rise(NamedTuple):
    """Metres that the ground rises by metre, [H, W] each; NaN where unknown. What faces the other way is downhill."""

    east: NDArray[np.float32]
    north: NDArray[np.float32]


def rise_of(elevation_m: Floats, steps_m: Floats) -> Rise:
    """By the differences of Horn 1981.

    elevation_m: [H, W], NaN unobserved; steps_m: [2, 2], predict.area.pixel_steps_m of the window, so that pixels may
    be degrees, turned or mirrored. NaN on the rim and next to unobserved pixels: give a halo of one pixel.
    """
    rise = Rise(*np.full((2, *elevation_m.shape), np.nan, np.float32))
    if min(elevation_m.shape) < 3:
        return rise
    heights = elevation_m.astype(np.float32, copy=False)
    down = heights[:-2] + 2 * heights[1:-1] + heights[2:]
    across = heights[:, :-2] + 2 * heights[:, 1:-1] + heights[:, 2:]
    by_col, by_row = (down[:, 2:] - down[:, :-2]) / 8, (across[2:] - across[:-2]) / 8
    by_col[np.isnan(heights[1:-1, 1:-1])] = np.nan  # of which its neighbours' differences know nothing
    inverse = np.linalg.inv(np.asarray(steps_m, np.float64)).astype(np.float32)
    for part, (by_columns, by_rows) in zip(rise, inverse, strict=True):
        part[1:-1, 1:-1] = by_col * by_columns + by_row * by_rows
    return rise


def terrain_bands(elevation_m: Floats, tile: Tile) -> NDArray[np.float32]:
    """[4, S, S] of a tile, in the order of `layer_names.TERRAIN_BANDS`; NaN where they are not known.

    elevation_m: [S + 2, S + 2], the tile's and one pixel of its neighbours all around, NaN unobserved.
    """
    side_px = len(elevation_m) - 2
    of_pixels = rise_of(elevation_m, np.array([[1.0, 0.0], [0.0, -1.0]]))
    inside = np.s_[1:-1, 1:-1]
    by_metre = (one[inside] / size_m[:, None] for one, size_m in zip(of_pixels, pixel_m(tile, side_px), strict=True))
    rise = Rise(*(np.asarray(one, np.float32) for one in by_metre))
    return np.stack([np.asarray(elevation_m[inside], np.float32), *downhill(rise)])


def pixel_m(tile: Tile, side_px: int) -> tuple[Floats, Floats]:
    """Metres on the ground of the pixels of each row of a tile, [S] to the east and [S] to the north.

    Web Mercator takes the earth for a sphere, and stretches it by 1 / cos(latitude); on the ellipsoid of WGS 84 both
    ways differ by up to 1 %.
    """
    left, bottom, right, top = bounds(tile)
    along_m = (right - left) / side_px
    ys = top + (np.arange(side_px) + 0.5) * (bottom - top) / side_px
    phi = np.arctan(np.sinh(ys / HALF_WORLD_M * math.pi))
    curved = 1 - ECCENTRICITY_2 * np.sin(phi) ** 2
    east = along_m * np.cos(phi) / np.sqrt(curved)
    return east, along_m * np.cos(phi) * (1 - ECCENTRICITY_2) / curved**1.5


def rise_downhill(slope_deg: Floats, east: Floats, north: Floats) -> Rise:
    """The rise of ground of a slope whose way downhill points east and north so much, [H, W] each; see `downhill`."""
    steepness = np.tan(np.radians(slope_deg, dtype=np.float32))
    return Rise(np.asarray(-steepness * east, np.float32), np.asarray(-steepness * north, np.float32))


def downhill(rise: Rise) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Slope in degrees, and the sine and cosine of the aspect, [H, W] each.

    The aspect is the way downhill, clockwise from north: its sine points east, its cosine north; both are 0 on level
    ground, which faces nowhere, and to the rounding of elevations any way.
    """
    steepness = np.hypot(rise.east, rise.north)
    length = np.where(steepness < LEVEL, np.float32(np.inf), steepness)
    parts = (np.degrees(np.arctan(steepness)), 0 - rise.east / length, 0 - rise.north / length)  # 0 - 0, for -0 is -0
    slope, east, north = (np.asarray(part, np.float32) for part in parts)
    return slope, east, north


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


def illumination(rise: Rise, zenith_deg: float, azimuth_deg: float) -> NDArray[np.float32]:
    """cos(i) [H, W]: 1 where the sun stands square to the ground, 0 and less where the ground faces away from it.

    Shadows that other ground throws are not in it.
    """
    zenith, azimuth = math.radians(zenith_deg), math.radians(azimuth_deg)
    east, north, up = math.sin(zenith) * math.sin(azimuth), math.sin(zenith) * math.cos(azimuth), math.cos(zenith)
    towards = np.float32(up) - rise.east * np.float32(east) - rise.north * np.float32(north)
    return np.asarray(towards / np.sqrt(1 + rise.east**2 + rise.north**2), np.float32)
