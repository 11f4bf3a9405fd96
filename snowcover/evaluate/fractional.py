"""Fractional snow cover (fSCA): the snow share of cells in a product and in the reference. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snowcover.evaluate.chunk import Chunk
from snowcover.evaluate.results import FractionHistogram

CELLS_M = (30.0, 100.0, 500.0)
MIN_OBSERVED = 0.8  # share of a cell's pixels
MIN_PIXELS = 4  # cells of fewer pixels have no meaningful fraction
HISTOGRAM_BINS = 50
SUMS = 5
"""Sums per block: cells, error, squared error, reference share, squared reference share."""
ALIKE = 1e-9  # variance of reference shares below which R2 is undefined

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fractions:
    """Sufficiently observed cells, [N]."""

    reference: Floats
    """snow share, 0 to 1"""
    product: Floats
    block: NDArray[np.int64]


class SquareCells:
    """Sums of snow in square cells over the whole reference; chunks may come in any order and split cells.

    A pixel belongs to the cell that contains its centre, so that pixels of 3 m also make cells of 100 m.
    """

    def __init__(
        self, height: int, width: int, pixel_m: tuple[float, float], cell_m: float, products: Sequence[str]
    ) -> None:
        """height, width: of the reference; pixel_m: ground width and height of its pixels, see `large_enough`."""
        self._rows = _CellEdges(height, pixel_m[1], cell_m)
        self._cols = _CellEdges(width, pixel_m[0], cell_m)
        shape = self._rows.cells, self._cols.cells
        self._counted = np.zeros(shape)
        self._reference = np.zeros(shape)
        self._products = {name: np.zeros(shape) for name in products}
        self._block = np.full(shape, -1, np.int64)

    def add(self, chunk: Chunk, counted: NDArray[np.bool_]) -> None:
        """counted: [H, W], pixels observed in the reference and every product (or this one), on the wanted ground."""
        rows, row_starts = self._rows.of(chunk.row, counted.shape[0])
        cols, col_starts = self._cols.of(chunk.col, counted.shape[1])
        ends = [*row_starts[1:].tolist(), counted.shape[0]]
        for row, start, end in zip(range(rows.start, rows.stop), row_starts.tolist(), ends, strict=True):
            strip = np.s_[start:end]  # row by row, strips stay in the CPU cache
            used = counted[strip]
            cells = np.s_[row, cols]
            self._counted[cells] += _summed(used, col_starts)
            self._reference[cells] += _summed(used & (chunk.snow[strip] == 1), col_starts)
            for name, sums in self._products.items():
                sums[cells] += _summed(np.where(used, chunk.share[name][strip], np.float32(0)), col_starts)
            block = np.where(used, chunk.block[strip], -1).max(axis=0)
            self._block[cells] = np.maximum(self._block[cells], np.maximum.reduceat(block, col_starts))

    def fractions(self, product: str) -> Fractions:
        """Fractions of the cells with at least MIN_OBSERVED of their pixels counted, also at the reference's edge."""
        pixels = self._rows.pixels[:, None] * self._cols.pixels
        return _fractions(self._counted, pixels, self._reference, self._products[product], self._block)


class OwnCells:
    """The same for the cells of a product that is coarser than the reference, such as Landsat or MODIS fSCA."""

    def __init__(self, cells: int, pixels_per_cell: float) -> None:
        """cells: number of the product's cells within the reference; pixels_per_cell: reference pixels per cell."""
        self._pixels = np.full(cells, pixels_per_cell)
        self._counted, self._reference, self._product = np.zeros(cells), np.zeros(cells), np.zeros(cells)
        self._block = np.full(cells, -1, np.int64)

    def add(
        self,
        cell: NDArray[np.integer],
        chunk: Chunk,
        share: NDArray[np.floating],
        counted: NDArray[np.bool_],
    ) -> None:
        """cell: [H, W], number of the cell at each pixel's centre, -1 for none; share: [H, W], the product's."""
        counted = counted & (cell >= 0)
        cells = cell[counted].astype(np.int64)
        if not cells.size:
            return
        first, last = int(cells.min()), int(cells.max()) + 1
        part, within = np.s_[first:last], cells - first
        self._counted[part] += np.bincount(within)
        self._reference[part] += np.bincount(within, chunk.snow[counted] == 1)
        self._product[part] += np.bincount(within, share[counted])
        np.maximum.at(self._block, cells, chunk.block[counted].astype(np.int64))

    def fractions(self) -> Fractions:
        """Fractions of the cells with at least MIN_OBSERVED of their pixels counted."""
        return _fractions(self._counted, self._pixels, self._reference, self._product, self._block)


