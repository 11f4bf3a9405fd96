"""Names and explanations of quantities, strata and kinds of ground for readers. Pure."""

from typing import NamedTuple

from snowcover.evaluate.results import Ground


class Quantity(NamedTuple):
    """How a quantity of evaluation.csv is shown."""

    name: str
    meaning: str
    """in plain words"""
    digits: int = 3
    """after the decimal point"""
    unit: str = ""


SCORES = {
    "iou": Quantity("IoU", "Of the ground that is snow in map or reference, the share that is in both."),
    "f1": Quantity("F1", "The harmonic mean of precision and recall."),
    "precision": Quantity("Precision", "Of the ground mapped as snow, the share that is snow in the reference."),
    "recall": Quantity("Recall", "Of the snow in the reference, the share that the map found."),
    "balanced_accuracy": Quantity(
        "Balanced accuracy", "Mean share of snow and of no snow mapped right; 0.5 is chance."),
    "kappa": Quantity("Cohen's kappa", "Agreement beyond what chance would give; 0 is chance, 1 is perfect."),
    "mcc": Quantity("MCC", "Matthews correlation of map and reference; 0 is chance, 1 is perfect."),
}  # fmt: skip
PROBABILITY_SCORES = {
    "average_precision": Quantity(
        "Average precision", "The area under the curve of precision against recall, over all thresholds."),
    "brier": Quantity("Brier score", "The mean squared difference between probability and reference; 0 is perfect."),
    "ece": Quantity("Calibration error", "Mean distance of probability and share of snow (ECE); 0 is perfect."),
}  # fmt: skip
FRACTIONS = {
    "fsca_bias": Quantity("Bias", "Mean difference of the fractions of snow, map minus reference."),
    "fsca_rmse": Quantity("RMSE", "Root mean square difference of the fractions of snow."),
    "fsca_r2": Quantity("R²", "Share of the reference's variance that the map explains."),
}
AREAS = {
    "area_mapped_km2": Quantity("Mapped area", "Snow in the map.", 2, "km²"),
    "area_reference_km2": Quantity("Reference area", "Snow in the reference.", 2, "km²"),
    "area_adjusted_km2": Quantity("Adjusted area", "Mapped area, corrected for errors (Olofsson 2014).", 2, "km²"),
}  # fmt: skip
SNOW_LINE = {"snow_line_m": Quantity("Snow line", "The elevation at which half of the ground is snow.", 0, "m")}
QUANTITIES = SCORES | PROBABILITY_SCORES | FRACTIONS | AREAS | SNOW_LINE

STRATA = {
    "canopy_height": "Canopy height",
    "canopy_edge": "Distance to the edge of the canopy",
    "elevation": "Elevation",
    "slope": "Slope",
    "aspect": "Aspect",
    "illumination": "Illumination by the sun, cos(i)",
    "snow_depth": "Snow depth",
    "snow_edge": "Distance to the edge of the snow in the reference",
    "scene": "Scene",
    "date_gap": "Days between map and reference",
}
GROUND: dict[Ground, str] = {
    "unseen": "unseen ground",
    "trained": "trained ground",
    "all": "all ground",
}
REFERENCE = "reference"
"""the product whose rows are the reference's own, such as its snow line"""


def quantity(name: str) -> Quantity:
    """How a quantity is shown; unknown ones by their name in the table."""
    return QUANTITIES.get(name, Quantity(name.replace("_", " "), ""))


def stratum(name: str) -> str:
    """A stratum's name as a heading."""
    return STRATA.get(name, name.replace("_", " ").capitalize())


def number(value: float | None, digits: int = 3) -> str:
    """`0.812`, `12,345`; a dash for None. The minus sign is typographic."""
    if value is None:
        return "\N{EN DASH}"
    shown = f"{value:,.{digits}f}"
    if float(shown.replace(",", "")) == 0:
        shown = shown.lstrip("-")
    return shown.replace("-", "\N{MINUS SIGN}")
