"""The result of an evaluation, from which the report, the table and the MLflow record are written. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snowcover.scoring.calibration import Reliability

Ground = Literal["all", "unseen", "trained"]
"""scored pixels: all, those on ground that no product's network was trained on, or the others"""
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
    """None if undefined, or counted on too few pixels"""
    low: float | None = None
    high: float | None = None
    """ends of the 95 % interval; None without an interval"""
    versus: str | None = None
    """if given, the value is that of `product` minus that of `versus`, on the same pixels"""
    ground: Ground = "all"
    pixels_of: Pixels = "common"
    depth_threshold_m: float | None = None
    stratum: str | None = None
    """canopy_height, canopy_edge, elevation, slope, aspect, illumination, snow_depth, snow_edge, scene, date_gap"""
    bin: str | None = None
    """label: 2-5 m, north-east"""
    bin_low: float | None = None
    bin_high: float | None = None
    cell_m: float | None = None
    """side of the cells for fractions"""
    pixels: int | None = None
    """number of pixels, or cells, behind the value"""
    blocks: int | None = None
    """number of blocks behind the interval"""


@dataclass(frozen=True)
class FractionHistogram:
    """Joint histogram of snow shares: [bins, bins] cells, the reference along the first axis."""

    cells: NDArray[np.int64]


@dataclass(frozen=True)
class Overview:
    """The evaluated ground, downsampled to at most about 1,200 pixels a side, in the reference's orientation."""

    reference: NDArray[np.float32]
    """[H, W] snow share 0 to 1; NaN unobserved"""
    products: Mapping[str, NDArray[np.float32]]
    """product -> the same"""
    pixel_m: float
    """ground width of one pixel here"""
    counted: NDArray[np.bool_]
    """[H, W], True where pixels were scored"""


@dataclass(frozen=True)
class Evaluation:
    """The whole result."""

    products: tuple[str, ...]
    rows: tuple[Row, ...]
    facts: Mapping[str, str]
    """what readers need to know, in the order of the report: reference, its date and size, depth threshold, ..."""
    notes: tuple[str, ...]
    """caveats, each a sentence: another date, a stratum raster that covers half, too few blocks for intervals"""
    overview: Overview | None = None
    reliability: Mapping[str, Reliability] = field(default_factory=dict)
    fractions: Mapping[tuple[str, float], FractionHistogram] = field(default_factory=dict)
    """(product, side of the cells in metres) -> histogram"""

    def value(self, product: str, quantity: str, **where: Any) -> float | None:
        """The value of the first row with these fields, None without one."""
        wanted = {"product": product, "quantity": quantity, "versus": None, "stratum": None, **where}
        for row in self.rows:
            if all(getattr(row, name) == value for name, value in wanted.items()):
                return row.value
        return None
