"""Thumbnails of scenes, for previews."""

from dataclasses import dataclass

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.warp import reproject

from snowcover.prepare.reprojection import Array, Grid

LONGEST_PX = 900


@dataclass(frozen=True)
class Thumbnail:
    """A small picture with its georeference."""

    values: Array
    """[h, w, 1 or 3], stored numbers"""
    crs: CRS
    transform: Affine

    @classmethod
    def of(cls, values: Array, grid: Grid) -> "Thumbnail":
        """A picture that covers a whole grid."""
        height, width = values.shape[:2]
        return cls(values, grid.crs, grid.transform * Affine.scale(grid.width / width, grid.height / height))

    def on(self, crs: CRS, transform: Affine, width: int, height: int) -> Array:
        """The picture in another grid, [height, width, C] float32, NaN outside its own."""
        if (crs, (height, width)) == (self.crs, self.values.shape[:2]) and transform.almost_equals(self.transform):
            return self.values.astype(np.float32)
        target = np.full((self.values.shape[2], height, width), np.nan, np.float32)
        reproject(
            np.moveaxis(self.values, 2, 0).astype(np.float32), target, src_transform=self.transform, src_crs=self.crs,
            dst_transform=transform, dst_crs=crs, dst_nodata=np.nan, resampling=Resampling.bilinear,
        )  # fmt: skip
        return np.moveaxis(target, 0, 2)


def size_px(width: int, height: int) -> tuple[int, int]:
    """Width and height of the picture of a grid, at most LONGEST_PX."""
    step = max(width, height, LONGEST_PX) / LONGEST_PX
    return max(1, round(width / step)), max(1, round(height / step))
