"""One map of several scenes of a date: the mean of their probabilities where they overlap.

Unlike the first observed scene, the mean does not depend on an order and leaves no seams at scene edges.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.io import DatasetReader
from rasterio.windows import Window

from snowcover.predict.grids import part_of
from snowcover.predict.mapping import OutputGrid, Rows, SceneSource
from snowcover.prepare import raster
from snowcover.prepare.reprojection import Array

STRIP_ROWS = 128

Mapping = Callable[[SceneSource, OutputGrid], Iterator[Rows]]


@dataclass(frozen=True)
class _Part:
    """One scene's map in the part of the grid that it touches."""

    path: Path
    column: int
    row: int
    grid: OutputGrid


def mosaic_rows(sources: Sequence[SceneSource], whole: OutputGrid, map_one: Mapping, scratch: Path) -> Iterator[Rows]:
    """The rows of one map of several scenes.

    Each scene is first mapped to a file in `scratch`, so that memory is that of one scene.

    Raises:
        DiskFull
        UserError: what mapping raises.
    """
    parts = [
        part for number, source in enumerate(sources) if (part := _mapped(number, source, whole, map_one, scratch))
    ]
    with ExitStack() as stack:
        files = [(part, stack.enter_context(rasterio.open(part.path))) for part in parts]
        for row in range(0, whole.height, STRIP_ROWS):
            yield _mean(files, row, min(STRIP_ROWS, whole.height - row), whole.width)
    for part in parts:
        part.path.unlink()


def _mapped(number: int, source: SceneSource, whole: OutputGrid, map_one: Mapping, scratch: Path) -> _Part | None:
    column, row, grid = part_of(whole, source)
    if not (grid.width and grid.height):
        return None
    path = scratch / f"part_{number}.tif"
    with raster.scratch_errors(str(scratch)):
        _write(path, grid, map_one(source, grid))
    return _Part(path, column, row, grid)


def _write(path: Path, grid: OutputGrid, rows: Iterator[Rows]) -> None:
    """Write probability and, if there is one, spread as float32."""
    first = next(rows)
    profile = {
        "driver": "GTiff", "count": 1 if first.spread is None else 2, "dtype": "float32", "width": grid.width,
        "height": grid.height, "crs": grid.crs, "transform": grid.transform, "blockysize": 1, "compress": "deflate",
        "zlevel": 1, "interleave": "band", "bigtiff": "if_safer",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        for part in _with_first(first, rows):
            window = Window(0, part.row, grid.width, len(part.probability))
            for band, values in enumerate(_layers(part), start=1):
                file.write(values, band, window=window)


def _with_first(first: Rows, rest: Iterator[Rows]) -> Iterator[Rows]:
    yield first
    yield from rest


def _layers(rows: Rows) -> list[Array]:
    return [rows.probability] if rows.spread is None else [rows.probability, rows.spread]


def _mean(files: Sequence[tuple[_Part, DatasetReader]], row: int, height: int, width: int) -> Rows:
    bands = max((file.count for _, file in files), default=1)
    sums, counts = np.zeros((bands, height, width), np.float32), np.zeros((height, width), np.uint16)
    for part, file in files:
        first, end = max(row, part.row), min(row + height, part.row + part.grid.height)
        if first >= end:
            continue
        values = file.read(window=Window(0, first - part.row, part.grid.width, end - first))
        overlap = np.s_[first - row : end - row, part.column : part.column + part.grid.width]
        observed = ~np.isnan(values[0])
        counts[overlap] += observed
        sums[:, overlap[0], overlap[1]] += np.where(observed, values, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(counts, sums / counts, np.float32(np.nan)).astype(np.float32)
    return Rows(row, means[0], means[1] if bands == 2 else None)
