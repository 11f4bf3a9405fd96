"""One picture per scene or collect: its tiles as they were made, with the grid over them."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from snowcover.data.tiles import Tile
from snowcover.prepare.collect import BARE, SNOW, UNOBSERVED
from snowcover.prepare.positions import Array
from snowcover.prepare.scene import observed

LONGEST_PX = 1024  # of the tiles' mosaic
LARGEST_THUMB_PX = 128
SMALLEST_IN = 5.5  # so that the longest names fit above it
NOT_MADE = (1.0, 1.0, 1.0)
NODATA = (0.55, 0.55, 0.58)
CLASSES = {
    SNOW: ("snow", (0.16, 0.47, 0.80)),
    BARE: ("no snow", (0.80, 0.72, 0.55)),
    UNOBSERVED: ("unobserved", NODATA),
}
STRETCH_PERCENT = (2, 98)


def thumb_px(tiles: Sequence[Tile]) -> int:
    """How large a tile is shown, so that the picture stays one that a screen can show."""
    across, down = (len(range(min(axis), max(axis) + 1)) for axis in _axes(tiles))
    return max(2, min(LARGEST_THUMB_PX, LONGEST_PX // max(across, down)))


def _axes(tiles: Sequence[Tile]) -> tuple[list[int], list[int]]:
    return [tile.x for tile in tiles], [tile.y for tile in tiles]


class Mosaic:
    """Small tiles put side by side as they come."""

    def __init__(self, tiles: Sequence[Tile], side_px: int, nodata: float, is_mask: bool) -> None:
        xs, ys = _axes(tiles)
        self.left, self.top = min(xs), min(ys)
        self.across, self.down = max(xs) - self.left + 1, max(ys) - self.top + 1
        self.side_px, self.nodata, self.is_mask = side_px, nodata, is_mask
        self.made: list[Tile] = []
        self._values: Array | None = None  # [H, W, 1 or 3], in the tiles' own type

    def place(self, tile: Tile, thumb: Array) -> None:
        if self._values is None:
            shape = (self.down * self.side_px, self.across * self.side_px, thumb.shape[2])
            self._values = np.full(shape, self.nodata, thumb.dtype)
        row, column = (tile.y - self.top) * self.side_px, (tile.x - self.left) * self.side_px
        self._values[row : row + self.side_px, column : column + self.side_px] = thumb
        self.made.append(tile)

    def picture(self) -> Array:
        """[H, W, 3] float, 0 to 1: classes in their colours, imagery stretched, white where no tile was made."""
        if self._values is None:
            return np.ones((self.down * self.side_px, self.across * self.side_px, 3), np.float32)
        colours = _classes(self._values) if self.is_mask else _stretched(self._values, self.nodata)
        made = np.zeros((self.down, self.across), bool)
        for tile in self.made:
            made[tile.y - self.top, tile.x - self.left] = True
        colours[~made.repeat(self.side_px, 0).repeat(self.side_px, 1)] = NOT_MADE
        return colours


def _classes(values: Array) -> Array:
    colours = np.empty((*values.shape[:2], 3), np.float32)
    for value, (_, colour) in CLASSES.items():
        colours[values[..., 0] == value] = colour
    return colours


def _stretched(values: Array, nodata: float) -> Array:
    known = observed(values, nodata).astype(bool)
    colours = np.empty((*values.shape[:2], 3), np.float32)
    if known.any():
        low, high = np.percentile(values[known], STRETCH_PERCENT, axis=0)
        colours[:] = np.clip((values - low) / np.maximum(high - low, 1), 0, 1)
    colours[~known] = NODATA
    return colours


def png(mosaic: Mosaic, title: str) -> bytes:
    """The picture with tile numbers along its sides; the same tiles give the same bytes."""
    picture = mosaic.picture()
    zoom = mosaic.made[0].z if mosaic.made else 0
    width, height = (max(shape_px / 100 + 1.6, SMALLEST_IN) for shape_px in (picture.shape[1], picture.shape[0]))
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    right, bottom = mosaic.left + mosaic.across, mosaic.top + mosaic.down
    axes.imshow(picture, extent=(mosaic.left, right, bottom, mosaic.top), interpolation="nearest")
    axes.vlines(range(mosaic.left, right + 1), mosaic.top, bottom, color="black", linewidth=0.5, alpha=0.6)
    axes.hlines(range(mosaic.top, bottom + 1), mosaic.left, right, color="black", linewidth=0.5, alpha=0.6)
    for axis, label in ((axes.xaxis, f"tile x, zoom {zoom}"), (axes.yaxis, "tile y")):
        axis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
        axis.set_label_text(label)
    axes.tick_params(axis="x", labelrotation=45)
    figure.suptitle(title, fontsize=8)
    figure.legend(handles=_legend(mosaic.is_mask), loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    content = io.BytesIO()
    FigureCanvasAgg(figure).print_png(content)  # type: ignore[no-untyped-call]
    return content.getvalue()


def _legend(is_mask: bool) -> list[Patch]:
    shown = list(CLASSES.values()) if is_mask else [("nodata", NODATA)]
    return [Patch(facecolor=colour, edgecolor="black", label=name) for name, colour in [*shown, ("no tile", NOT_MADE)]]
