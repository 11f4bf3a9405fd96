"""Blocks of ground: squares of the reference's grid, resampled as units for the intervals. Pure."""

from dataclasses import dataclass

import numpy as np
from rasterio.windows import Window

from snowcover.prepare.reprojection import Array


@dataclass(frozen=True)
class Blocks:
    """Squares of about `block_m` on the ground, numbered row by row."""

    height: int
    width: int
    """of the reference, in pixels"""
    pixel_m: tuple[float, float]
    """ground width and height of a pixel in the reference's middle"""
    block_m: float

    @property
    def size_px(self) -> tuple[int, int]:
        """Rows and columns of a block."""
        across, down = (max(1, round(self.block_m / side_m)) for side_m in self.pixel_m)
        return down, across

    @property
    def shape(self) -> tuple[int, int]:
        down, across = self.size_px
        return -(-self.height // down), -(-self.width // across)

    @property
    def count(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def places(self) -> Array:
        """[count, 2], row and column of each block among the blocks."""
        return np.stack(np.divmod(np.arange(self.count), self.shape[1]), axis=1)

    def of(self, window: Window) -> Array:
        """[H, W] int32, number of each pixel's block."""
        down, across = self.size_px
        rows = (window.row_off + np.arange(window.height)) // down
        columns = (window.col_off + np.arange(window.width)) // across
        return (rows[:, None] * self.shape[1] + columns).astype(np.int32)
