"""Recognises what a collect holds, by scanning all of it before anything is made: a mask, depths, or neither."""

import math
from collections.abc import Collection
from dataclasses import dataclass, field, replace

import numpy as np
from rasterio.io import DatasetReader

from snowcover.labels import BARE, SNOW, UNOBSERVED
from snowcover.prepare.collect import Rule, WrongCollect
from snowcover.prepare.fill import Suspects, distinct, refuse_fill, strips
from snowcover.prepare.pixels import Pixels
from snowcover.prepare.reprojection import Array
from snowcover.prepare.units import IN_METRES

MOST_CLASSES = 32  # a raster of integers with no more distinct values than this holds classes rather than depths
FEW = 8  # the same for floating point, which may hold a converted mask or classes
TOO_DEEP = 0.05  # with a larger share of depths above the highest, the unit is wrong rather than the measurements
AS_MASK = "write 1 for snow, 0 for no snow and 255, tagged as nodata, for unobserved"
AS_DEPTH = "if they are depths, give their unit, for example depth_unit=cm"


@dataclass(frozen=True)
class Collect:
    """An opened collect, and what the user says about its values."""

    uri: str
    file: DatasetReader
    pixels: Pixels
    unit: str | None = None
    """of its depths; if given, the values are depths"""
    nodata: float | None = None

    @property
    def is_whole(self) -> bool:
        """Whether pixels are integers."""
        return np.dtype(self.pixels.dtype).kind in "iu"


@dataclass
class Depths:
    """Counts of a collect's implausible depths."""

    observed_px: int = 0
    zero_px: int = 0
    """pixels that are 0, if the file tags 0 as nodata"""
    too_deep_px: int = 0
    suspects: Suspects = field(default_factory=Suspects)
    """stored numbers above the highest depth or below its negative"""

    def add(self, stored: Array, known: Array, rule: Rule) -> None:
        """Count a window's stored numbers [H, W]; `known` [H, W] bool is True where they are observed."""
        self.observed_px += int(np.count_nonzero(known))
        self.zero_px += _zeros(stored, rule)
        odd = stored[known & _beyond(stored, rule)]
        if odd.size:
            self.too_deep_px += int(np.count_nonzero(rule.metres(odd) > rule.highest_m))
            self.suspects.add(odd)


def _zeros(stored: Array, rule: Rule) -> int:
    return int(np.count_nonzero(stored == 0)) if rule.nodata == 0 else 0


def _beyond(stored: Array, rule: Rule) -> Array:
    low, high = sorted((limit - rule.offset_m) / rule.scale_m for limit in (-rule.highest_m, rule.highest_m))
    beyond: Array = (stored < low) | (stored > high)
    return beyond


def recognise(collect: Collect, rule: Rule) -> Rule:
    """The rule, completed: whether the collect is a mask, else how its depths are converted to metres.

    Raises:
        WrongCollect: neither a mask nor depths, or depths of an unknown unit.
        UntaggedFill: many pixels have one value that cannot be a depth.
    """
    if collect.unit is None and _is_mask(collect, rule):
        return replace(rule, is_mask=True)
    scale_m, offset_m = depth_scale(collect)
    rule = replace(rule, scale_m=scale_m, offset_m=offset_m)
    _check_depths(collect, rule)
    return rule


def _is_mask(collect: Collect, rule: Rule) -> bool:
    """Whether a collect holds only 0 and 1. A few other values are refused unless they are declared as depths."""
    counts, zero_px = _count_values(collect, rule)
    if counts is None:
        return False
    in_bytes = collect.pixels.dtype == "uint8"  # there 255 is unobserved with or without a tag
    if set(counts) <= ({SNOW, BARE, UNOBSERVED} if in_bytes else {SNOW, BARE}):
        _refuse_nodata_0(collect, zero_px, rule)
        _refuse_wrong_mask(collect, set(counts))
        return True
    _refuse_classes(collect, counts, rule)
    return False


def _count_values(collect: Collect, rule: Rule) -> tuple[dict[float, int] | None, int]:
    """Counts by observed value, None if there are more than MOST_CLASSES; and the number of zeros that are nodata."""
    counts: dict[float, int] = {}
    zero_px = 0
    for window in strips(collect.file.width, collect.file.height):
        stored = collect.file.read(collect.pixels.numbers[0], window=window)
        known = rule.known(stored, collect.pixels.read_mask(collect.file, window))
        more = distinct(stored[known], (*counts, SNOW, BARE), MOST_CLASSES)
        if more is None or len({*more, *counts}) > MOST_CLASSES:
            return None, 0
        counts = {value: counts.get(value, 0) + more.get(value, 0) for value in {*counts, *more}}
        zero_px += _zeros(stored, rule)
    return counts, zero_px


def depth_scale(collect: Collect) -> tuple[float, float]:
    """Scale and offset that convert stored numbers to metres.

    Raises: WrongCollect
    """
    scale, offset, unit = collect.pixels.scales[0], collect.pixels.offsets[0], collect.unit
    if unit is None:
        unit = _unit_in_file(collect.uri, collect.pixels.units)
        if scale != 1 and math.isclose(scale, IN_METRES[unit], rel_tol=1e-6):
            raise WrongCollect(
                f"{collect.uri} gives its numbers a scale of {scale:g} and the unit {unit}: give the unit after "
                f"scaling, depth_unit=m or depth_unit={unit}."
            )
    return scale * IN_METRES[unit], offset * IN_METRES[unit]


