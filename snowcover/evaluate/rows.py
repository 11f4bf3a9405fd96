"""From sums to the rows of evaluation.csv: every quantity with its interval."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from snowcover.evaluate.area import error_adjusted_km2, pixel_areas_km2
from snowcover.evaluate.bootstrap import BlockBootstrap, Estimate, Statistic
from snowcover.evaluate.counts import TRAINED, UNSEEN
from snowcover.evaluate.findings import Findings
from snowcover.evaluate.fractional import Fractions, block_sums, fraction_scores
from snowcover.evaluate.map_areas import MapArea
from snowcover.evaluate.probabilities import probability_scores
from snowcover.evaluate.results import Ground, Row
from snowcover.evaluate.scores import confusion_scores
from snowcover.evaluate.strata import ASPECT, Stratum, blank_small_bins
from snowcover.evaluate.words import REFERENCE

Sums = NDArray[np.number]


@dataclass(frozen=True)
class RowMaker:
    """Makes the rows of one evaluation."""

    findings: Findings
    ground: Ground
    """that all is scored on"""
    draws: int
    seed: int
    areas: Mapping[str, MapArea]
    """of whole maps, by product"""

    def rows(self) -> Iterator[Row]:
        yield from self._scores()
        yield from self._differences()
        yield from self._probabilities()
        yield from self._strata()
        yield from self._fractions()
        yield from self._snow_lines()
        yield from self._areas()

    @property
    def _names(self) -> Sequence[str]:
        return self.findings.counter.products

    @cached_property
    def main(self) -> Sums:
        """[blocks, products, 4], of the pixels that all is scored on, at the first threshold."""
        return self._of_ground(self.findings.counter.common[:, 0])

    def _of_ground(self, counts: Sums) -> Sums:
        """[blocks, ...] of [blocks, unseen or trained, ...]."""
        return counts[:, UNSEEN] if self.ground == "unseen" else counts.sum(axis=1)

    def estimate(self, sums: Sums, statistic: Statistic, versus: Sums | None = None) -> dict[str, Estimate]:
        """Of sums [blocks, ..., K]; blocks that hold nothing are none."""
        filled = (sums != 0).any(axis=tuple(range(1, sums.ndim)))
        if versus is not None:
            filled |= (versus != 0).any(axis=tuple(range(1, versus.ndim)))
        if not filled.any():
            filled[0] = True
        bootstrap = BlockBootstrap(self.findings.site.blocks.places[filled], self.draws, self.seed)
        if versus is None:
            return bootstrap.estimate(sums[filled], statistic)
        return bootstrap.difference(sums[filled], versus[filled], statistic)

    def _row(self, product: str, quantity: str, estimate: Estimate, place: tuple[int, ...] = (), **said: object) -> Row:
        value, low, high = (_number(one[place]) for one in (estimate.value, estimate.low, estimate.high))
        thresholds = self.findings.site.thresholds_m
        told = {"ground": self.ground, "depth_threshold_m": thresholds[0] if thresholds else None, **said}
        return Row(product, quantity, value, low, high, blocks=int(estimate.blocks[place]), **told)  # type: ignore[arg-type]

    def _scores(self) -> Iterator[Row]:
        counter = self.findings.counter
        for place, threshold_m in enumerate(self.findings.site.thresholds_m or (None,)):
            counts = self._of_ground(counter.common[:, place])
            yield from self._of_products(counts, depth_threshold_m=threshold_m)
        if self.ground == "unseen" and counter.common[:, 0, TRAINED].any():
            yield from self._of_products(counter.common[:, 0, TRAINED], ground="trained")
        if len(self._names) > 1:
            yield from self._of_products(self._of_ground(counter.own), pixels_of="own")

    def _of_products(self, counts: Sums, **said: object) -> Iterator[Row]:
        found = self.estimate(counts, confusion_scores)
        pixels = counts.sum(axis=(0, 2))
        for place, name in enumerate(self._names):
            for quantity, estimate in found.items():
                yield self._row(name, quantity, estimate, (place,), pixels=int(pixels[place]), **said)

    def _differences(self) -> Iterator[Row]:
        pixels = int(self.main[:, 0].sum())
        for first, second in combinations(range(len(self._names)), 2):
            found = self.estimate(self.main[:, first], confusion_scores, self.main[:, second])
            for quantity, estimate in found.items():
                yield self._row(self._names[first], quantity, estimate, versus=self._names[second], pixels=pixels)
        for (name, sums), (other, others) in combinations(self.findings.probabilities.items(), 2):
            for quantity, estimate in self.estimate(sums, probability_scores, others).items():
                yield self._row(name, quantity, estimate, versus=other, pixels=pixels)

    def _probabilities(self) -> Iterator[Row]:
        pixels = int(self.main[:, 0].sum())
        for name, sums in self.findings.probabilities.items():
            for quantity, estimate in self.estimate(sums, probability_scores).items():
                yield self._row(name, quantity, estimate, pixels=pixels)

    def _strata(self) -> Iterator[Row]:
        for stratum in self.findings.counter.strata:
            counts = self.findings.counter.by_stratum[stratum.name]
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
                for product, name in enumerate(self._names):
                    yield self._row(
                        name, quantity, shown, (place, product), pixels=int(pixels[place, product]),
                        **_bin(stratum, int(number)),
                    )  # fmt: skip

    def _fractions(self) -> Iterator[Row]:
        for name, cell_m, fractions in fractions_of(self.findings):
            sums = block_sums(fractions, self.findings.site.blocks.count)
            for quantity, estimate in self.estimate(sums, fraction_scores).items():
                yield self._row(name, quantity, estimate, cell_m=cell_m, pixels=len(fractions.reference))

    def _snow_lines(self) -> Iterator[Row]:
        """Of the reference and of each product, and by how much each product's lies higher than the reference's."""
        if (lines := self.findings.snow_lines) is None:
            return
        reference = lines.sums[REFERENCE]
        for name, sums in lines.sums.items():
            yield from self._by_aspect(name, sums, self.estimate(sums, lines.statistic))
            if name != REFERENCE:
                higher = self.estimate(sums, lines.statistic, reference)
                yield from self._by_aspect(name, sums, higher, versus=REFERENCE)

    def _by_aspect(self, name: str, sums: Sums, found: Mapping[str, Estimate], **said: object) -> Iterator[Row]:
        """Args: sums: [blocks, ASPECTS, bands, 2]."""
        pixels = sums.sum(axis=(0, 2, 3)).round().astype(np.int64)
        for quantity, estimate in found.items():
            shown = blank_small_bins(estimate, pixels)
            yield self._row(name, quantity, shown, (0,), pixels=int(pixels[0]), **said)
            for number in range(len(ASPECT.labels)):
                place = number + 1
                told = {"pixels": int(pixels[place]), **_bin(ASPECT, number), **said}
                yield self._row(name, quantity, shown, (place,), **told)

    def _areas(self) -> Iterator[Row]:
        km2 = self._block_km2_per_pixel()
        for place, name in enumerate(self._names):
            counts = self.main[:, place]
            tp, fp, fn, _ = (float(one) for one in km2 @ counts)
            said = self._row(name, "area_mapped_km2", _certain(tp + fp, counts), pixels=int(counts.sum()))
            yield said
            yield replace(said, quantity="area_reference_km2", value=tp + fn)
            if (whole := self.areas.get(name)) is not None:
                of_map = replace(said, pixels_of="own", pixels=None)
                yield replace(of_map, value=whole.snow_km2)
                adjusted = self.estimate(counts, error_adjusted_km2(whole.snow_km2, whole.bare_km2))
                yield self._row(name, "area_adjusted_km2", adjusted["area_adjusted_km2"], pixels_of="own",
                                pixels=int(counts.sum()))  # fmt: skip

    def _block_km2_per_pixel(self) -> NDArray[np.float64]:
        """[blocks], ground of a pixel in each block's middle."""
        blocks, grid = self.findings.site.blocks, self.findings.site.grid
        down, across = blocks.size_px
        areas = pixel_areas_km2(grid.crs, grid.transform * Affine.scale(across, down), *blocks.shape)
        return areas.ravel() / (down * across)


def fractions_of(findings: Findings) -> Iterator[tuple[str, float, Fractions]]:
    """Product, side of its cells in metres, and its fractions; of a coarse product of fractions at its own cells."""
    for name in findings.counter.products:
        if (own := findings.own_cells.get(name)) is not None:
            yield name, own.cell_m(findings.site.pixel_m), own.cells.fractions()
            continue
        for cell_m, cells in findings.cells.items():
            yield name, cell_m, cells.fractions(name)


def _bin(stratum: Stratum, number: int) -> dict[str, object]:
    low, high = stratum.edges[number], stratum.edges[number + 1]
    return {
        "stratum": stratum.name, "bin": stratum.labels[number],
        "bin_low": low if np.isfinite(low) else None, "bin_high": high if np.isfinite(high) else None,
    }  # fmt: skip


def _certain(value: float, counts: Sums) -> Estimate:
    """Of all pixels, hence without an interval."""
    nothing = np.array(np.nan)
    return Estimate(np.array(value), nothing, nothing, np.count_nonzero(counts.any(axis=1)))  # type: ignore[arg-type]


def _number(value: NDArray[np.float64]) -> float | None:
    return float(value) if np.isfinite(value) else None
