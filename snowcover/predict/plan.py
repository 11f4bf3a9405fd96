"""The windows on a network's grid, which is that of its training tiles, in pixels from the map's corner."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from snowcover.data.tiles import HALF_WORLD_M, Bounds, Tile
from snowcover.models.mapper import SIDE_DIVISOR
from snowcover.prepare.extent import boxes
from snowcover.prepare.reprojection import Grid

LEAST_CONTEXT_PX = 32
LEAST_CORE_PX = 512  # smaller tiles are mapped several at once: fewer window edges, fewer edge effects


@dataclass(frozen=True)
class Layout:
    """The size and overlap of windows.

    A window has a core of `stride_px`, a context of `context_px` above and left of it, and context below and right that
    fills up `window_px`. Predictions farther than `ramp_px` from the core are dropped; from there to `ramp_px` inside
    the core their weight rises from 0 to 1, while the neighbour's falls.
    """

    stride_px: int
    window_px: int
    context_px: int
    ramp_px: int
    shift_px: tuple[int, int] = (0, 0)
    """offset of cores from the tiles' grid, across and down"""

    @property
    def support_px(self) -> int:
        """Side of the part that is not dropped."""
        return self.stride_px + 2 * self.ramp_px


def layout_with_margin(core_px: int, context_px: int | None = None, shift_px: tuple[int, int] = (0, 0)) -> Layout:
    """Cores are training tiles, and the network also sees a margin of their neighbours.

    Each pixel is computed 2.25 times; windows of a tile's size with a stride of half a tile would need four times. A
    tile's middle gets the same prediction as the tile alone.
    """
    least = max(LEAST_CONTEXT_PX, core_px // 4) if context_px is None else context_px
    window = -(-(core_px + 2 * least) // SIDE_DIVISOR) * SIDE_DIVISOR
    return Layout(core_px, window, (window - core_px) // 2, least // 2, shift_px)


def core_px(tile_size: int) -> int:
    """Side of a window's core: one tile, or several small ones up to the usual size."""
    return tile_size * max(1, LEAST_CORE_PX // tile_size)


def layout_of_tile_size(tile_size: int, shift_px: tuple[int, int] = (0, 0)) -> Layout:
    """Windows of the tiles' size with a stride of half a tile, for networks that take no other size."""
    quarter = tile_size // 4
    across, down = shift_px
    return Layout(tile_size - 2 * quarter, tile_size, quarter, quarter // 2, (across + quarter, down + quarter))


@dataclass(frozen=True)
class Box:
    """Pixels from (left, top) to before (right, bottom); columns beyond the map's width wrap around."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True)
class Plan:
    """The windows of one scene."""

    zoom: int
    tile_size: int
    layout: Layout
    scene: Box
    """the pixels that the scene touches"""

    @property
    def world_px(self) -> int:
        return self.tile_size << self.zoom

    @property
    def rows(self) -> range:
        return self._windows(self.scene.top, self.scene.bottom, self.layout.shift_px[1])

    @property
    def columns(self) -> range:
        return self._windows(self.scene.left, self.scene.right, self.layout.shift_px[0])

    def _windows(self, low: int, high: int, shift: int) -> range:
        """The windows whose support touches the scene."""
        stride, ramp = self.layout.stride_px, self.layout.ramp_px
        return range((low - shift - ramp) // stride, -(-(high - shift + ramp) // stride))

    def core(self, row: int, column: int) -> tuple[int, int]:
        """Left and top of a window's core."""
        across, down = self.layout.shift_px
        return column * self.layout.stride_px + across, row * self.layout.stride_px + down

    def tiles(self) -> Iterator[tuple[int, int]]:
        """Row and column of the tiles that the scene touches, row by row."""
        size, scene = self.tile_size, self.scene
        for row in range(scene.top // size, -(-scene.bottom // size)):
            for column in range(scene.left // size, -(-scene.right // size)):
                yield row, column

    def tile(self, row: int, column: int) -> Tile:
        """The tile at a row and column of the grid; columns wrap around at the 180th meridian."""
        return Tile(self.zoom, column % (1 << self.zoom), row)


def plan(grid: Grid, zoom: int, tile_size: int, layout: Layout) -> Plan | None:
    """The windows over a scene; None if it lies beyond Web Mercator."""
    parts = boxes(grid)
    if not parts:
        return None
    world_px = tile_size << zoom
    left, right = parts[0][0], parts[-1][2] + (2 * HALF_WORLD_M if len(parts) == 2 else 0)
    top, bottom = max(part[3] for part in parts), min(part[1] for part in parts)
    return Plan(zoom, tile_size, layout, _box((left, bottom, right, top), world_px))


def _box(bounds: Bounds, world_px: int) -> Box:
    scale = world_px / (2 * HALF_WORLD_M)
    left, bottom, right, top = bounds
    edges = (left + HALF_WORLD_M, HALF_WORLD_M - top, right + HALF_WORLD_M, HALF_WORLD_M - bottom)
    low = [math.floor(edge * scale + 1e-6) for edge in edges[:2]]
    high = [math.ceil(edge * scale - 1e-6) for edge in edges[2:]]
    return Box(low[0], max(low[1], 0), max(high[0], low[0] + 1), min(max(high[1], low[1] + 1), world_px))
