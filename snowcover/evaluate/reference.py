"""The reference: lidar snow depth or a mask, read like the collects of prepare."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from rasterio.windows import Window

from snowcover.data.dates import date_in
from snowcover.errors import UserError
from snowcover.evaluate.config import Config
from snowcover.evaluate.rasters import OpenRaster, RasterFile, inspect_raster
from snowcover.labels import UNOBSERVED
from snowcover.prepare import depths, raster
from snowcover.prepare.collect import Rule, WrongCollect
from snowcover.prepare.reprojection import Array, Grid


class WrongReference(UserError):
    """The reference is not of the given kind."""


@dataclass(frozen=True)
class Reference:
    """What maps are scored against."""

    file: RasterFile
    rule: Rule
    """with the first depth threshold"""

    @property
    def grid(self) -> Grid:
        return self.file.grid

    @property
    def is_mask(self) -> bool:
        return self.rule.is_mask

    @property
    def date(self) -> str:
        """YYYYMMDD, or an empty string"""
        return date_in(self.file.name)

    @contextmanager
    def opened(self) -> Iterator["OpenReference"]:
        """The reference opened for one thread.

        Raises: BrokenRaster
        """
        with self.file.opened() as file:
            yield OpenReference(self, file)


@dataclass(frozen=True)
class OpenReference:
    """A reference opened by one thread."""

    of: Reference
    file: OpenRaster

    def read(self, window: Window) -> tuple[Array, Array | None]:
        """Snow [H, W] uint8 (255 unobserved) and depth in metres [H, W] float32 (NaN unobserved; None for a mask) in a
        window, which may extend beyond the raster: there nothing is observed."""
        grid = self.of.grid
        left, top = max(0, window.col_off), max(0, window.row_off)
        right, bottom = (
            min(grid.width, window.col_off + window.width), min(grid.height, window.row_off + window.height)
        )  # fmt: skip
        stored, known = self.file.read(Window(left, top, right - left, bottom - top))
        snow, depth_m = _converted(self.of.rule, stored, known)
        margins = ((top - window.row_off, window.row_off + window.height - bottom),
                (left - window.col_off, window.col_off + window.width - right))  # fmt: skip
        if any(map(any, margins)):
            snow = np.pad(snow, margins, constant_values=UNOBSERVED)
            depth_m = None if depth_m is None else np.pad(depth_m, margins, constant_values=np.nan)
        return snow, depth_m


def _converted(rule: Rule, stored: Array, known: Array) -> tuple[Array, Array | None]:
    snow, _ = rule.mask(stored, known)
    if rule.is_mask:
        return snow, None
    depth_m = rule.metres(stored).astype(np.float32)
    return snow, np.where(snow == UNOBSERVED, np.float32(np.nan), depth_m)


def read_reference(config: Config, scratch: str) -> Reference:
    """Scan the reference that the config names.

    Raises:
        WrongReference: it is not what reference_kind says.
        WrongCollect: it is neither a mask nor depths, or its unit is unknown.
        UserError: what `inspect_raster` raises.
    """
    assert config.reference is not None
    file = inspect_raster(config.reference, scratch, config.crs, config.nodata)
    own, *other = file.nodata or (None,)
    lowest_m, highest_m = config.depth_lowest_m, config.depth_highest_m
    rule = Rule(own, config.thresholds_m[0], lowest_m, highest_m, other_nodata=tuple(other))
    with raster.settings(), raster.opened(file.uri, file.path) as opened:
        unit = config.depth_unit if config.reference_kind != "mask" else None
        rule = _of_kind(config, depths.Collect(file.uri, opened, file.pixels, unit, config.nodata), rule)
    return Reference(file, rule)


def _of_kind(config: Config, collect: depths.Collect, rule: Rule) -> Rule:
    kind = config.reference_kind
    try:
        found = depths.recognise(collect, rule)
    except WrongCollect as error:
        if kind != "mask":
            raise
        raise WrongReference(f"reference_kind=mask: {error}") from error
    if kind == "mask" and not found.is_mask:
        raise WrongReference(
            f"reference_kind=mask, but {collect.uri} holds depths, and a mask holds 1 for snow, 0 for no snow and 255 "
            "for unobserved: give reference_kind=depth."
        )
    if kind == "depth" and found.is_mask:
        if not collect.is_whole:  # depths of 0 and 1 m
            return replace(depths.recognise(replace(collect, unit="m"), rule), is_mask=False)
        raise WrongReference(
            f"reference_kind=depth, but {collect.uri} holds only 0 and 1, which is a mask: give reference_kind=mask, "
            "or the unit of its depths, for example depth_unit=m."
        )
    return found
