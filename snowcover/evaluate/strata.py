"""Classes of ground that scores are told for. Pure.

A new one is one more `Stratum` here, and its values [H, W] where chunks are made.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snowcover.evaluate.bootstrap import Estimate

MIN_PIXELS = 1000  # bins of fewer are blank
HALO_M = 30.0
"""How far around a window its pixels count for distances: beyond the last edge, 27 m."""
CANOPY_HEIGHT_M = 2.0  # from which vegetation is canopy, and hides snow
MIN_ASPECT_SLOPE_DEG = 2.0  # level ground faces nowhere


@dataclass(frozen=True)
class Stratum:
    """A bin holds edges[k] <= value < edges[k + 1]."""

    name: str
    edges: tuple[float, ...]
    """[bins + 1], rising, the outermost infinite where a bin has no end"""
    labels: tuple[str, ...]
    """[bins], as a reader sees them"""
    scores: tuple[str, ...] | None = None
    """quantities that mean something in it; None for all"""


CANOPY_HEIGHT: Stratum
CANOPY_EDGE: Stratum
"""Distance to the canopy's edge: negative under canopy, positive in the open."""
ELEVATION: Stratum
"""Bands of 100 m; hundreds of bins, of which few hold pixels."""
SLOPE: Stratum
ASPECT: Stratum
"""North, north-east, ... north-west: bins of aspect degrees + 22.5, see `aspect_bins`."""
ILLUMINATION: Stratum
SNOW_DEPTH: Stratum
"""Recall alone."""
SNOW_EDGE: Stratum
DATE_GAP: Stratum
"""Whole days between map and reference, whichever came first."""


def scene_stratum(scenes: Sequence[str]) -> Stratum:
    """One bin a scene, whose value is its place in `scenes`."""
    raise NotImplementedError


def bins_of(stratum: Stratum, values: NDArray[np.floating]) -> NDArray[np.int16]:
    """The bin of each value, any shape; -1 for NaN and what lies outside."""
    raise NotImplementedError


def aspect_bins(aspect_deg: NDArray[np.floating], slope_deg: NDArray[np.floating]) -> NDArray[np.int16]:
    """The bin of ASPECT of each pixel; -1 on ground that is level or unknown."""
    raise NotImplementedError


def canopy_edge_m(canopy_height_m: NDArray[np.floating], pixel_m: tuple[float, float]) -> NDArray[np.float32]:
    """Distance [H, W] to the nearest edge of canopy (CANOPY_HEIGHT_M), negative under it; NaN where height is NaN."""
    raise NotImplementedError


def snow_edge_m(snow: NDArray[np.uint8], pixel_m: tuple[float, float]) -> NDArray[np.float32]:
    """Distance [H, W] to the nearest edge between snow (1) and no snow (0) of the reference; NaN where it is 255.

    For both distances: from the pixel's centre, exact, in metres on the ground (width, height of a pixel), half a pixel
    less than to the nearest centre on the other side, infinite without one; a window needs a halo of HALO_M.
    """
    raise NotImplementedError


def halo_px(pixel_m: tuple[float, float]) -> int:
    """Pixels that a window needs around it, for distances and for slopes."""
    raise NotImplementedError


def blank_small_bins(estimate: Estimate, pixels: NDArray[np.integer]) -> Estimate:
    """The estimate [bins] without the values of bins that hold under MIN_PIXELS pixels [bins]."""
    raise NotImplementedError