def _unit_in_file(uri: str, units: Collection[str]) -> str:
    if len(units) > 1:
        raise WrongCollect(
            f"{uri} gives its depths several units ({', '.join(units)}): give one, for example depth_unit=m."
        )
    unit = next(iter(units), "m")
    if unit not in IN_METRES:
        raise WrongCollect(
            f"{uri} gives its numbers the unit {unit}, which is not a unit of snow depth: convert them to metres, "
            "or give their unit, depth_unit=m."
        )
    return unit


def _check_depths(collect: Collect, rule: Rule) -> None:
    """Raises: WrongCollect, UntaggedFill"""
    uri, pixels = collect.uri, collect.pixels
    depths = Depths()
    for window in strips(collect.file.width, collect.file.height):
        stored = collect.file.read(pixels.numbers[0], window=window)
        depths.add(stored, rule.known(stored, pixels.read_mask(collect.file, window)), rule)
    _refuse_nodata_0(collect, depths.zero_px, rule)
    fill = depths.suspects.most()
    too_deep = TOO_DEEP * depths.observed_px
    if depths.too_deep_px - fill.px <= too_deep:
        refuse_fill(uri, fill, collect.file.width * collect.file.height)
    if collect.unit is None and not pixels.units and not pixels.is_scaled and collect.is_whole:
        raise WrongCollect(
            f"{uri} holds whole numbers with neither a scale nor a unit: give the unit of these depths, "
            "for example depth_unit=cm."
        )
    if depths.too_deep_px > too_deep:
        raise WrongCollect(
            f"{uri} has depths above {rule.highest_m:g} m in {depths.too_deep_px / depths.observed_px:.0%} of its "
            "observed pixels: give their unit, for example depth_unit=cm, or raise depth_highest_m."
        )


def _refuse_nodata_0(collect: Collect, zero_px: int, rule: Rule) -> None:
    """Refuse 0 as the file's nodata value, which hides all bare ground, unless the user gave nodata=0."""
    if zero_px and rule.offset_m == 0 and collect.nodata != 0:
        raise WrongCollect(
            f"{collect.uri} says that 0, which is no snow, is its nodata value "
            f"({zero_px / (collect.file.width * collect.file.height):.1%} of its pixels): give nodata=0 if nothing was "
            f"observed there; if it is bare ground, remove the tag (rio edit-info {collect.uri} --unset-nodata)."
        )


def _refuse_wrong_mask(collect: Collect, values: set[float]) -> None:
    if values == {BARE, UNOBSERVED}:
        raise WrongCollect(
            f"{collect.uri} holds only 0 and 255, and no tag says what 255 is: {AS_MASK}; give nodata=255 if it is "
            "unobserved."
        )
    if collect.pixels.is_scaled and values:
        raise WrongCollect(
            f"{collect.uri} holds only {_listed(values)} with a scale of {collect.pixels.scales[0]:g} and an offset of "
            f"{collect.pixels.offsets[0]:g}, and a mask has neither: set them to 1 and 0; {AS_DEPTH}."
        )


def _refuse_classes(collect: Collect, counts: dict[float, int], rule: Rule) -> None:
    """Refuse a few distinct integers (a mask with other codes, or classes), unless the file declares depths."""
    fills = {value for value in counts if _may_be_fill(value, collect.pixels.dtype)}
    rest = set(counts) - fills
    if fills and rest <= {SNOW, BARE}:
        fill = max(fills, key=lambda value: counts[value])
        raise WrongCollect(
            f"{collect.uri} holds only {_listed(counts)}, and no tag says that {fill:.9g} is nodata: give it, "
            f"nodata={fill:.9g}, if nothing was observed there."
        )
    if not _may_be_depths(collect, rest, rule):
        raise WrongCollect(
            f"{collect.uri} holds only {_listed(counts)}: is it a mask with other codes, or of classes? A mask is "
            f"needed: {AS_MASK}; {AS_DEPTH}."
        )


def _may_be_fill(value: float, dtype: str) -> bool:
    kind = np.dtype(dtype)
    return value < 0 or value == (np.iinfo(kind).max if kind.kind in "iu" else np.finfo(kind).max)


def _may_be_depths(collect: Collect, values: set[float], rule: Rule) -> bool:
    """Whether a few distinct values may be depths; two floats, one of them 0, may be bare ground and one depth."""
    if collect.pixels.is_scaled or collect.pixels.units:
        return True
    if collect.is_whole:
        return False
    if len(values) > FEW or not all(float(value).is_integer() for value in values):
        return True
    return len(values) == 1 or (len(values) == 2 and 0 in values and max(values) <= rule.highest_m)


def _listed(values: Collection[float]) -> str:
    """`0, 1 and 255`."""
    if len(values) > FEW:
        return f"{len(values)} different whole numbers"
    words = [f"{value:.9g}" for value in sorted(values)]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
