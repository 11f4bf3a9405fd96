"""A tile's pixels -> the bytes of its GeoTIFF."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from rasterio.io import DatasetReader, MemoryFile
from rasterio.transform import from_bounds

from snowcover.data.tiles import Tile, bounds
from snowcover.prepare.reprojection import WEB_MERCATOR, Array

# Level 1 of zstd is as small as level 6 of deflate on imagery, at several times the speed.
COMPRESSION = {"zstd": {"compress": "zstd", "zstd_level": 1}, "deflate": {"compress": "deflate", "zlevel": 6}}


@dataclass(frozen=True)
class Tags:
    """A tile's metadata: nodata, band names, scales and offsets."""

    nodata: float
    names: tuple[str, ...]
    """of the bands"""
    scales: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()
    """per band, physical value = number * scale + offset; empty if numbers are physical values"""

    def are_in(self, file: DatasetReader) -> bool:
        """Whether a file has these tags; NaN equals NaN."""
        bands = len(self.names)
        expected = (self.names, self.scales or (1.0,) * bands, self.offsets or (0.0,) * bands, str(float(self.nodata)))
        return expected == (file.descriptions, file.scales, file.offsets, str(file.nodata))


def geotiff(values: Array, tile: Tile, tags: Tags, compress: str) -> bytes:
    """[H, W, C] as a GeoTIFF, georeferenced as the tile in EPSG:3857."""
    height, width, bands = values.shape
    profile: dict[str, Any] = {
        "driver": "GTiff", "width": width, "height": height, "count": bands, "dtype": values.dtype,
        "crs": WEB_MERCATOR, "transform": from_bounds(*bounds(tile), width, height), "interleave": "band",
        "nodata": tags.nodata,
        "photometric": "minisblack",  # else GDAL takes the fourth band of bytes for alpha
        "blockysize": height, "predictor": 3 if values.dtype.kind == "f" else 2, **COMPRESSION[compress],
    }  # fmt: skip
    if values.dtype == np.uint8 and bands == 1:
        profile["predictor"] = 1  # differences of labels compress worse than labels
    with MemoryFile() as memory:
        with memory.open(**profile) as file:
            file.write(np.ascontiguousarray(np.moveaxis(values, 2, 0)))
            file.descriptions = tags.names
            if tags.scales:
                file.scales, file.offsets = tags.scales, tags.offsets
        return bytes(memory.getbuffer())
