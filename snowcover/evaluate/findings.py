"""Sums over all chunks, from which scores, intervals and figures are made."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from snowcover.evaluate.align import Alignment
from snowcover.evaluate.chunk import Chunk
from snowcover.evaluate.counts import Counter, Selected
from snowcover.evaluate.fractional import CELLS_M, OwnCells, SquareCells, large_enough
from snowcover.evaluate.overview import OverviewSums
from snowcover.evaluate.probabilities import add_probabilities, new_sums
from snowcover.evaluate.site import Site
from snowcover.evaluate.snow_line import SnowLineSums
from snowcover.evaluate.strata import ASPECT
from snowcover.evaluate.words import REFERENCE
from snowcover.labels import UNOBSERVED


class Findings:
    """Sums over the whole reference."""

    def __init__(self, site: Site, leaves_out_trained: bool) -> None:
        names = tuple(product.name for product in site.products)
        blocks, grid = site.blocks.count, site.grid
        self.site = site
        self._lock = threading.Lock()
        self.counter = Counter(names, site.thresholds_m, site.strata, blocks, leaves_out_trained)
        self.probabilities = {one.name: new_sums(blocks) for one in site.products if one.values.kind == "probability"}
        self.cells = {
            cell_m: SquareCells(grid.height, grid.width, site.pixel_m, cell_m, names)
            for cell_m in CELLS_M
            if large_enough(cell_m, site.pixel_m)
        }
        self.own_cells: Mapping[str, NumberedCells] = {
            one.name: NumberedCells(one.files[0].alignment)
            for one in site.products
            if one.is_coarser and one.values.kind == "fraction" and len(one.files) == 1
        }
        self.snow_lines: SnowLineSums | None = None
        if site.elevation is not None:
            self.snow_lines = SnowLineSums((REFERENCE, *names), blocks, *site.elevation_range_m)
        self.overview = OverviewSums(grid.height, grid.width, site.overview_px, names)
        self.reference_px = 0
        """observed and not excluded"""

    def count(self, chunk: Chunk) -> Selected:
        """Add integer counts, from any thread and in any order; returns the scored pixels."""
        with self._lock:
            return self.counter.add(chunk)

    def add(self, chunk: Chunk, counted: Selected) -> None:
        """Add floating-point sums, whose last digits depend on the order: chunks must come in a fixed order."""
        self.reference_px += int(np.count_nonzero(chunk.snow != UNOBSERVED))
        self.overview.add(chunk, counted.mask)
        if not counted.pixels:
            return
        self._add_probabilities(chunk, counted)
        for cells in self.cells.values():
            cells.add(chunk, counted.mask)
        for name, own in self.own_cells.items():
            own.add(chunk, name, counted.mask)
        if self.snow_lines is not None:
            self._add_snow_lines(self.snow_lines, chunk, counted)

    def _add_probabilities(self, chunk: Chunk, counted: Selected) -> None:
        snow, block = counted.take(chunk.snow) == 1, counted.take(chunk.block)
        for name, sums in self.probabilities.items():
            add_probabilities(sums, counted.take(chunk.probability[name]), snow, block)

    def _add_snow_lines(self, snow_lines: SnowLineSums, chunk: Chunk, counted: Selected) -> None:
        assert chunk.elevation_m is not None
        shares = {name: counted.take(chunk.share[name]) for name in self.counter.products}
        shares[REFERENCE] = counted.take(chunk.snow)
        aspect, block = counted.take(chunk.strata[ASPECT.name]), counted.take(chunk.block)
        snow_lines.add(shares, counted.take(chunk.elevation_m), aspect, block)


@dataclass
class NumberedCells:
    """The cells of a coarse product within the reference, numbered."""

    alignment: Alignment

    def __post_init__(self) -> None:
        self._box = self.alignment.reach() or Window(0, 0, 0, 0)
        self.cells = OwnCells(self._box.width * self._box.height, 1 / self.alignment.source_px)

    def cell_m(self, pixel_m: tuple[float, float]) -> float:
        """Approximate side of a cell on the ground, to two figures."""
        return float(f"{(pixel_m[0] * pixel_m[1] / self.alignment.source_px) ** 0.5:.2g}")

    def add(self, chunk: Chunk, name: str, counted: NDArray[np.bool_]) -> None:
        """Add a chunk's pixels to the cells of the product `name`; `counted` [H, W] says which are scored."""
        share = chunk.share[name]
        self.cells.add(self._numbers(chunk), chunk, share, counted)

    def _numbers(self, chunk: Chunk) -> NDArray[np.int64]:
        """Cell number of each pixel [H, W], -1 for none."""
        height, width = chunk.snow.shape
        x, y = self.alignment.at(chunk.col + np.arange(width) + 0.5, chunk.row + np.arange(height) + 0.5)
        box = self._box
        x, y = (np.nan_to_num(np.floor(places), nan=-1, posinf=-1, neginf=-1) for places in (x, y))
        inside = (
            (x >= box.col_off) & (x < box.col_off + box.width) & ((y >= box.row_off) & (y < box.row_off + box.height))
        )
        return np.where(inside, (y - box.row_off) * box.width + x - box.col_off, -1).astype(np.int64)
