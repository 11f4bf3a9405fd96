"""What a snow map holds: classes, probabilities or snow shares, recognised by tags, type and values."""

import re
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from snowcover.errors import UserError
from snowcover.evaluate.rasters import RasterFile
from snowcover.labels import BARE, SNOW, UNOBSERVED
from snowcover.predict.raster_files import DESCRIPTIONS
from snowcover.prepare import raster
from snowcover.prepare.fill import strips
from snowcover.prepare.reprojection import Array

Kind = Literal["classes", "probability", "fraction"]

MOST_FLAGS = 24  # distinct values above the greatest share that are flags for clouds, water, night and so on
FEW = 8  # a raster of integers with no more distinct values than this holds classes
TOPS = (100, 1000)  # values of a full snow pixel: 100 in MODIS, 1000 in Landsat fSCA
A_MAP = (
    "a snow map holds 1 for snow, 0 for no snow and 255 for unobserved, or a probability or share of snow from 0 to 1, "
    "100 or 1000 (or by its scale, which gdal_edit.py -scale sets)"
)
THRESHOLD_TAG = "SNOWCOVER_THRESHOLD"
ROUNDING = 1e-6
_PROBABILITY = re.compile(r"prob", re.IGNORECASE)


class NotASnowMap(UserError):
    """A raster holds neither classes nor probabilities nor snow shares."""


@dataclass(frozen=True)
class MapValues:
    """How stored numbers are converted to snow shares."""

    kind: Kind
    scale: float = 1.0
    offset: float = 0.0
    """share or probability = stored number * scale + offset; 1 and 0 for classes"""
    threshold: float = 0.5
    """least probability that counts as snow"""

    @property
    def layers(self) -> int:
        return 2 if self.kind == "probability" else 1

    def converted(self, stored: Array, known: Array) -> tuple[Array, Array]:
        """Snow share and, for probabilities, the probability [L, h, w] float32, arbitrary where unobserved; and
        observed [h, w] bool. Flags count as unobserved."""
        if self.kind == "classes":
            snow = stored == SNOW
            return snow[None].astype(np.float32), known & (snow | (stored == BARE))
        if np.dtype(stored.dtype).itemsize == 1:  # lookup table: faster than scaling all pixels
            table, inside = self._scaled(np.arange(256, dtype=np.uint8).view(stored.dtype))
            places = stored.view(np.uint8)
            observed = known & inside[places]
            return np.stack([row[places] for row in table]), observed
        values, inside = self._scaled(stored)
        return values, known & inside

    def _scaled(self, stored: Array) -> tuple[Array, Array]:
        shares = stored.astype(np.float64) * self.scale + self.offset
        with np.errstate(invalid="ignore"):
            inside = (shares >= -ROUNDING) & (shares <= 1 + ROUNDING)
            clipped = np.clip(shares, 0, 1).astype(np.float32)
            if self.kind == "fraction":
                return clipped[None], inside
            return np.stack([shares >= self.threshold - ROUNDING, clipped]).astype(np.float32), inside


def recognise(file: RasterFile) -> MapValues:
    """Recognise what a map holds by its tags, else by scanning all of it.

    Raises:
        NotASnowMap, BrokenRaster
    """
    if file.description == DESCRIPTIONS["spread"]:
        raise NotASnowMap(
            f"{file.uri} holds the {DESCRIPTIONS['spread']}, no snow map: give the files "
            "..._probability.tif or ..._snow.tif."
        )
    (scale,), (offset,) = file.pixels.scales, file.pixels.offsets
    if THRESHOLD_TAG in file.tags and file.description in (DESCRIPTIONS["snow"], DESCRIPTIONS["probability"]):
        if file.description == DESCRIPTIONS["snow"]:
            return MapValues("classes")
        return MapValues("probability", scale, offset, float(file.tags[THRESHOLD_TAG]))
    if file.pixels.units and file.pixels.units[0] not in ("%", "percent"):
        raise NotASnowMap(
            f"{file.uri} gives its numbers the unit {file.pixels.units[0]}, which a snow map does not have: is it the "
            f"reference? {A_MAP[0].upper()}{A_MAP[1:]}."
        )
    return _by_values(file)


