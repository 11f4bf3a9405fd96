"""A made-up mountain range, and what a satellite and a lidar flight see of it. Pure.

The land is fractal (spectral synthesis: white noise with a power-law spectrum). The mask says where snow lies on the
ground; the images show what a satellite would see of it: snow under forest, in shadow and under cloud is hidden or
dark, bare granite and ice are bright. So brightness alone does not tell snow.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import gaussian_filter
from scipy.special import ndtri

from snowcover.labels import UNOBSERVED

Field = NDArray[np.float32]  # [side, side], row 0 in the north

BANDS = ("blue", "green", "red", "nir")
SNOW_DEPTH_M = 0.1  # the depth from which lidar maps count as snow
SNOW_SHARE = 0.46
NODATA = 0

# Reflectance (blue, green, red, nir) and standard deviation: PlanetScope pixels labelled at four glaciers.
# Those hold no granite domes (here rock, twice as bright), conifers and clouds (typical values).
SPECTRA = {
    "snow": ((1.05, 1.03, 1.05, 0.87), 0.25),
    "shadowed snow": ((0.30, 0.25, 0.19, 0.14), 0.10),
    "ice": ((0.62, 0.60, 0.56, 0.39), 0.14),
    "rock": ((0.22, 0.25, 0.27, 0.34), 0.13),
    "granite": ((0.44, 0.50, 0.54, 0.68), 0.13),
    "water": ((0.21, 0.26, 0.16, 0.06), 0.05),
    "conifer": ((0.04, 0.06, 0.05, 0.22), 0.02),
    "cloud": ((0.78, 0.78, 0.80, 0.84), 0.06),
}


@dataclass(frozen=True)
class View:
    """How one scene sees the land: where the sun stands, how bright it is, which part lies in the swath."""

    name: str
    sun_azimuth_deg: float
    sun_elevation_deg: float
    gain: float
    swath: tuple[float, float]  # west and east edge as a share of the land's width


VIEWS = (
    View("20180528_181110_1025", 128, 44, 0.80, (-1.0, 0.80)),
    View("20180528_181112_1025", 133, 46, 0.74, (0.20, 2.0)),
)


@dataclass(frozen=True)
class Land:
    """What is on the ground, each [side, side]; heights in pixel widths, so that gradients are slopes."""

    height: Field
    snow_depth_m: Field
    ice: NDArray[np.bool_]
    granite: NDArray[np.bool_]
    water: NDArray[np.bool_]
    crowns: NDArray[np.bool_]  # where a tree hides the ground
    texture: Field  # brighter and darker ground of one kind, in standard deviations


def noise(rng: np.random.Generator, side: int, power: float, cycles: float = 1) -> Field:
    """Fractal noise [side, side], mean 0, standard deviation 1, that wraps around at its edges.

    Its power spectrum falls as frequency**-power, and is flat below `cycles` per side.
    """
    frequency = np.hypot(fft.fftfreq(side)[:, None], fft.rfftfreq(side)[None]) * side
    spectrum = fft.rfft2(rng.standard_normal((side, side), dtype=np.float32))
    spectrum *= (frequency**2 + cycles**2) ** (-power / 4)
    spectrum[0, 0] = 0
    noise = fft.irfft2(spectrum, s=(side, side))
    return np.asarray(noise / noise.std(), np.float32)


def _standard(field: Field) -> Field:
    return np.asarray((field - field.mean()) / field.std(), np.float32)


def _smooth(field: Field, sigma_px: float) -> Field:
    return np.asarray(gaussian_filter(field, sigma_px, mode="wrap", truncate=3), np.float32)


def _height(rng: np.random.Generator, side: int) -> Field:
    """Mountains: folds of smooth noise make ridges (where it crosses zero), rough noise the rest."""
    ridges = -200 * np.abs(noise(rng, side, 6, 2)) - 90 * np.abs(noise(rng, side, 6, 5))
    rough = 120 * noise(rng, side, 4) + 8 * noise(rng, side, 3.2, 8)
    return _smooth(np.asarray((ridges + rough) * 1.6e-4 * side, np.float32), 1)


def make_land(rng: np.random.Generator, side: int) -> Land:
    """Mountains [side, side] that wrap around at their edges; forms are made in pixels."""
    height = _height(rng, side)
    basin = height - _smooth(height, side / 8)
    lake_level = np.quantile(basin, 0.03)
    water = basin < lake_level
    height = np.where(water, height - basin + lake_level, height).astype(np.float32)
    south, _, steep = _slopes(height)
    level = _standard(height)
    hollow = _standard(_smooth(height, side / 150) - height)
    snow = level - 0.6 * south + 0.3 * hollow + 0.45 * noise(rng, side, 3, 6) - 0.5 * steep**2
    ice = (noise(rng, side, 4, 5) > 1.3) & (level > 0.2)
    snow = np.where(ice, snow - 1.2, snow)
    line = np.quantile(snow[~water], 1 - SNOW_SHARE)
    depth = np.where(water, 0, SNOW_DEPTH_M + 0.6 * (snow - line))
    granite = noise(rng, side, 3.4, 6) + 0.3 * hollow < -0.6  # domes: bare, and not in hollows
    trees = 0.9 * (0.55 - level) + 0.7 * noise(rng, side, 3, 4) - 0.4 * steep - 0.5 * granite
    density = np.where(water, 0, 0.88 * np.clip(trees, 0, 1))
    return Land(
        height=height,
        snow_depth_m=np.maximum(depth, 0).astype(np.float32),
        ice=ice,
        granite=granite,
        water=water,
        crowns=noise(rng, side, 2, side / 8) < ndtri(density),
        texture=_standard(noise(rng, side, 2.6, 4) + 0.35 * noise(rng, side, 0.6)),
    )


def _slopes(height: Field) -> tuple[Field, Field, Field]:
    """South and east part of the unit normal, and the slope's tangent, each [side, side]."""
    down, right = np.gradient(height)
    length = np.sqrt(1 + down**2 + right**2)
    return -down / length, -right / length, np.hypot(down, right)


