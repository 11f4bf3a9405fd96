"""One pass over a collect: its mask as a cloud-optimised GeoTIFF, its observed ground, and its pixel counts."""

import math
from dataclasses import dataclass

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.io import DatasetReader
from rasterio.windows import Window

from snowcover.labels import SNOW, UNOBSERVED
from snowcover.prepare.collect import Rule, read_mask
from snowcover.prepare.fill import STRIP_ROWS, strips
from snowcover.prepare.pixels import Pixels
from snowcover.prepare.reprojection import Array, Grid

FOOTPRINT_CELLS = 256  # along the longer side: imagery vendors accept some hundred vertices, not millions


@dataclass
class PixelCounts:
    """Numbers of pixels in a collect's own grid."""

    snow_px: int = 0
    bare_px: int = 0
    unobserved_px: int = 0
    out_of_range_px: int = 0

    def add(self, mask: Array, out_of_range_px: int) -> None:
        """Count the pixels of a strip of the mask, [H, W] of 1, 0 and 255."""
        snow_px, unobserved_px = (int(np.count_nonzero(mask == value)) for value in (SNOW, UNOBSERVED))
        self.snow_px += snow_px
        self.unobserved_px += unobserved_px
        self.bare_px += mask.size - snow_px - unobserved_px
        self.out_of_range_px += out_of_range_px


def threshold(file: DatasetReader, grid: Grid, pixels: Pixels, rule: Rule, path: str) -> tuple[PixelCounts, Array]:
    """Write the mask of a whole collect to `path`, strip by strip.

    Returns the counts, and where in a coarse grid ground was observed, [h, w] uint8 (see `cell_px`).
    """
    counts, cell = PixelCounts(), cell_px(grid)
    ground = np.zeros((math.ceil(grid.height / cell), math.ceil(grid.width / cell)), np.uint8)
    with rasterio.open(path, "w", **_plain_profile(grid)) as target:
        for window in strips(grid.width, grid.height):
            mask, out_of_range_px = read_mask(file, pixels, rule, window)
            counts.add(mask, out_of_range_px)
            target.write(mask, 1, window=window)
            _mark(ground, mask, window, cell)
    return counts, ground


def _plain_profile(grid: Grid) -> dict[str, object]:
    return {
        "driver": "GTiff", "count": 1, "dtype": "uint8", "nodata": UNOBSERVED, "width": grid.width,
        "height": grid.height, "crs": grid.crs, "transform": grid.transform, "tiled": True, "blockxsize": 512,
        "blockysize": 512, "compress": "deflate", "zlevel": 1, "bigtiff": "if_safer",
    }  # fmt: skip


def cell_px(grid: Grid) -> int:
    """Side of a footprint cell in pixels: a power of two, so that cells fit the strips."""
    side: int = 2 ** math.ceil(math.log2(max(grid.width, grid.height, FOOTPRINT_CELLS) / FOOTPRINT_CELLS))
    return min(side, STRIP_ROWS)


def _mark(ground: Array, mask: Array, window: Window, cell: int) -> None:
    observed = np.pad(mask != UNOBSERVED, ((0, -mask.shape[0] % cell), (0, -mask.shape[1] % cell)))
    cells = observed.reshape(observed.shape[0] // cell, cell, -1).any(axis=1)
    cells = cells.reshape(cells.shape[0], -1, cell).any(axis=2)
    row, column = window.row_off // cell, window.col_off // cell
    ground[row : row + cells.shape[0], column : column + cells.shape[1]] = cells


def cloud_optimised(path: str, target: str) -> None:
    """Copy a mask into a cloud-optimised GeoTIFF, with overviews that keep the most frequent value."""
    rasterio.shutil.copy(
        path, target, driver="COG", COMPRESS="DEFLATE", BLOCKSIZE=512, OVERVIEW_RESAMPLING="MODE",
        NUM_THREADS="ALL_CPUS", BIGTIFF="IF_SAFER", STATISTICS="NO",
    )  # fmt: skip