def large_enough(cell_m: float, pixel_m: tuple[float, float]) -> bool:
    """Whether cells of this side hold at least MIN_PIXELS pixels, and two along each side."""
    return cell_m**2 >= MIN_PIXELS * pixel_m[0] * pixel_m[1] * (1 - 1e-9) and cell_m >= 1.5 * max(pixel_m)


def block_sums(fractions: Fractions, blocks: int) -> Floats:
    """[blocks, SUMS], the input of the bootstrap."""
    error, reference = fractions.product - fractions.reference, fractions.reference
    terms = (np.ones_like(error), error, error**2, reference, reference**2)
    return np.stack([np.bincount(fractions.block, term, blocks) for term in terms], axis=-1)


def fraction_scores(sums: NDArray[np.number]) -> dict[str, Floats]:
    """fsca_bias (product minus reference), fsca_rmse and fsca_r2, each [...], of [..., SUMS]; NaN where undefined.

    R2 is the coefficient of determination about the 1:1 line, 1 - SSE / SST: a bias lowers it.
    """
    cells, error, squared, reference, reference_squared = np.moveaxis(np.asarray(sums, np.float64), -1, 0)
    mean = _ratio(reference, cells)
    spread = _ratio(reference_squared, cells) - mean**2
    squared_error = _ratio(squared, cells)
    unexplained = _ratio(squared_error, np.where(spread > ALIKE, spread, 0.0))
    return {"fsca_bias": _ratio(error, cells), "fsca_rmse": np.sqrt(squared_error), "fsca_r2": 1 - unexplained}


def histogram(fractions: Fractions) -> FractionHistogram:
    """Joint histogram of the reference's and the product's shares."""
    reference, product = (
        np.clip(shares * HISTOGRAM_BINS, 0, HISTOGRAM_BINS - 1).astype(np.int64)
        for shares in (fractions.reference, fractions.product)
    )
    counted = np.bincount(reference * HISTOGRAM_BINS + product, minlength=HISTOGRAM_BINS**2)
    return FractionHistogram(counted.reshape(HISTOGRAM_BINS, HISTOGRAM_BINS))


class _CellEdges:
    """How rows or columns of pixels are divided into cells."""

    def __init__(self, pixels: int, pixel_m: float, cell_m: float) -> None:
        # The first pixel whose centre lies in each cell; the last cell may extend beyond the edge.
        edges = np.arange(math.ceil(pixels * pixel_m / cell_m) + 2) * (cell_m / pixel_m)
        firsts = np.ceil(np.round(edges - 0.5, 6)).astype(np.int64)
        self.cells = int(np.searchsorted(firsts, pixels - 1, side="right"))
        self._firsts = firsts[: self.cells]
        self.pixels = np.diff(firsts)[: self.cells]
        """[cells], pixels along this side of each cell"""

    def of(self, first: int, length: int) -> tuple[slice, NDArray[np.int64]]:
        """The cells of `length` pixels from `first` on, and the index at which each cell starts among them."""
        low, high = np.searchsorted(self._firsts, [first, first + length - 1], side="right")
        return slice(low - 1, high), np.maximum(self._firsts[low - 1 : high] - first, 0)


def _summed(values: NDArray[np.generic], col_starts: NDArray[np.int64]) -> Floats:
    """Sums [cells] of a strip of pixels [rows, W]."""
    return np.asarray(np.add.reduceat(values.sum(axis=0, dtype=np.float64), col_starts))


def _fractions(
    counted: Floats, pixels: Floats | NDArray[np.int64], reference: Floats, product: Floats, block: NDArray[np.int64]
) -> Fractions:
    used = counted >= MIN_OBSERVED * pixels * (1 - 1e-9)
    used &= counted > 0
    return Fractions(reference[used] / counted[used], product[used] / counted[used], block[used])


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole != 0)
