"""The inputs of an evaluation with their metadata: reference, products and rasters of strata."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np
from rasterio.windows import Window

from snowcover.data.dates import days_apart, instant_in
from snowcover.data.terrain import sun_position
from snowcover.evaluate import strata
from snowcover.evaluate.blocks import Blocks
from snowcover.evaluate.config import Config
from snowcover.evaluate.exclude import Exclusion, read_exclusion
from snowcover.evaluate.ground import TrainedGround, find_trained
from snowcover.evaluate.products import Product, read_products
from snowcover.evaluate.rasters import Metres, heights, inspect_raster
from snowcover.evaluate.reference import Reference, read_reference
from snowcover.evaluate.strata import Stratum
from snowcover.predict.area import pixel_size_m
from snowcover.prepare import raster
from snowcover.prepare.reprojection import WGS84, Grid, apply, project

CANOPY_M, ELEVATION_M = (-5.0, 150.0), (-500.0, 9000.0)  # range of valid values
CHUNK_PX = 1024  # side of a chunk
OVERVIEW_PX = 1200  # longest side of the overview
SAMPLED_ROWS, SPARE_M = 64, 200.0
EVERYWHERE = (strata.SNOW_EDGE,)
OF_CANOPY = (strata.CANOPY_HEIGHT, strata.CANOPY_EDGE)
OF_TERRAIN = (strata.ELEVATION, strata.SLOPE, strata.ASPECT)


@dataclass(frozen=True)
class Site:
    """The inputs of one evaluation."""

    reference: Reference
    thresholds_m: tuple[float, ...]
    """empty for a mask"""
    products: tuple[Product, ...]
    canopy: Metres | None
    elevation: Metres | None
    exclusion: Exclusion
    trained: TrainedGround | None
    """None if no network's training ground is known"""
    acquired: datetime | None
    blocks: Blocks
    notes: tuple[str, ...]

    @property
    def grid(self) -> Grid:
        return self.reference.grid

    @property
    def pixel_m(self) -> tuple[float, float]:
        return self.blocks.pixel_m

    @cached_property
    def elevation_range_m(self) -> tuple[float, float]:
        """Approximate lowest and highest elevation, from a sample of rows."""
        assert self.elevation is not None
        with raster.settings(), self.elevation.opened() as read:
            grid = self.elevation.grid
            rows = np.unique(np.linspace(0, grid.height - 1, SAMPLED_ROWS).astype(int))
            parts = [values[0][known] for values, known in (read(Window(0, row, grid.width, 1)) for row in rows)]
        found = np.concatenate(parts)
        return (float(found.min()) - SPARE_M, float(found.max()) + SPARE_M) if found.size else ELEVATION_M

    @cached_property
    def sun_deg(self) -> tuple[float, float] | None:
        """Zenith angle and azimuth of the sun in the middle of the reference; None without an acquisition time."""
        if self.acquired is None:
            return None
        middle = apply(self.grid.transform, np.array([self.grid.width / 2]), np.array([self.grid.height / 2]))
        longitude, latitude = project(self.grid.crs, WGS84, *middle)[:, 0]
        return sun_position(self.acquired, float(longitude), float(latitude))

    @cached_property
    def scenes(self) -> tuple[str, ...]:
        """Scenes of the first product, in the order of its files."""
        return tuple(map_file.scene for map_file in self.products[0].files)

    @cached_property
    def gaps_days(self) -> tuple[float, ...]:
        """Days between each scene and the reference, NaN if a date is unknown."""
        gaps = (days_apart(map_file.date, self.reference.date) for map_file in self.products[0].files)
        return tuple(np.nan if gap is None else float(gap) for gap in gaps)

    @cached_property
    def strata(self) -> tuple[Stratum, ...]:
        """The strata that scores are reported for."""
        found = [*EVERYWHERE]
        if not self.reference.is_mask:
            found.append(strata.SNOW_DEPTH)
        if self.canopy is not None:
            found += OF_CANOPY
        if self.elevation is not None:
            found += OF_TERRAIN
            if self.sun_deg is not None:
                found.append(strata.ILLUMINATION)
        return (*found, *strata.of_scenes(self.scenes, self.gaps_days))

    @property
    def overview_px(self) -> int:
        """Reference pixels along the side of one overview pixel."""
        return max(1, -(-max(self.grid.width, self.grid.height) // OVERVIEW_PX))

    def windows(self) -> Sequence[Window]:
        """Windows that cover the products, in squares of whole overview pixels."""
        side = CHUNK_PX // self.overview_px * self.overview_px or self.overview_px
        width, height = self.grid.width, self.grid.height
        windows = (
            Window(left, top, min(side, width - left), min(side, height - top))
            for top in range(0, height, side)
            for left in range(0, width, side)
        )
        files = [map_file for product in self.products for map_file in product.files]
        return [window for window in windows if any(map_file.touches(window) for map_file in files)]


def inspect_site(config: Config, scratch: str) -> Site:
    """Read the metadata of all inputs that the config names.

    Raises: UserError, naming the file.
    """

    def metres(key: str, limits_m: tuple[float, float]) -> Metres | None:
        uri: str | None = getattr(config, key)
        return None if uri is None else heights(key, inspect_raster(uri, f"{scratch}/{key}", config.crs), *limits_m)

    reference = read_reference(config, str(Path(scratch) / "reference"))
    grid = reference.grid
    products = read_products(config, grid, reference.date, scratch)
    trained, notes = _trained(products, grid, config.tracking.uri)
    acquired = datetime.fromisoformat(config.acquired) if config.acquired else _acquired(products)
    return Site(
        reference, () if reference.is_mask else config.thresholds_m, products,
        metres("canopy_height", CANOPY_M), metres("elevation", ELEVATION_M),
        read_exclusion(config.exclude, grid, config.crs, scratch), trained,
        None if acquired is None else acquired if acquired.tzinfo else acquired.replace(tzinfo=UTC),
        Blocks(grid.height, grid.width, pixel_size_m(grid), config.block_m), tuple(notes),
    )  # fmt: skip


def _trained(products: Sequence[Product], grid: Grid, tracking_uri: str) -> tuple[TrainedGround | None, list[str]]:
    runs = dict.fromkeys(run for product in products for run in product.runs)
    if not runs:
        return None, []
    cells, notes = find_trained(list(runs), tracking_uri)
    return (TrainedGround(grid, cells) if cells else None), notes


def _acquired(products: Sequence[Product]) -> datetime | None:
    """The acquisition time from the scenes' names (20180528_181110), if they are within 10 minutes."""
    found = {instant_in(map_file.scene) for map_file in products[0].files}
    times = sorted(time for time in found if time is not None)
    if len(times) < len(found) or not times or (times[-1] - times[0]).total_seconds() > 600:
        return None
    return times[0]