@dataclass
class ObservedValues:
    """The observed values of a map from 0 up; negative values are flags."""

    tops: tuple[float, ...]
    """candidate values of a full snow pixel"""
    highest: float = -np.inf
    values: set[float] | None = field(default_factory=set)
    """distinct values; None if more than MOST_FLAGS"""
    above: dict[float, set[float] | None] = field(default_factory=dict)
    """top -> distinct values above it, None if more than MOST_FLAGS"""
    within: dict[float, float] = field(default_factory=dict)
    """top -> greatest value up to it"""

    def add(self, values: Array) -> None:
        """Add observed values, [n]."""
        values = values[values >= 0]
        if not values.size:
            return
        is_byte = values.dtype == np.uint8
        different = np.flatnonzero(np.bincount(values)) if is_byte else np.unique(values)
        self.highest = max(self.highest, float(different[-1]))
        self.values = _few(self.values, different)
        for top in self.tops:
            end = int(np.searchsorted(different, top * (1 + ROUNDING), side="right"))
            self.above[top] = _few(self.above.get(top, set()), different[end:])
            if end:
                self.within[top] = max(self.within.get(top, 0.0), float(different[end - 1]))


def _few(before: set[float] | None, more: Array) -> set[float] | None:
    if before is None or more.size > MOST_FLAGS:
        return None
    both = before | set(more.tolist())
    return both if len(both) <= MOST_FLAGS else None


def _scan_values(file: RasterFile, tops: tuple[float, ...]) -> ObservedValues:
    found = ObservedValues(tops)
    with raster.settings(), file.opened() as opened:
        for window in strips(file.grid.width, file.grid.height):
            stored, known = opened.read(window)
            found.add(stored[known])
    if not np.isfinite(found.highest):
        raise NotASnowMap(f"{file.uri} has no observed pixel: check its nodata value, or download it again.")
    return found


def _by_values(file: RasterFile) -> MapValues:
    (scale,), (offset,) = file.pixels.scales, file.pixels.offsets
    kind: Kind = "probability" if _PROBABILITY.search(f"{file.description} {file.name}") else "fraction"
    if file.pixels.is_scaled:
        top = (1 - offset) / scale
        found = _scan_values(file, (top,))
        if found.above[top] is None:
            raise _not_a_snow_map(file, found, f" with a scale of {scale:g}")
        return MapValues(kind, scale, offset)
    found = _scan_values(file, (1, *TOPS))
    if found.values is not None and found.values <= {BARE, SNOW, UNOBSERVED}:
        _refuse_wrong_classes(file, found)
        return MapValues("classes")
    return MapValues(kind, 1 / _top(file, found))


def _refuse_wrong_classes(file: RasterFile, found: ObservedValues) -> None:
    values = found.values or set()
    if UNOBSERVED in values and (file.pixels.dtype != "uint8" or SNOW not in values):
        raise _not_a_snow_map(file, found)
    if 0 in file.nodata:
        raise NotASnowMap(
            f"{file.uri} says that 0, which is no snow, is its nodata value: remove the tag (rio edit-info {file.uri} "
            "--unset-nodata), and write 255 where nothing was observed."
        )


def _top(file: RasterFile, found: ObservedValues) -> float:
    """The value of a full snow pixel.

    Raises: NotASnowMap
    """
    is_whole = np.dtype(file.pixels.dtype).kind != "f"
    above_1 = found.above[1]
    if not is_whole and above_1 is not None and all(value >= TOPS[0] for value in above_1):
        return 1
    for top in TOPS:
        if found.above[top] is None or found.within.get(top, 0) < top / 2:  # lower ones may be anything, such as depths
            continue
        shares = {value for value in found.values or () if value <= top}
        if is_whole and found.values is not None and len(shares) <= FEW and shares - {0, top}:
            continue  # classes with other codes
        return top
    raise _not_a_snow_map(file, found)


def _not_a_snow_map(file: RasterFile, found: ObservedValues, scaled: str = "") -> NotASnowMap:
    if found.values is not None and len(found.values) <= FEW:
        content = "only " + ", ".join(f"{value:.6g}" for value in sorted(found.values))
    else:
        content = f"numbers up to {found.highest:.6g}"
    return NotASnowMap(f"{file.uri} holds {content}{scaled}, which are neither classes nor shares: {A_MAP}.")
