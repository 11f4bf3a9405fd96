"""Excluded areas, such as water, glaciers and clouds, given as polygons or rasters."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from affine import Affine
from rasterio.features import rasterize
from rasterio.windows import Window

from snowcover import storage
from snowcover.errors import UserError
from snowcover.evaluate.align import Alignment, Read, aligned
from snowcover.evaluate.rasters import RasterFile, inspect_raster
from snowcover.prepare import polygons
from snowcover.prepare.reprojection import WEB_MERCATOR, Array, Grid, project, wrap_to_grid

GEOJSON = (".geojson", ".json")
MOSTLY = 0.5  # least excluded share of an excluded pixel
CORNERS_M = 100.0  # spacing of points along a polygon's edges, which are curved after projection


class WrongExclusion(UserError):
    """A file given as exclude holds no areas to leave out."""


@dataclass(frozen=True)
class Exclusion:
    """All excluded areas."""

    shapes: tuple[dict[str, object], ...]
    """polygons in the reference's CRS"""
    rasters: tuple[RasterFile, ...]
    reference: Grid

    @contextmanager
    def opened(self) -> Iterator["OpenedExclusion"]:
        """The exclusion with its rasters opened for one thread.

        Raises:
            BrokenRaster
        """
        with ExitStack() as stack:
            reads = [
                (_reader(stack, file), Alignment(file.grid, self.reference)) for file in self.rasters
            ]  # fmt: skip
            yield OpenedExclusion(self, reads)


@dataclass(frozen=True)
class OpenedExclusion:
    """The excluded areas, opened by one thread."""

    _all: Exclusion
    _rasters: Sequence[tuple[Read, Alignment]]

    def of(self, window: Window) -> Array:
        """[H, W] bool, excluded pixels of the reference."""
        size = window.height, window.width
        left_out: Array = np.zeros(size, bool)
        if self._all.shapes:
            moved = self._all.reference.transform * Affine.translation(window.col_off, window.row_off)
            left_out |= rasterize(self._all.shapes, size, transform=moved, dtype=np.uint8) != 0
        for read, alignment in self._rasters:
            with np.errstate(invalid="ignore"):
                left_out |= aligned(read, alignment, window, 1)[0] >= MOSTLY
        return left_out


def _reader(stack: ExitStack, file: RasterFile) -> Read:
    opened = stack.enter_context(file.opened())

    def read(window: Window) -> tuple[Array, Array]:
        stored, known = opened.read(window)
        return ((stored != 0) & known)[None].astype(np.float32), np.ones_like(known)

    return read


def read_exclusion(places: Sequence[str], reference: Grid, crs: str | None, scratch: str) -> Exclusion:
    """Read the polygons and rasters of excluded areas.

    Raises:
        WrongExclusion, StorageError
        UserError: what `inspect_raster` raises.
    """
    shapes: list[dict[str, object]] = []
    rasters = []
    for number, uri in enumerate(places):
        if uri.lower().endswith(GEOJSON):
            shapes += _shapes(uri, reference)
        else:
            rasters.append(inspect_raster(uri, str(Path(scratch) / f"exclude_{number}"), crs))
    return Exclusion(tuple(shapes), tuple(rasters), reference)


def _shapes(uri: str, reference: Grid) -> list[dict[str, object]]:
    try:
        found = polygons.read(storage.read(uri))
    except polygons.NoPolygons as error:
        raise WrongExclusion(f"exclude={uri} {error}.") from error
    placed = [[_placed(ring, reference) for ring in shape] for shape in found]
    return [
        {"type": "Polygon", "coordinates": [ring.tolist() for ring in shape]}
        for shape in placed
        if all(np.isfinite(ring).all() for ring in shape)
    ]


def _placed(ring: Array, reference: Grid) -> Array:
    """A ring [n, 2] from EPSG:3857 in the reference's CRS, closed and densified."""
    closed = np.concatenate([ring, ring[:1]])
    parts = []
    for start, end in itertools.pairwise(closed):
        steps = min(1000, max(1, int(np.hypot(*(end - start)) / CORNERS_M)))
        parts.append(start + (end - start) * (np.arange(steps) / steps)[:, None])
    xs, ys = np.concatenate([*parts, ring[:1]]).T
    return wrap_to_grid(reference, *project(WEB_MERCATOR, reference.crs, xs, ys)).T
