"""One picture per scene or collect: its tiles as they were made, with the grid over them."""

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from snowcover.data.observed import observed
from snowcover.data.tiles import Tile
from snowcover.labels import BARE, SNOW, UNOBSERVED
from snowcover.prepare.reprojection import Array
from snowcover.prepare.zoom import first_column

logging.getLogger("matplotlib").setLevel(logging.ERROR)  # users need not know of its font caches

LONGEST_PX = 1024  # of the tiles' mosaic
SMALLEST_CELL_PX, LARGEST_CELL_PX = 2, 128
SMALLEST_IN = 5.5  # so that the longest names fit above the picture
NOT_MADE = (1.0, 1.0, 1.0)
NODATA = (0.55, 0.55, 0.58)
CLASSES = {
    SNOW: ("snow", (0.16, 0.47, 0.80)),
    BARE: ("no snow", (0.80, 0.72, 0.55)),
    UNOBSERVED: ("unobserved", NODATA),
}
STRETCH_PERCENT = (2, 98)


@dataclass(frozen=True)
class Layout:
    """Where tiles are shown: in cells of one tile each, or of several tiles if there are more tiles than pixels."""

    zoom: int
    left: int
    """x of the westernmost tile: near the 180th meridian greater than that of the easternmost"""
    top: int
    across: int
    """in tiles"""
    down: int
    tiles_per_cell: int
    """along one side"""
    side_px: int
    """of a cell"""

    def cell(self, tile: Tile) -> tuple[int, int]:
        """Row and column."""
        column = (tile.x - self.left) % (1 << self.zoom)
        return (tile.y - self.top) // self.tiles_per_cell, column // self.tiles_per_cell

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return -(-self.down // self.tiles_per_cell), -(-self.across // self.tiles_per_cell)


def layout(tiles: Sequence[Tile]) -> Layout:
    """A picture of at most LONGEST_PX a side, whatever the tiles."""
    zoom, left, top = tiles[0].z, first_column(tiles), min(tile.y for tile in tiles)
    across = max((tile.x - left) % (1 << zoom) for tile in tiles) + 1
    down = max(tile.y for tile in tiles) - top + 1
    tiles_per_cell = -(-max(across, down) * SMALLEST_CELL_PX // LONGEST_PX)
    side_px = min(LARGEST_CELL_PX, LONGEST_PX * tiles_per_cell // max(across, down))
    return Layout(zoom, left, top, across, down, tiles_per_cell, max(SMALLEST_CELL_PX, side_px))


class Mosaic:
    """Thumbnails of tiles, placed in any order."""

    def __init__(self, layout: Layout, nodata: float, is_mask: bool) -> None:
        self.layout, self.nodata, self.is_mask = layout, nodata, is_mask
        self._shown: dict[tuple[int, int], Tile] = {}  # by cell; if a cell has several tiles, the lowest one
        self._values: Array | None = None  # [H, W, 1 or 3], in the tiles' own type

    def place(self, tile: Tile, thumb: Array) -> None:
        """Put a tile's thumbnail into its cell of the preview."""
        cell, side_px = self.layout.cell(tile), self.layout.side_px
        if self._values is None:
            rows, columns = self.layout.shape
            self._values = np.full((rows * side_px, columns * side_px, thumb.shape[2]), self.nodata, thumb.dtype)
        if tile > self._shown.get(cell, tile):
            return
        row, column = (index * side_px for index in cell)
        self._values[row : row + side_px, column : column + side_px] = thumb
        self._shown[cell] = tile

    def picture(self) -> Array:
        """[H, W, 3] float, 0 to 1: classes in their colours, imagery stretched, white where no tile was made."""
        side_px = self.layout.side_px
        made = np.zeros(self.layout.shape, bool)
        for cell in self._shown:
            made[cell] = True
        made = made.repeat(side_px, 0).repeat(side_px, 1)
        if self._values is None:
            return np.ones((*made.shape, 3), np.float32)
        colours = _classes(self._values) if self.is_mask else _stretched(self._values, self.nodata)
        colours[~made] = NOT_MADE
        return colours


def _classes(values: Array) -> Array:
    colours = np.empty((*values.shape[:2], 3), np.float32)
    for value, (_, colour) in CLASSES.items():
        colours[values[..., 0] == value] = colour
    return colours


def _stretched(values: Array, nodata: float) -> Array:
    known = observed(list(np.moveaxis(values, 2, 0)), nodata)
    colours = np.empty((*values.shape[:2], 3), np.float32)
    if known.any():
        low, high = np.percentile(values[known], STRETCH_PERCENT, axis=0)
        span = np.where(high > low, high - low, 1)  # reflectance as 0 to 1 spans less than 1
        with np.errstate(invalid="ignore"):
            colours[:] = np.clip((values - low) / span, 0, 1)
    colours[~known] = NODATA
    return colours


def png(mosaic: Mosaic, title: str) -> bytes:
    """The picture with tile numbers along its sides; the same tiles give the same bytes."""
    picture, grid = mosaic.picture(), mosaic.layout
    width, height = (max(shape_px / 100 + 1.6, SMALLEST_IN) for shape_px in (picture.shape[1], picture.shape[0]))
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    rows, columns = (count * grid.tiles_per_cell for count in grid.shape)
    right, bottom = grid.left + columns, grid.top + rows
    axes.imshow(picture, extent=(grid.left, right, bottom, grid.top), interpolation="nearest")
    if grid.tiles_per_cell == 1:
        axes.vlines(range(grid.left, right + 1), grid.top, bottom, color="black", linewidth=0.5, alpha=0.6)
        axes.hlines(range(grid.top, bottom + 1), grid.left, right, color="black", linewidth=0.5, alpha=0.6)
    world = 1 << grid.zoom
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value % world:.0f}"))  # beyond 180 degrees
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    for axis, label in ((axes.xaxis, f"tile x, zoom {grid.zoom}"), (axes.yaxis, "tile y")):
        axis.set_major_locator(MaxNLocator(nbins=8, integer=True))
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
