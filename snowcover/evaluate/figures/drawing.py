"""Shared by all figures: colours, axes of one size, and PNG output.

Figures are built without pyplot, whose global state is not thread-safe. Colours are those of Okabe and Ito
(https://jfly.uni-koeln.de/color/), which suit colour-blind readers; products also differ by marker.
"""

import io
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from snowcover.evaluate.results import Row
from snowcover.evaluate.words import REFERENCE

logging.getLogger("matplotlib").setLevel(logging.ERROR)  # users need not know of its font caches

Section = Literal[
    "maps", "scores", "differences", "strata", "fractions", "probabilities", "depth", "snow_line", "area", "thresholds"
]
PX_PER_IN = 100  # of the page
SHARPNESS = 2  # image pixels per pixel of the page
WIDE_IN = 5.4  # half of the page, and scaled down the width of a phone
PRODUCT_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8c564b", "#7f7f7f")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
INK, FAINT = "#222222", "#d9d9d9"
SHORT_ASPECTS = {
    "north": "N", "north-east": "NE", "east": "E", "south-east": "SE", "south": "S", "south-west": "SW", "west": "W",
    "north-west": "NW",
}  # fmt: skip
FONT = {"title": 12.5, "label": 11, "tick": 10.5}


@dataclass(frozen=True)
class Picture:
    """One figure as a file."""

    name: str
    """of its file, without extension"""
    section: Section
    """of the report"""
    title: str
    caption: str
    """describes the figure, also as alternative text"""
    png: bytes
    width_px: int
    height_px: int
    """on the page; the image has SHARPNESS times as many pixels"""
    narrow_png: bytes | None = None
    """another layout for narrow screens, if scaling down is not enough"""


@dataclass(frozen=True)
class Style:
    """Colours and markers of products, the same in every figure."""

    colours: Mapping[str, str]
    markers: Mapping[str, str]

    @classmethod
    def of(cls, products: Sequence[str]) -> "Style":
        """A colour and a marker for each product, in the order given; colours repeat with other markers."""
        many = range(len(products))
        colours = {name: PRODUCT_COLOURS[n % len(PRODUCT_COLOURS)] for n, name in zip(many, products, strict=True)}
        markers = {
            name: MARKERS[(n + n // len(PRODUCT_COLOURS)) % len(MARKERS)]
            for n, name in zip(many, products, strict=True)
        }
        return cls({**colours, REFERENCE: INK}, {**markers, REFERENCE: "_"})


def one_panel(height_in: float, width_in: float = WIDE_IN) -> tuple[Figure, Axes]:
    """A figure with one panel; sizes in inches of the page, rendered SHARPNESS times finer."""
    figure = Figure(figsize=(width_in, height_in), dpi=PX_PER_IN * SHARPNESS, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    style_axes(axes)
    return figure, axes


def style_axes(axes: Axes) -> None:
    """Give axes the look of all figures: no frame at the top and right, grey ticks, grid behind the data."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#888888")
    axes.tick_params(labelsize=FONT["tick"], color="#888888", labelcolor=INK)
    axes.set_axisbelow(True)


def name_axes(axes: Axes, x: str = "", y: str = "") -> None:
    """Label axes as plain text, for names may hold `$`."""
    axes.set_xlabel(x, fontsize=FONT["label"], parse_math=False)
    axes.set_ylabel(y, fontsize=FONT["label"], parse_math=False)


def add_legend(figure: Figure, axes: Axes) -> None:
    """Add a legend below the panel; names are given by users and may be long."""
    handles, labels = axes.get_legend_handles_labels()
    longest = max((len(label) for label in labels), default=1)
    columns = max(1, min(len(labels), int(66 / (longest + 5))))
    legend = figure.legend(
        handles, [shortened(label) for label in labels], loc="outside lower center", ncols=columns,
        fontsize=FONT["tick"], frameon=False, handletextpad=0.5, columnspacing=1.4,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)


def shortened(text: str, longest: int = 40) -> str:
    """At most `longest` characters, the last of them an ellipsis if the text was cut."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def values(rows: Iterable[Row]) -> list[float]:
    """The values of rows that have one."""
    return [row.value for row in rows if row.value is not None]


def interval(row: Row) -> tuple[float, float]:
    """Distances of the interval's ends below and above the value; 0 without an interval."""
    if row.value is None or row.low is None or row.high is None:
        return 0.0, 0.0
    return max(row.value - row.low, 0.0), max(row.high - row.value, 0.0)


def limits_of(rows: Iterable[Row]) -> tuple[float, float]:
    """Axis limits for rows and their intervals, with a margin."""
    numbers = [number for row in rows for number in (row.value, row.low, row.high) if number is not None]
    low, high = min(numbers), max(numbers)
    room = 0.06 * (high - low) or 0.05 * abs(high) or 0.05
    return low - room, high + room


def png(figure: Figure) -> bytes:
    """PNG bytes; the same figure gives the same bytes."""
    content = io.BytesIO()
    FigureCanvasAgg(figure).print_png(content, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return content.getvalue()


def picture(figure: Figure, name: str, section: Section, title: str, caption: str) -> Picture:
    """A figure as PNG, with its size on the page."""
    width_in, height_in = figure.get_size_inches()
    return Picture(
        name, section, title, caption, png(figure), round(width_in * PX_PER_IN), round(height_in * PX_PER_IN)
    )
