"""A tile's pixels -> the bytes of its GeoTIFF."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rasterio.io import MemoryFile
from rasterio.transform import from_bounds

from snowcover.data.tiles import Tile, bounds
from snowcover.prepare.positions import WEB_MERCATOR, Array

# Level 1 of zstd is as small as level 6 of deflate on imagery, at several times the speed.
COMPRESSION = {"zstd": {"compress": "zstd", "zstd_level": 1}, "deflate": {"compress": "deflate", "zlevel": 6}}


def geotiff(values: Array, tile: Tile, nodata: float, names: Sequence[str], compress: str) -> bytes:
    """[H, W, C] as one GeoTIFF in the tile's place in EPSG:3857, band names and nodata kept."""
    height, width, bands = values.shape
    profile: dict[str, Any] = {
        "driver": "GTiff", "width": width, "height": height, "count": bands, "dtype": values.dtype, "nodata": nodata,
        "crs": WEB_MERCATOR, "transform": from_bounds(*bounds(tile), width, height), "interleave": "band",
        "blockysize": height, "predictor": 3 if values.dtype.kind == "f" else 2, **COMPRESSION[compress],
    }  # fmt: skip
    if values.dtype == np.uint8 and bands == 1:
        profile["predictor"] = 1  # differences of labels compress worse than labels
    with MemoryFile() as memory:
        with memory.open(**profile) as file:
            file.write(np.ascontiguousarray(np.moveaxis(values, 2, 0)))
            file.descriptions = tuple(names)
        return bytes(memory.getbuffer())
