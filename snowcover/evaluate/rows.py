"""The rows of evaluation.csv from sums: every quantity of maps with its interval."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from snowcover.evaluate.area import error_adjusted_km2, pixel_areas_km2
from snowcover.evaluate.bootstrap import Estimate
from snowcover.evaluate.findings import Findings
from snowcover.evaluate.fractional import Fractions, block_sums, fraction_scores
from snowcover.evaluate.map_areas import MapArea
from snowcover.evaluate.results import Row
from snowcover.evaluate.score_rows import ScoreRows, Sums, bin_of
from snowcover.evaluate.strata import ASPECT, blank_small_bins
from snowcover.evaluate.words import REFERENCE


@dataclass(frozen=True)
class RowMaker:
    """Makes the rows for maps against a reference."""

    scores: ScoreRows
    findings: Findings
    areas: Mapping[str, MapArea]
    """of whole maps, by product"""

    def rows(self) -> Iterator[Row]:
        """Every number of the evaluation, in the order of evaluation.csv."""
        yield from self.scores.rows()
        yield from self._fractions()
        yield from self._snow_lines()
        yield from self._areas()

    def _fractions(self) -> Iterator[Row]:
        for name, cell_m, fractions in fractions_of(self.findings):
            sums = block_sums(fractions, self.findings.site.blocks.count)
            for quantity, estimate in self.scores.estimate(sums, fraction_scores).items():
                yield self.scores.row(name, quantity, estimate, cell_m=cell_m, pixels=len(fractions.reference))

    def _snow_lines(self) -> Iterator[Row]:
        """The snow line of the reference and of each product, and each product's difference from the reference."""
        if (lines := self.findings.snow_lines) is None:
            return
        reference = lines.sums[REFERENCE]
        for name, sums in lines.sums.items():
            yield from self._by_aspect(name, sums, self.scores.estimate(sums, lines.statistic))
            if name != REFERENCE:
                higher = self.scores.estimate(sums, lines.statistic, reference)
                yield from self._by_aspect(name, sums, higher, versus=REFERENCE)

    def _by_aspect(self, name: str, sums: Sums, found: Mapping[str, Estimate], **fields: object) -> Iterator[Row]:
        """Args: sums: [blocks, ASPECTS, bands, 2]."""
        pixels = sums.sum(axis=(0, 2, 3)).round().astype(np.int64)
        for quantity, estimate in found.items():
            shown = blank_small_bins(estimate, pixels)
            yield self.scores.row(name, quantity, shown, (0,), pixels=int(pixels[0]), **fields)
            for number in range(len(ASPECT.labels)):
                place = number + 1
                of_bin = {"pixels": int(pixels[place]), **bin_of(ASPECT, number), **fields}
                yield self.scores.row(name, quantity, shown, (place,), **of_bin)

    def _areas(self) -> Iterator[Row]:
        km2 = self._block_km2_per_pixel()
        for place, name in enumerate(self.scores.names):
            counts = self.scores.main[:, place]
            tp, fp, fn, _ = (float(total) for total in km2 @ counts)
            area = _without_interval(tp + fp, counts)
            mapped = self.scores.row(name, "area_mapped_km2", area, pixels=int(counts.sum()))
            yield mapped
            yield replace(mapped, quantity="area_reference_km2", value=tp + fn)
            if (whole := self.areas.get(name)) is not None:
                of_map = replace(mapped, pixels_of="own", pixels=None)
                yield replace(of_map, value=whole.snow_km2)
                adjusted = self.scores.estimate(counts, error_adjusted_km2(whole.snow_km2, whole.bare_km2))
                yield self.scores.row(name, "area_adjusted_km2", adjusted["area_adjusted_km2"], pixels_of="own",
                                pixels=int(counts.sum()))  # fmt: skip

    def _block_km2_per_pixel(self) -> NDArray[np.float64]:
        """[blocks], area of a pixel in each block's middle."""
        blocks, grid = self.findings.site.blocks, self.findings.site.grid
        down, across = blocks.size_px
        areas = pixel_areas_km2(grid.crs, grid.transform * Affine.scale(across, down), *blocks.shape)
        return areas.ravel() / (down * across)


def fractions_of(findings: Findings) -> Iterator[tuple[str, float, Fractions]]:
    """Product, side of its cells in metres, and its fractions; a coarse product of fractions keeps its own cells."""
    for name in findings.counter.products:
        if (own := findings.own_cells.get(name)) is not None:
            yield name, own.cell_m(findings.site.pixel_m), own.cells.fractions()
            continue
        for cell_m, cells in findings.cells.items():
            yield name, cell_m, cells.fractions(name)


def _without_interval(value: float, counts: Sums) -> Estimate:
    """An area of all pixels, without an interval."""
    nothing = np.array(np.nan)
    return Estimate(np.array(value), nothing, nothing, np.count_nonzero(counts.any(axis=1)))  # type: ignore[arg-type]
