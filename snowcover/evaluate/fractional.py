"""Fractional snow cover (fSCA): shares of snow in cells of ground, of a product and of the reference. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snowcover.evaluate.chunk import Chunk
from snowcover.evaluate.results import FractionHistogram

CELLS_M = (30.0, 100.0, 500.0)
MIN_OBSERVED = 0.8  # of a cell's pixels
HISTOGRAM_BINS = 50
SUMS = 5
"""Numbers that are kept of a block's cells: cells, summed error, squared error, reference share, its square."""


@dataclass(frozen=True)
class Fractions:
    """Cells that are observed well enough, [N]."""

    reference: NDArray[np.float64]
    """snow share, 0 to 1"""
    product: NDArray[np.float64]
    block: NDArray[np.int64]


class SquareCells:
    """Sums of snow in square cells over the whole reference; chunks may come in any order and cut cells anywhere."""

    def __init__(
        self, height: int, width: int, pixel_m: tuple[float, float], cell_m: float, products: Sequence[str]
    ) -> None:
        """height, width: of the reference; pixel_m: ground width and height of its pixels."""
        raise NotImplementedError

    def add(self, chunk: Chunk, counted: NDArray[np.bool_]) -> None:
        """counted: [H, W], pixels observed in the reference and every product (or this one), on the wanted ground."""
        raise NotImplementedError

    def fractions(self, product: str) -> Fractions:
        """Of the cells whose counted pixels are MIN_OBSERVED of all theirs; those cut by the reference's rim may be."""
        raise NotImplementedError


class OwnCells:
    """The same in the cells of a product that is coarser than the reference, such as Landsat's or MODIS's fSCA."""

    def __init__(self, cells: int, pixels_per_cell: float) -> None:
        """cells: of the product, that lie over the reference, numbered from 0; pixels_per_cell: of the reference."""
        raise NotImplementedError

    def add(
        self,
        cell: NDArray[np.integer],
        chunk: Chunk,
        share: NDArray[np.floating],
        counted: NDArray[np.bool_],
    ) -> None:
        """cell: [H, W], the product's cell below each pixel's centre, -1 for none; share: [H, W], the product's."""
        raise NotImplementedError

    def fractions(self) -> Fractions:
        raise NotImplementedError


def large_enough(cell_m: float, pixel_m: tuple[float, float]) -> bool:
    """Whether cells of this side hold at least four pixels: shares of fewer are no fractions."""
    raise NotImplementedError


def block_sums(fractions: Fractions, blocks: int) -> NDArray[np.float64]:
    """[blocks, SUMS], what the bootstrap draws from."""
    raise NotImplementedError


def fraction_scores(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """fsca_bias (product minus reference), fsca_rmse and fsca_r2, each [...], of [..., SUMS]; NaN where undefined.

    R2 is the coefficient of determination about the 1:1 line, 1 - SSE / SST: a bias lowers it.
    """
    raise NotImplementedError


def histogram(fractions: Fractions) -> FractionHistogram:
    """How often which share of the product met which of the reference."""
    raise NotImplementedError