def snow_mask(land: Land, rng: np.random.Generator) -> NDArray[np.uint8]:
    """uint8 [side, side]: the lidar sees the ground, under forest and cloud too, but not everywhere."""
    snow = (land.snow_depth_m >= SNOW_DEPTH_M).astype(np.uint8)
    return np.where(beyond_lidar(rng, len(land.height)), np.uint8(UNOBSERVED), snow)


def beyond_lidar(rng: np.random.Generator, side: int) -> NDArray[np.bool_]:
    """Where the flight saw nothing, [side, side]: beyond its last line, and in gaps."""
    south, east = np.mgrid[:side, :side] / side
    return np.asarray((south + 0.12 * east > 1.05) | (noise(rng, side, 4, 4) > 2.1), np.bool_)


def paint_scene(land: Land, view: View, rng: np.random.Generator) -> NDArray[np.uint16]:
    """uint16 [4, side, side], reflectance x 10000, 0 outside the slanted swath."""
    side = len(land.height)
    cloud = np.clip(noise(rng, side, 3.6, 3) - 1.6, 0, 1) ** 0.7
    direct = _direct_light(land.height, view) * (1 - 0.6 * np.roll(cloud, (-side // 20, -side // 20), (0, 1)))
    seen = _swath(side, view)
    image = np.empty((len(BANDS), side, side), np.uint16)
    for band in range(len(BANDS)):
        own = rng.standard_normal((side, side), dtype=np.float32)
        sky = SPECTRA["shadowed snow"][0][band] / SPECTRA["snow"][0][band]  # light that reaches into shadow
        ground = _ground(land, 0.97 * land.texture + 0.2 * own, band)
        below = _smooth(ground * (sky + (1 - sky) * direct), 0.7)
        reflectance = below * (1 - cloud) + SPECTRA["cloud"][0][band] * cloud + 0.004 * own
        image[band] = np.where(seen, np.clip(1e4 * view.gain * reflectance, 1, 65535), NODATA)
    return image


def _ground(land: Land, texture: Field, band: int) -> Field:
    """Reflectance [side, side] in full light; bands of one place share their texture, so they go together."""

    def of(kind: str) -> Field:
        mean, spread = SPECTRA[kind]
        return np.asarray(np.maximum(mean[band] + spread * texture, 0.01), np.float32)

    places = {"water": land.water, "ice": land.ice, "granite": land.granite}
    bare = np.select(list(places.values()), [of(kind) for kind in places], of("rock"))
    cover = np.clip(land.snow_depth_m / (2 * SNOW_DEPTH_M), 0, 1)  # thin snow lies in patches
    open_ground = bare + (of("snow") - bare) * cover
    return np.where(land.crowns, of("conifer"), open_ground).astype(np.float32)


def _direct_light(height: Field, view: View) -> Field:
    """Direct sunlight on each pixel [side, side], 1 on level ground, 0 in shadow."""
    azimuth, elevation = math.radians(view.sun_azimuth_deg), math.radians(view.sun_elevation_deg)
    to_south, to_east = -math.cos(azimuth), math.sin(azimuth)
    south, east, _ = _slopes(height)
    up = np.sqrt(1 - south**2 - east**2)
    level = math.sin(elevation)
    facing = up * level + (south * to_south + east * to_east) * math.cos(elevation)
    horizon = np.full_like(height, -np.inf)
    for distance in range(2, int(np.ptp(height) / math.tan(elevation)), 2):
        step = (round(-distance * to_south), round(-distance * to_east))
        horizon = np.maximum(horizon, np.roll(height, step, (0, 1)) - distance * math.tan(elevation))
    unshaded = np.clip((height - horizon) / 3 + 1, 0, 1)  # a penumbra some pixels wide
    return np.asarray(np.clip(facing / level, 0, 1.35) * unshaded, np.float32)


def _swath(side: int, view: View) -> NDArray[np.bool_]:
    """The slanted strip of the land that the scene covers."""
    south, east = np.mgrid[:side, :side] / side
    across, along = east + 0.2 * (south - 0.5), south - 0.2 * (east - 0.5)
    west_edge, east_edge = view.swath
    seen = (across > west_edge) & (across < east_edge) & (along > -0.04) & (along < 1.04)
    return np.asarray(seen, np.bool_)
