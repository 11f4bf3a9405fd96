"""Classes of ground that scores are reported for. Pure.

To add one, define a `Stratum` here and its values [H, W] in chunks.py.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from snowcover.data.terrain import Rise
from snowcover.evaluate.bootstrap import Estimate

MIN_PIXELS = 1000  # bins with fewer pixels are blank
MIN_ASPECT_SLOPE_DEG = 2.0  # level ground has no aspect


@dataclass(frozen=True)
class Stratum:
    """Bins with edges[k] <= value < edges[k + 1]; infinite values lie in the open-ended bin."""

    name: str
    edges: tuple[float, ...]
    """[bins + 1], rising; the outermost is infinite if a bin is open-ended"""
    labels: tuple[str, ...]
    """[bins], for readers"""
    scores: tuple[str, ...] | None = None
    """quantities that are meaningful in it; None for all"""


def _bands(name: str, between: tuple[float, ...], unit: str, scores: tuple[str, ...] | None = None) -> Stratum:
    """A stratum of bands from 0 up, the last one open-ended."""
    gap = "" if unit == "°" else " "
    labels = [f"{low:g}-{high:g}{gap}{unit}" for low, high in pairwise((0.0, *between))]
    labels.append(f"{between[-1]:g}{gap}{unit} or more")
    return Stratum(name, (0.0, *between, np.inf), tuple(labels), scores)


CANOPY_HEIGHT = _bands("canopy_height", (0.5, 2, 5, 10, 20), "m")
CANOPY_EDGE = Stratum(
    "canopy_edge",
    (-np.inf, -27.0, -15.0, -10.0, -6.0, -3.0, 0.0, 3.0, 6.0, 10.0, 15.0, 27.0, np.inf),
    tuple(
        [f"under canopy, {reach}" for reach in ("27 m or more", "15-27 m", "10-15 m", "6-10 m", "3-6 m", "0-3 m")]
        + [f"open, {reach}" for reach in ("0-3 m", "3-6 m", "6-10 m", "10-15 m", "15-27 m", "27 m or more")]
    ),
)
"""Distance to the canopy edge: negative under canopy, positive in the open."""
ELEVATION = Stratum(
    "elevation",
    tuple(float(low) for low in range(-500, 9001, 100)),
    tuple(f"{low:,}-{low + 100:,} m" for low in range(-500, 9000, 100)),
)
"""95 bands of 100 m, few of which have pixels."""
SLOPE = _bands("slope", (10, 20, 30, 40), "°")
ASPECT = Stratum(
    "aspect",
    tuple(45.0 * turn for turn in range(9)),
    ("north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west"),
)
"""Edges of aspect + 22.5 degrees, see `aspect_bins`."""
ILLUMINATION = Stratum(
    "illumination",
    (-1.01, 0.0, 0.25, 0.5, 0.75, 1.01),  # rounding may pass 1
    ("cos(i) 0 or less (shade)", "cos(i) 0-0.25", "cos(i) 0.25-0.5", "cos(i) 0.5-0.75", "cos(i) 0.75-1"),
)
SNOW_DEPTH = _bands("snow_depth", (0.1, 0.2, 0.5, 1), "m", scores=("recall",))
SNOW_EDGE = _bands("snow_edge", (3, 6, 15), "m")
DATE_GAP = Stratum(
    "date_gap", (0.0, 1.0, 2.0, 4.0, 8.0, np.inf), ("same day", "1 day", "2-3 days", "4-7 days", "8 days or more")
)
"""Whole days between map and reference, whichever came first."""


def scene_stratum(scenes: Sequence[str]) -> Stratum:
    """One bin per scene, whose value is its index in `scenes`."""
    return Stratum("scene", tuple(float(place) for place in range(len(scenes) + 1)), tuple(scenes))


def of_scenes(scenes: Sequence[str], gaps_days: Iterable[float]) -> tuple[Stratum, ...]:
    """Strata for several scenes, and for scenes with different time gaps to the reference.

    Args:
        gaps_days: of each scene, NaN if a date is unknown.
    """
    if len(scenes) < 2:
        return ()
    known = {gap for gap in gaps_days if gap == gap}
    return (scene_stratum(scenes), *((DATE_GAP,) if len(known) > 1 else ()))


def bins_of(stratum: Stratum, values: NDArray[np.floating]) -> NDArray[np.int16]:
    """The bin of each value, any shape; -1 for NaN and values outside."""
    edges = np.array(stratum.edges, values.dtype)  # in the values' own precision: 0.1 in float32
    lowest, highest = np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)
    below, above = (int(np.searchsorted(edges, end, side="right")) for end in (lowest, highest))
    bins = np.full(values.shape, below - 1, np.int16)
    for edge in edges[below:above]:  # only edges within the range of values: faster than a search per value
        bins += values >= edge
    last = len(stratum.labels) - 1
    bins[bins > last] = last if np.isposinf(edges[-1]) else -1  # values beyond an open end are in the last bin
    bins[np.isnan(values)] = -1
    return bins


def slope_bins(rise: Rise) -> NDArray[np.int16]:
    """The bin of SLOPE of each pixel [H, W]; -1 if unknown."""
    tangents = np.tan(np.radians(SLOPE.edges[:-1])).tolist()
    return bins_of(Stratum(SLOPE.name, (*(tangent**2 for tangent in tangents), np.inf), SLOPE.labels), _steepness(rise))


def aspect_bins(rise: Rise) -> NDArray[np.int16]:
    """The bin of ASPECT (downhill direction) of each pixel [H, W]; -1 if level or unknown."""
    # Rotated by half a bin, each bin is half a quadrant.
    turn = math.radians(22.5)
    cos, sin = np.float32(math.cos(turn)), np.float32(math.sin(turn))
    east, north = -rise.east * cos - rise.north * sin, rise.east * sin - rise.north * cos
    eighth = (east >= 0).view(np.uint8) << 2 | (north > 0).view(np.uint8) << 1 | (np.abs(east) >= np.abs(north))
    bins = np.array([4, 5, 7, 6, 3, 2, 0, 1], np.int16).take(eighth)
    return np.where(_steepness(rise) >= math.tan(math.radians(MIN_ASPECT_SLOPE_DEG)) ** 2, bins, np.int16(-1))


def _steepness(rise: Rise) -> NDArray[np.float32]:
    """The squared tangent of the slope."""
    return np.asarray(rise.east**2 + rise.north**2)


def blank_small_bins(estimate: Estimate, pixels: NDArray[np.integer]) -> Estimate:
    """The estimate [bins], NaN in bins with fewer than MIN_PIXELS pixels [bins]."""
    value, low, high = (
        np.where(pixels >= MIN_PIXELS, values, np.nan) for values in (estimate.value, estimate.low, estimate.high)
    )
    return Estimate(value, low, high, estimate.blocks)
