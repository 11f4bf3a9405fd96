"""How a run's plots are drawn: colours, figures without pyplot, and PNG files that appear whole or not at all.

pyplot's global state does not stand several runs in one process. The colours are those of Okabe and Ito
(https://jfly.uni-koeln.de/color/) and cividis, fit for colour-blind readers.
"""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from snowcover import storage

Pixels = NDArray[np.generic]
Reals = NDArray[np.floating]

GREY = "#bdbdbd"  # nothing is known here: nodata, unobserved
FIRST, SECOND, THIRD, BEST = "#0072b2", "#e69f00", "#009e73", "#d55e00"
PROBABILITY = matplotlib.colormaps["cividis"].with_extremes(bad=GREY)
DPI = 100


def new_figure(
    width_in: float, height_in: float, columns: int = 1, heights: Sequence[float] = (1,)
) -> tuple[Figure, list[Axes]]:
    """A figure of inches, and its axes; those above each other share the horizontal axis."""
    figure = Figure(figsize=(width_in, height_in), dpi=DPI, layout="constrained")
    grid = figure.subplots(len(heights), columns, squeeze=False, sharex="col", height_ratios=heights)
    return figure, list(grid.flat)


def label_axes(axes: Axes, title: str, x: str, y: str) -> None:
    """Title and axis labels."""
    lines = [line for given in title.splitlines() for line in wrap(given, 52)]
    axes.set_title("\n".join(lines), fontsize=14, parse_math=False)
    axes.set_xlabel(x, fontsize=12)
    axes.set_ylabel(y, fontsize=12)
    axes.tick_params(labelsize=11)


def save_message(path: Path, title: str, message: str) -> None:
    """A plot that says why there is nothing to draw."""
    figure, (axes,) = new_figure(8, 3)
    axes.set_axis_off()
    axes.text(0.5, 0.5, message, ha="center", va="center", fontsize=13, wrap=True)
    label_axes(axes, title, "", "")
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG.

    Raises:
        StorageError
    """
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]  # [H, W, 3]; opaque, so alpha would only make it larger
    png = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(png, format="png")
    storage.write(str(path), png.getvalue())
