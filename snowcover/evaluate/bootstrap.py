"""How sure a score is: whole blocks of ground are drawn again, since the errors of neighbouring pixels are alike. Pure.

Usage: counts are kept as one array [blocks, ...] a product; a statistic turns [..., K] into {quantity: [...]}:

    bootstrap = BlockBootstrap(blocks, draws=2000, seed=42)
    of_bins = bootstrap.estimate(counts, confusion_scores)              # counts [blocks, bins, 4] -> estimates [bins]
    change = bootstrap.difference(counts_b, counts_a, confusion_scores)  # b minus a, in the same draws
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_BLOCKS = 20
Sums = NDArray[np.number]
Statistic = Callable[[Sums], Mapping[str, NDArray[np.float64]]]
"""Sums [..., K] -> quantity -> [...], NaN where undefined; K may be several dimensions."""


@dataclass(frozen=True)
class Estimate:
    """A quantity with the ends of its 95 % interval; all [...], NaN where undefined or not to be told."""

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    blocks: NDArray[np.int64]
    """that hold something of it"""


class BlockBootstrap:
    """Draws of blocks, the same for everything asked of it, so that products are told apart on the same ground."""

    def __init__(self, blocks: int, draws: int = 2000, seed: int = 42) -> None:
        raise NotImplementedError

    def estimate(self, sums: Sums, statistic: Statistic) -> dict[str, Estimate]:
        """Of sums [blocks, ..., K]; no interval where under MIN_BLOCKS blocks hold anything."""
        raise NotImplementedError

    def difference(self, sums: Sums, versus: Sums, statistic: Statistic) -> dict[str, Estimate]:
        """Of `sums` minus that of `versus`, both [blocks, ..., K], drawn alike."""
        raise NotImplementedError


def too_few_blocks(blocks: int, block_m: float) -> str | None:
    """The note that a reader needs where there are no intervals, None where there are enough blocks for them."""
    raise NotImplementedError
