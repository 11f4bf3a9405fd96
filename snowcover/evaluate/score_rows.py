"""The pixel-based rows of evaluation.csv from counts: every score with its interval. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from snowcover.evaluate.bootstrap import BlockBootstrap, Estimate, Statistic
from snowcover.evaluate.counts import TRAINED, Counter
from snowcover.evaluate.probabilities import probability_scores
from snowcover.evaluate.results import Ground, Row
from snowcover.evaluate.scores import confusion_scores
from snowcover.evaluate.strata import Stratum, blank_small_bins

Sums = NDArray[np.number]


@dataclass(frozen=True)
class ScoreRows:
    """Makes the pixel-based rows, for maps and for saved runs alike."""

    counter: Counter
    probabilities: Mapping[str, Sums]
    """product -> sums [blocks, SUMS], for products with probabilities"""
    places: NDArray[np.integer]
    """[blocks, 2], row and column of each block"""
    ground: Ground
    """the scored ground"""
    draws: int
    seed: int
    _last: dict[bytes, BlockBootstrap] = field(default_factory=dict, init=False, repr=False)
    """the last bootstrap, by the filled blocks"""

    def rows(self) -> Iterator[Row]:
        """Scores of each product, differences of pairs, scores of probabilities, then scores by stratum."""
        yield from self._scores()
        yield from self._differences()
        yield from self._probabilities()
        yield from self._strata()

    @property
    def names(self) -> Sequence[str]:
        return self.counter.products

    @cached_property
    def main(self) -> Sums:
        """[blocks, products, 4], counts of the scored pixels at the first threshold."""
        return self.counter.main

    def estimate(self, sums: Sums, statistic: Statistic, versus: Sums | None = None) -> dict[str, Estimate]:
        """Estimates from sums [blocks, ..., K]; empty blocks are left out."""
        filled = (sums != 0).any(axis=tuple(range(1, sums.ndim)))
        if versus is not None:
            filled |= (versus != 0).any(axis=tuple(range(1, versus.ndim)))
        if not filled.any():
            filled[0] = True
        bootstrap = self._bootstrap_of(filled)
        if versus is None:
            return bootstrap.estimate(sums[filled], statistic)
        return bootstrap.difference(sums[filled], versus[filled], statistic)

    def _bootstrap_of(self, filled: NDArray[np.bool_]) -> BlockBootstrap:
        """The bootstrap of these blocks, cached: most sums fill the same blocks, and drawing 900 takes 0.1 s."""
        key = filled.tobytes()
        if key not in self._last:
            self._last.clear()
            self._last[key] = BlockBootstrap(self.places[filled], self.draws, self.seed)
        return self._last[key]

    def row(
        self, product: str, quantity: str, estimate: Estimate, place: tuple[int, ...] = (), **fields: object
    ) -> Row:
        """One number with its interval.

        Args:
            place: index of the number in the estimate's arrays.
            fields: other fields of the row, which override the defaults.
        """
        value, low, high = (_number(values[place]) for values in (estimate.value, estimate.low, estimate.high))
        thresholds = self.counter.thresholds_m
        others = {"ground": self.ground, "depth_threshold_m": thresholds[0] if thresholds else None, **fields}
        return Row(product, quantity, value, low, high, blocks=int(estimate.blocks[place]), **others)  # type: ignore[arg-type]

    def _scores(self) -> Iterator[Row]:
        counter = self.counter
        for place, threshold_m in enumerate(self.counter.thresholds_m or (None,)):
            counts = counter.of_ground(counter.common[:, place])
            yield from self._of_products(counts, depth_threshold_m=threshold_m)
        if self.ground == "unseen" and counter.common[:, 0, TRAINED].any():
            yield from self._of_products(counter.common[:, 0, TRAINED], ground="trained")
        if len(self.names) > 1:
            yield from self._of_products(counter.of_ground(counter.own), pixels_of="own")

    def _of_products(self, counts: Sums, **fields: object) -> Iterator[Row]:
        found = self.estimate(counts, confusion_scores)
        pixels = counts.sum(axis=(0, 2))
        for place, name in enumerate(self.names):
            for quantity, estimate in found.items():
                yield self.row(name, quantity, estimate, (place,), pixels=int(pixels[place]), **fields)

    def _differences(self) -> Iterator[Row]:
        pixels = self.counter.scored_px
        for first, second in combinations(range(len(self.names)), 2):
            found = self.estimate(self.main[:, first], confusion_scores, self.main[:, second])
            for quantity, estimate in found.items():
                yield self.row(self.names[first], quantity, estimate, versus=self.names[second], pixels=pixels)
        for (name, sums), (other, others) in combinations(self.probabilities.items(), 2):
            for quantity, estimate in self.estimate(sums, probability_scores, others).items():
                yield self.row(name, quantity, estimate, versus=other, pixels=pixels)

    def _probabilities(self) -> Iterator[Row]:
        pixels = self.counter.scored_px
        for name, sums in self.probabilities.items():
            for quantity, estimate in self.estimate(sums, probability_scores).items():
                yield self.row(name, quantity, estimate, pixels=pixels)

    def _strata(self) -> Iterator[Row]:
        for stratum in self.counter.strata:
            counts = self.counter.by_stratum[stratum.name]
            filled = np.flatnonzero(counts.any(axis=(1, 2, 3)))
            if filled.size:
                yield from self._of_stratum(stratum, np.moveaxis(counts[filled], 0, 1), filled)

    def _of_stratum(self, stratum: Stratum, counts: Sums, bins: NDArray[np.intp]) -> Iterator[Row]:
        """Args: counts: [blocks, bins, products, 4]."""
        found = self.estimate(counts, confusion_scores)
        pixels = counts.sum(axis=(0, 3))  # [bins, products]
        for quantity, estimate in found.items():
            if stratum.scores is not None and quantity not in stratum.scores:
                continue
            shown = blank_small_bins(estimate, pixels)
            for place, number in enumerate(bins):
                for product, name in enumerate(self.names):
                    yield self.row(
                        name, quantity, shown, (place, product), pixels=int(pixels[place, product]),
                        **bin_of(stratum, int(number)),
                    )  # fmt: skip


def bin_of(stratum: Stratum, number: int) -> dict[str, object]:
    """The fields of a row for a stratum's bin; infinite edges are None."""
    low, high = stratum.edges[number], stratum.edges[number + 1]
    return {
        "stratum": stratum.name, "bin": stratum.labels[number],
        "bin_low": low if np.isfinite(low) else None, "bin_high": high if np.isfinite(high) else None,
    }  # fmt: skip


def _number(value: NDArray[np.float64]) -> float | None:
    return float(value) if np.isfinite(value) else None
