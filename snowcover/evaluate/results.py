"""What an evaluation found: the one thing that the report, the table and MLflow are written from. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snowcover.scoring.calibration import Reliability

Ground = Literal["all", "unseen", "trained"]
"""pixels counted: all, those of blocks that no product's network was trained on, or the others"""
Pixels = Literal["common", "own"]
"""observed in the reference and in every product, or in the reference and in this product"""


@dataclass(frozen=True)
class Row:
    """One number with its interval: one line of evaluation.csv."""

    product: str
    quantity: str
    """iou, f1, ..., average_precision, brier, ece; fsca_bias, fsca_rmse, fsca_r2; snow_line_m; area_mapped_km2,
    area_reference_km2, area_adjusted_km2"""
    value: float | None
    """None where it is undefined, or counted on too few pixels"""
    low: float | None = None
    high: float | None = None
    """ends of the 95 % interval; None where there is none"""
    versus: str | None = None
    """the value is of `product` minus that of `versus`, on the same pixels"""
    ground: Ground = "all"
    pixels_of: Pixels = "common"
    depth_threshold_m: float | None = None
    stratum: str | None = None
    """canopy_height, canopy_edge, elevation, slope, aspect, illumination, snow_depth, snow_edge, scene, date_gap"""
    bin: str | None = None
    """as a reader sees it: 2-5 m, north-east"""
    bin_low: float | None = None
    bin_high: float | None = None
    cell_m: float | None = None
    """side of the cells of a fraction"""
    pixels: int | None = None
    """pixels, or cells, that it was counted on"""
    blocks: int | None = None
    """blocks that were drawn for the interval"""


@dataclass(frozen=True)
class FractionHistogram:
    """How often a product's snow share met which of the reference: [bins, bins] cells, reference along the first."""

    cells: NDArray[np.int64]


@dataclass(frozen=True)
class Overview:
    """The evaluated ground, averaged down to at most some 1,200 pixels a side, north up as the reference has it."""

    reference: NDArray[np.float32]
    """[H, W] snow share 0 to 1; NaN unobserved"""
    products: Mapping[str, NDArray[np.float32]]
    """[H, W] each, the same"""
    pixel_m: float
    """ground width of one pixel here"""
    counted: NDArray[np.bool_]
    """[H, W] where pixels were scored"""


@dataclass(frozen=True)
class Evaluation:
    """All that was found."""

    products: tuple[str, ...]
    rows: tuple[Row, ...]
    facts: Mapping[str, str]
    """what a reader must know to trust it, in order of telling: reference, its date and size, depth threshold, ..."""
    notes: tuple[str, ...]
    """warnings, each a sentence: another date, a stratum raster that covers half, too few blocks for intervals"""
    overview: Overview | None = None
    reliability: Mapping[str, Reliability] = field(default_factory=dict)
    fractions: Mapping[tuple[str, float], FractionHistogram] = field(default_factory=dict)
    """(product, side of the cells in metres) -> histogram"""

    def value(self, product: str, quantity: str, **where: Any) -> float | None:
        """The value of the first row of these fields, None where there is none."""
        wanted = {"product": product, "quantity": quantity, "versus": None, "stratum": None, **where}
        for row in self.rows:
            if all(getattr(row, name) == value for name, value in wanted.items()):
                return row.value
        return None
