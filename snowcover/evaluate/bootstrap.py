"""Confidence intervals by a block bootstrap, because the errors of neighbouring pixels are correlated. Pure.

Usage: counts are one array [blocks, ...] per product; a statistic turns [..., K] into {quantity: [...]}:

    bootstrap = BlockBootstrap(places, draws=2000, seed=42)
    of_bins = bootstrap.estimate(counts, confusion_scores)              # counts [blocks, bins, 4] -> estimates [bins]
    change = bootstrap.difference(counts_b, counts_a, confusion_scores)  # b minus a, in the same draws

Intervals are percentiles of the draws, widened in two cases in which they would be too narrow: few blocks, as
Student's t is wider than the normal distribution (Hesterberg 2015, The American Statistician 69), and errors that are
correlated across block borders, by the covariance of neighbours (Conley 1999, J. Econometrics 92).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

MIN_BLOCKS = 20
CONFIDENCE = 0.95
MAX_UNDEFINED = 0.05  # share of draws; a quantity that is undefined in more draws has no interval
AT_ONCE = 250  # draws per batch, bounds the memory for statistics of many bins
Sums = NDArray[np.number]
Floats = NDArray[np.float64]
Statistic = Callable[[Sums], Mapping[str, Floats]]
"""Sums [..., K] -> quantity -> [...], NaN where undefined; K may be several dimensions."""


@dataclass(frozen=True)
class Estimate:
    """A quantity with its 95 % interval; all [...], NaN where undefined or suppressed."""

    value: Floats
    low: Floats
    high: Floats
    blocks: NDArray[np.int64]
    """number of blocks with data"""


class BlockBootstrap:
    """Draws of blocks, the same for all quantities, so that products are compared on the same ground."""

    def __init__(self, places: NDArray[np.integer], draws: int = 2000, seed: int = 42) -> None:
        """places: [blocks, 2], row and column of each block; at least one block."""
        blocks = len(places)
        equal = np.full(blocks, 1 / blocks)
        self._weights = np.random.default_rng(seed).multinomial(blocks, equal, size=draws).astype(np.int16)
        """[draws, blocks], how often each block was drawn"""
        self._neighbours = _neighbours(places)

    def estimate(self, sums: Sums, statistic: Statistic) -> dict[str, Estimate]:
        """Estimates from sums [blocks, ..., K]; no interval with fewer than MIN_BLOCKS blocks with data."""
        return self._estimates((sums,), statistic)

    def difference(self, sums: Sums, versus: Sums, statistic: Statistic) -> dict[str, Estimate]:
        """Estimates of the statistic of `sums` minus that of `versus`, both [blocks, ..., K], with the same draws."""

        def differ(first: Sums, second: Sums) -> dict[str, Floats]:
            others = statistic(second)
            return {name: value - others[name] for name, value in statistic(first).items()}

        return self._estimates((sums, versus), differ)

    def _estimates(
        self, products: tuple[Sums, ...], statistic: Callable[..., Mapping[str, Floats]]
    ) -> dict[str, Estimate]:
        totals = [sums.sum(axis=0, dtype=np.float64) for sums in products]
        values = statistic(*totals)
        drawn = _joined(statistic(*totals) for totals in self._drawn_totals(products))
        without = _joined(statistic(*rest) for rest in _totals_without_each_block(products, totals))
        found = {}
        for name, value in values.items():
            filled = np.any([_filled(sums, np.ndim(value)) for sums in products], axis=0)
            widening = _widening(without[name] - value, filled, self._neighbours)
            low, high = _interval(drawn[name], filled.sum(axis=0), widening)
            known = np.isfinite(value)
            low, high = np.where(known, low, np.nan), np.where(known, high, np.nan)
            found[name] = Estimate(np.asarray(value), low, high, filled.sum(axis=0))
        return found

    def _drawn_totals(self, products: tuple[Sums, ...]) -> Iterator[list[Floats]]:
        """Totals [some draws, ..., K] of each product."""
        flat = [sums.reshape(len(sums), -1).astype(np.float64, copy=False) for sums in products]
        for first in range(0, len(self._weights), AT_ONCE):
            weights = self._weights[first : first + AT_ONCE].astype(np.float64)
            yield [(weights @ rows).reshape(-1, *sums.shape[1:]) for rows, sums in zip(flat, products, strict=True)]


def too_few_blocks(blocks: int, block_m: float) -> str | None:
    """The note for readers why there are no intervals; None if there are enough blocks."""
    if blocks >= MIN_BLOCKS:
        return None
    covered = f"{blocks} block{'s' if blocks != 1 else ''} of {block_m:g} m"
    return (
        f"No interval is given: the evaluated ground covers {covered}, and an interval needs at least {MIN_BLOCKS}. "
        "Evaluate more ground, or lower block_m if errors farther apart than that are independent."
    )


def _totals_without_each_block(products: tuple[Sums, ...], totals: list[Floats]) -> Iterator[list[Floats]]:
    for first in range(0, len(products[0]), AT_ONCE):
        yield [
            total - sums[first : first + AT_ONCE].astype(np.float64)
            for sums, total in zip(products, totals, strict=True)
        ]


def _joined(parts: Iterable[Mapping[str, Floats]]) -> dict[str, Floats]:
    listed = list(parts)
    return {name: np.concatenate([part[name] for part in listed]) for name in (listed[0] if listed else ())}


def _filled(sums: Sums, dimensions: int) -> NDArray[np.bool_]:
    """[blocks, ...], whether a block has data for a quantity with so many dimensions."""
    return (sums != 0).any(axis=tuple(range(1 + dimensions, sums.ndim)))


def _neighbours(places: NDArray[np.integer]) -> NDArray[np.int64]:
    """Pairs [2, pairs] of blocks that share a side."""
    numbers = {(int(row), int(col)): number for number, (row, col) in enumerate(places)}
    pairs = [
        (number, numbers[other])
        for (row, col), number in numbers.items()
        for other in ((row + 1, col), (row, col + 1))
        if other in numbers
    ]
    return np.array(pairs, np.int64).reshape(-1, 2).T


def _widening(influence: Floats, filled: NDArray[np.bool_], neighbours: NDArray[np.int64]) -> Floats:
    """Factor [...], at least 1, by which intervals are wider than those of independent blocks.

    influence: [blocks, ...], change of the quantity when each block is left out; filled: [blocks, ...].
    """
    blocks = np.maximum(filled.sum(axis=0), 2)
    moved = np.where(filled & np.isfinite(influence), influence, 0.0)
    moved = np.where(filled, moved - moved.sum(axis=0) / blocks, 0.0)
    first, second = neighbours
    own = (moved**2).sum(axis=0)
    shared = np.divide(2 * (moved[first] * moved[second]).sum(axis=0), own, out=np.zeros_like(own), where=own > 0)
    pairs = (filled[first] & filled[second]).sum(axis=0)
    by_chance = -2 * pairs / (blocks * (blocks - 1))  # because all influences sum to 0
    return np.sqrt(1 + np.maximum(shared - by_chance, 0))


def _interval(drawn: Floats, blocks: NDArray[np.int64], widening: Floats) -> tuple[Floats, Floats]:
    """Both ends [...] from draws [draws, ...]; NaN with too few blocks or too many undefined draws."""
    defined = np.isfinite(drawn).sum(axis=0)
    usable = (blocks >= MIN_BLOCKS) & (defined >= (1 - MAX_UNDEFINED) * len(drawn))
    tail = _tail(blocks, widening)
    ordered = np.sort(np.where(np.isfinite(drawn), drawn, np.nan), axis=0)  # NaN last
    ends = (_percentile(ordered, defined, share) for share in (tail, 1 - tail))
    low, high = (np.where(usable, end, np.nan) for end in ends)
    return low, high


def _tail(blocks: NDArray[np.int64], widening: Floats) -> Floats:
    """The share of draws to cut off at each end: (1 - CONFIDENCE) / 2 for many independent blocks, else less."""
    known = np.maximum(blocks, 2)
    student = special.stdtrit(known - 1, (1 - CONFIDENCE) / 2)
    return np.asarray(special.ndtr(student * np.sqrt(known / (known - 1)) * widening))


def _percentile(ordered: Floats, defined: NDArray[np.int64], share: Floats) -> Floats:
    """Percentile of the defined draws, sorted along the first axis, by linear interpolation."""
    place = share * np.maximum(defined - 1, 0)
    before = np.floor(place).astype(np.int64)
    after = np.minimum(before + 1, np.maximum(defined - 1, 0))
    lower, upper = (np.take_along_axis(ordered, at[None], axis=0)[0] for at in (before, after))
    return lower + (upper - lower) * (place - before)
