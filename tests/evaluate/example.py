"""An evaluation written down by hand: three products over one lidar flight, with every kind of row."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from snowcover.evaluate.results import Evaluation, FractionHistogram, Overview, Reliability, Row

PRODUCTS = ("network", "forest", "brightness")
IOU = {"network": 0.842, "forest": 0.771, "brightness": 0.634}
SCORES = {
    "iou": 0.0, "f1": 0.07, "precision": 0.05, "recall": 0.09, "balanced_accuracy": 0.04, "kappa": -0.09, "mcc": -0.08,
}  # fmt: skip
STRATA = {
    "canopy_height": ("0-0.5 m", "0.5-2 m", "2-5 m", "5-10 m", "10-20 m", "20 m or more"),
    "elevation": tuple(f"{low:,}-{low + 100:,} m" for low in range(2400, 3600, 100)),
    "aspect": ("north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west"),
    "snow_edge": ("0-3 m", "3-6 m", "6-15 m", "15 m or more"),
    "scene": ("20180528_181110_1025", "20180528_181112_1025"),
}
DEPTHS = ((0.0, 0.1), (0.1, 0.2), (0.2, 0.5), (0.5, 1.0), (1.0, None))


def example() -> Evaluation:
    return Evaluation(
        products=PRODUCTS,
        rows=tuple(_rows()),
        facts={
            "Reference": "ASO_3M_SD_USCATE_20180528.tif, lidar snow depth",
            "Grid": "3 m, EPSG:32611, 4,000 x 3,000 pixels",
            "Snow": "depth of at least 0.1 m",
            "Acquired": "2018-05-28 18:11 UTC",
            "Products": "network (maps/*_probability.tif), forest (maps_rf/*_probability.tif), brightness",
            "Compared on": "8.41 million pixels observed in the reference and in every product",
            "Intervals": "95 %, block bootstrap: 62 blocks of 1,000 m, 2,000 draws, seed 42",
        },
        notes=(
            "forest is of 2018-05-21, 7 days before the reference: snow may have melted in between.",
            "elevation covers 83 % of the evaluated ground; the rest is in no bin of elevation, slope and aspect.",
        ),
        overview=overview(),
        reliability={name: _reliability(bend) for name, bend in (("network", 1.25), ("forest", 0.7))},
        fractions={(name, cell): _fractions(name) for name in PRODUCTS for cell in (30.0, 100.0, 500.0)},
    )


def overview(height: int = 300, width: int = 400) -> Overview:
    rng = np.random.default_rng(5)
    field = gaussian_filter(rng.standard_normal((height, width)), 9, mode="wrap")
    field = field / field.std() + np.linspace(1.2, -1.2, height)[:, None]
    rows, columns = np.mgrid[:height, :width]
    observed = (columns + 0.2 * rows > 30) & (columns + 0.2 * rows < width - 8)
    reference = np.where(observed, np.clip(field * 3 + 0.5, 0, 1), np.nan).astype(np.float32)
    products = {}
    for name, noise in (("network", 0.15), ("forest", 0.3), ("brightness", 0.6)):
        other = field + noise * gaussian_filter(rng.standard_normal((height, width)), 3) * 6
        seen = columns < width - 40 if name == "network" else columns > -1
        products[name] = np.where(seen, np.clip(other * 3 + 0.5, 0, 1), np.nan).astype(np.float32)
    counted = observed & (columns < width - 40) & (rows > 40)
    return Overview(reference, products, 30.0, counted)


def _rows() -> Iterator[Row]:
    for ground, pixels, plus in (("unseen", 8_412_337, 0.0), ("all", 11_020_114, 0.02)):
        for name in PRODUCTS:
            for quantity, offset in SCORES.items():
                value = IOU[name] + offset + plus
                yield Row(name, quantity, value, value - 0.021, value + 0.017, ground=ground, depth_threshold_m=0.1,
                          pixels=pixels, blocks=62)  # fmt: skip
    yield from _of_probability()
    yield from _differences()
    for name in PRODUCTS:
        for quantity in SCORES:
            yield Row(name, quantity, IOU[name] - 0.004, ground="unseen", pixels_of="own", depth_threshold_m=0.1,
                      pixels=9_000_000, blocks=70)  # fmt: skip
    for threshold in (0.05, 0.2, 0.3):
        for name in PRODUCTS:
            value = IOU[name] - 0.3 * abs(threshold - 0.1)
            yield Row(name, "iou", value, value - 0.02, value + 0.02, ground="unseen", depth_threshold_m=threshold,
                      pixels=8_412_337, blocks=62)  # fmt: skip
    yield from _of_strata()
    yield from _of_snow_lines()
    yield from _of_areas()


def _of_probability() -> Iterator[Row]:
    for name, values in (("network", (0.951, 0.061, 0.024)), ("forest", (0.898, 0.102, 0.071))):
        for quantity, value in zip(("average_precision", "brier", "ece"), values, strict=True):
            yield Row(name, quantity, value, value - 0.01, value + 0.01, ground="unseen", depth_threshold_m=0.1,
                      pixels=8_412_337, blocks=62)  # fmt: skip


def _differences() -> Iterator[Row]:
    for name, versus in (("network", "forest"), ("network", "brightness"), ("forest", "brightness")):
        for quantity in SCORES:
            value = IOU[name] - IOU[versus] if quantity != "precision" else 0.004
            yield Row(name, quantity, value, value - 0.014, value + 0.013, versus, "unseen", depth_threshold_m=0.1,
                      pixels=8_412_337, blocks=62)  # fmt: skip


def _of_strata() -> Iterator[Row]:
    for stratum, names in STRATA.items():
        for number, bin_name in enumerate(names):
            for name in PRODUCTS:
                value = None if bin_name.startswith("2,400") else max(IOU[name] - 0.06 * number % 0.5, 0.02)
                yield Row(
                    name, "iou", value, value and value - 0.04, value and min(value + 0.05, 1), ground="unseen",
                    depth_threshold_m=0.1, stratum=stratum, bin=bin_name, bin_low=float(number),
                    pixels=400 if value is None else 1_400_000 // (number + 1), blocks=60,
                )  # fmt: skip
    for number, (low, high) in enumerate(DEPTHS):
        for name in PRODUCTS:
            value = 1 - (1 - IOU[name]) * 1.9 / (number + 1)
            label = f"{low:g} m or more" if high is None else f"{low:g}-{high:g} m"
            yield Row(name, "recall", value, value - 0.05, min(value + 0.04, 1), ground="unseen", depth_threshold_m=0.1,
                      stratum="snow_depth", bin=label, bin_low=low, bin_high=high, pixels=800_000)  # fmt: skip
    for number, aspect in enumerate(STRATA["aspect"]):
        for name, off in (("reference", 0), ("network", 8), ("forest", -35), ("brightness", 90)):
            value = 2900 + 190 * np.sin(number / 8 * 2 * np.pi - np.pi / 2) + off
            yield Row(name, "snow_line_m", value, value - 22, value + 25, ground="unseen", depth_threshold_m=0.1,
                      stratum="aspect", bin=aspect, bin_low=45.0 * number, pixels=900_000, blocks=60)  # fmt: skip


def _of_snow_lines() -> Iterator[Row]:
    for name, value in (("reference", 2904.0), ("network", 2911.0), ("forest", 2870.0), ("brightness", 2990.0)):
        yield Row(name, "snow_line_m", value, value - 9, value + 9, ground="unseen", depth_threshold_m=0.1,
                  pixels=7_000_000, blocks=62)  # fmt: skip
        if name != "reference":
            above = value - 2904
            yield Row(name, "snow_line_m", above, above - 11, above + 14, "reference", "unseen", depth_threshold_m=0.1,
                      pixels=7_000_000, blocks=62)  # fmt: skip


def _of_areas() -> Iterator[Row]:
    for name in PRODUCTS:
        mapped = 34.1 + 6 * (0.85 - IOU[name])
        for quantity, value in (("area_mapped_km2", mapped), ("area_reference_km2", 34.62)):
            yield Row(name, quantity, value, ground="unseen", depth_threshold_m=0.1, pixels=8_412_337)
        yield Row(name, "area_adjusted_km2", 34.4, 33.1, 35.9, ground="unseen", depth_threshold_m=0.1,
                  pixels=8_412_337, blocks=62)  # fmt: skip
        for cell in (30.0, 100.0, 500.0):
            spread = (1 - IOU[name]) * 3 / cell**0.4
            for quantity, value in (
                ("fsca_bias", -spread / 4),
                ("fsca_rmse", spread),
                ("fsca_r2", 1 - 2 * spread**1.5),
            ):
                yield Row(name, quantity, value, value - 0.01, value + 0.01, ground="unseen", depth_threshold_m=0.1,
                          cell_m=cell, pixels=int(7.5e7 / cell**2), blocks=62)  # fmt: skip


def _reliability(bend: float) -> Reliability:
    middle = (np.arange(20) + 0.5) / 20
    pixels = (4e6 * (np.abs(middle - 0.5) ** 3 + 0.004)).astype(np.int64)
    return Reliability(middle, middle**bend, pixels)


def _fractions(name: str, side: int = 50) -> FractionHistogram:
    rng = np.random.default_rng(len(name))
    reference = np.clip(rng.normal(0.5, 0.55, 20_000), 0, 1)
    found = np.clip(reference + rng.normal(-0.02, (1 - IOU[name]) * 0.5, 20_000), 0, 1)
    cells: NDArray[np.float64] = np.histogram2d(reference, found, side, ((0, 1), (0, 1)))[0]
    return FractionHistogram(cells.astype(np.int64))


def small() -> Evaluation:
    """The example cut down to what has one figure of each kind."""
    whole = example()
    products = PRODUCTS[:2]
    kept = {None, "canopy_height", "snow_depth", "aspect"}
    rows = tuple(
        row for row in whole.rows
        if row.product in (*products, "reference") and row.versus in (None, "forest", "reference")
        and row.stratum in kept and (row.stratum, row.quantity) != ("aspect", "iou")
    )  # fmt: skip
    seen = overview(45, 60)
    seen = replace(seen, products={name: seen.products[name] for name in products})
    return replace(
        whole, products=products, rows=rows, overview=seen,
        fractions={("network", 100.0): whole.fractions["network", 100.0]},
    )  # fmt: skip
