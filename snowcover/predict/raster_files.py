"""A map's rasters, written row by row as they are mapped: classes, probability, and the spread of the members."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.enums import ColorInterp
from rasterio.io import DatasetWriter

from snowcover.labels import BARE, SNOW, UNOBSERVED
from snowcover.predict.area import GroundArea
from snowcover.prepare import raster
from snowcover.prepare.reprojection import Array

if TYPE_CHECKING:  # imports torch, which readers of maps do not need
    from snowcover.predict.mapping import OutputGrid, Rows

Kind = Literal["snow", "probability", "spread"]

COLOURS = {BARE: (198, 178, 139, 255), SNOW: (41, 120, 204, 255), UNOBSERVED: (0, 0, 0, 0)}
STEPS = 200  # half per cents: enough precision, and they fit in a byte
SCALES: Mapping[Kind, float] = {"probability": 1 / STEPS, "spread": 0.5 / STEPS}  # a spread is at most 0.5
DESCRIPTIONS: Mapping[Kind, str] = {
    "snow": "snow",
    "probability": "probability of snow",
    "spread": "standard deviation of the probability over the members",
}
RESAMPLING: Mapping[Kind, str] = {"snow": "MODE", "probability": "AVERAGE", "spread": "AVERAGE"}
STRIP_ROWS = 64  # written together, so that no block is compressed twice


@dataclass
class Totals:
    """Observed and snow-covered area of a map."""

    observed_px: int = 0
    snow_px: int = 0
    observed_km2: float = 0.0
    snow_km2: float = 0.0

    @property
    def snow_share(self) -> float | None:
        """Share of the observed area that is snow; None if nothing was observed."""
        return self.snow_km2 / self.observed_km2 if self.observed_km2 else None


@dataclass
class RasterWriter:
    """Writes the rows of one map, top to bottom, to files in `folder`."""

    folder: Path
    grid: "OutputGrid"
    threshold: float
    """least probability that counts as snow"""
    files: Mapping[Kind, DatasetWriter]
    totals: Totals = field(default_factory=Totals)
    _waiting: list[dict[Kind, Array]] = field(default_factory=list)
    _written: int = 0

    def __post_init__(self) -> None:
        self._area = GroundArea(self.grid)

    def add(self, rows: "Rows") -> None:
        """Count and encode rows of the map, which come top to bottom; whole strips are written."""
        for start in range(0, len(rows.probability), STRIP_ROWS):  # keeps intermediate arrays small
            part = np.s_[start : start + STRIP_ROWS]
            spread = None if rows.spread is None else rows.spread[part]
            self._add_strip(replace(rows, row=rows.row + start, probability=rows.probability[part], spread=spread))

    def _add_strip(self, rows: "Rows") -> None:
        self._count(rows)
        self._waiting.append(encoded(rows, self.threshold))
        if sum(len(part["snow"]) for part in self._waiting) >= STRIP_ROWS:
            self._write(whole_strips=True)

    def finish(self, tags: Mapping[str, str]) -> None:
        """Write the remaining rows and the files' tags."""
        self._write(whole_strips=False)
        assert self._written == self.grid.height, f"{self._written} of {self.grid.height} rows"
        for kind, file in self.files.items():
            file.update_tags(**tags)
            file.set_band_description(1, DESCRIPTIONS[kind])

    def _count(self, rows: "Rows") -> None:
        observed, snow = ~np.isnan(rows.probability), rows.probability >= self.threshold
        self.totals.observed_px += int(np.count_nonzero(observed))
        self.totals.snow_px += int(np.count_nonzero(snow))
        self.totals.observed_km2 += self._area.km2(observed, rows.row)
        self.totals.snow_km2 += self._area.km2(snow, rows.row)

    def _write(self, whole_strips: bool) -> None:
        if not self._waiting:
            return
        for kind, file in self.files.items():
            values = np.concatenate([part[kind] for part in self._waiting])
            count = len(values) // STRIP_ROWS * STRIP_ROWS if whole_strips else len(values)
            window = rasterio.windows.Window(0, self._written, self.grid.width, count)
            file.write(values[:count], 1, window=window)
            for part in self._waiting[:-1]:
                part[kind] = values[:0]
            self._waiting[-1][kind] = values[count:]
        self._written += count
        del self._waiting[:-1]


def encoded(rows: "Rows", threshold: float) -> dict[Kind, Array]:
    """Some rows as they are stored, each [H, W] uint8."""
    observed, snow = ~np.isnan(rows.probability), rows.probability >= threshold
    found: dict[Kind, Array] = {
        "snow": np.where(observed, snow.astype(np.uint8), np.uint8(UNOBSERVED)),
        "probability": _consistent_with_classes(_in_steps(rows.probability, SCALES["probability"]), snow, threshold),
    }
    if rows.spread is not None:
        found["spread"] = _in_steps(rows.spread, SCALES["spread"])
    return found


def _consistent_with_classes(steps: Array, snow: Array, threshold: float) -> Array:
    """Probabilities whose rounding never crosses the threshold, so that they reproduce the map's classes."""
    least = np.uint8(np.ceil(np.round(threshold * STEPS, 6)))
    return np.where(snow, np.maximum(steps, least), np.where(steps == UNOBSERVED, steps, np.minimum(steps, least - 1)))


def _in_steps(values: Array, step: float) -> Array:
    steps = np.rint(np.nan_to_num(values, nan=0.0) / step).clip(0, STEPS)
    return np.where(np.isnan(values), UNOBSERVED, steps).astype(np.uint8)


@contextmanager
def raster_writer(folder: Path, grid: "OutputGrid", threshold: float, has_spread: bool) -> Iterator[RasterWriter]:
    """A writer for the rows of a map; after the block the files are complete, and `cloud_optimised` may be called.

    Raises: DiskFull
    """
    kinds: list[Kind] = ["snow", "probability", *(["spread"] if has_spread else [])]  # type: ignore[list-item]
    with raster.scratch_errors(str(folder)), ExitStack() as stack:
        files = {kind: stack.enter_context(_plain(folder / f"{kind}.plain.tif", grid, kind)) for kind in kinds}
        yield RasterWriter(folder, grid, threshold, files)


def _plain(path: Path, grid: "OutputGrid", kind: Kind) -> DatasetWriter:
    file = rasterio.open(
        path, "w", driver="GTiff", count=1, dtype="uint8", nodata=UNOBSERVED, width=grid.width, height=grid.height,
        crs=grid.crs, transform=grid.transform, blockysize=min(STRIP_ROWS, grid.height), compress="deflate", zlevel=1,
        bigtiff="if_safer",
    )  # fmt: skip
    if kind in SCALES:
        file.scales, file.offsets = (SCALES[kind],), (0.0,)
    else:
        file.colorinterp = [ColorInterp.palette]
        file.write_colormap(1, COLOURS)
    return file


def cloud_optimised(folder: Path, kind: Kind) -> Path:
    """Replace a writer's plain file by a cloud-optimised copy with overviews.

    Raises: DiskFull
    """
    plain, target = folder / f"{kind}.plain.tif", folder / f"{kind}.tif"
    with raster.scratch_errors(str(folder)):
        rasterio.shutil.copy(
            plain, target, driver="COG", COMPRESS="DEFLATE", BLOCKSIZE=512, OVERVIEW_RESAMPLING=RESAMPLING[kind],
            NUM_THREADS="ALL_CPUS", BIGTIFF="IF_SAFER", STATISTICS="NO",
        )  # fmt: skip
    plain.unlink()
    return target
