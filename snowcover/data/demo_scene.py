"""One whole scene of made-up mountains, for a map of ground that the demo's network has not been trained on, and what
such a map is evaluated with: snow depth from lidar, canopy height and elevation, each a GeoTIFF in the scene's grid."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from snowcover import storage
from snowcover.data import demo_land
from snowcover.data.demo_land import BANDS, NODATA, Field, Land, View

FOLDER = "demo_scene"
VIEW = View("20180604_181305_1025", 131, 45, 0.77, (0.05, 0.93))
SEED = 23  # other mountains than those of the demo's tiles
SIDE_PX = 1100
# East of the demo's tiles, in UTM zone 11 north; pixels as large on the ground as those of its tiles of 256 px at
# zoom 15, since the land's forms are made in pixels.
PIXEL_M = 3.77
PLACE = Affine(PIXEL_M, 0, 301000, 0, -PIXEL_M, 4192000)
CRS = "EPSG:32611"
SCENE, DEPTH = f"{VIEW.name}_SR.tif", "ASO_demo_20180604_snow_depth.tif"
CANOPY, ELEVATION = "canopy_height.tif", "elevation.tif"
UNOBSERVED = -9999.0  # in the rasters of metres
VALLEY_M = 3000.0  # elevation that heights are measured from
TREES_M = (4.0, 22.0)  # lowest and highest


def make(folder: str = FOLDER, side_px: int = SIDE_PX) -> str:
    """The path of the scene, uint16, reflectance x 10000, nodata 0; next to it lie snow depth, canopy height
    and elevation (float32, metres, nodata -9999); what is there is left as it is.

    Raises: StorageError
    """
    rasters: dict[str, Callable[[Land], bytes]] = {DEPTH: _depth, CANOPY: _canopy, ELEVATION: _elevation, SCENE: _scene}
    missing = [name for name in rasters if not (Path(folder) / name).exists()]
    if missing:
        land = demo_land.make_land(np.random.default_rng([SEED, 0]), side_px)
        for name in missing:
            storage.write(str(Path(folder) / name), rasters[name](land))
    return str(Path(folder) / SCENE)


def _scene(land: Land) -> bytes:
    return _geotiff(demo_land.paint_scene(land, VIEW, np.random.default_rng([SEED, 1])), NODATA, BANDS)


def _depth(land: Land) -> bytes:
    """The lidar sees the ground, under forest and cloud too, but not everywhere."""
    unobserved = demo_land.beyond_lidar(np.random.default_rng([SEED, 2]), len(land.height))
    return _metres(np.where(unobserved, UNOBSERVED, land.snow_depth_m), "snow depth")


def _canopy(land: Land) -> bytes:
    low, high = TREES_M
    grown = demo_land.noise(np.random.default_rng([SEED, 3]), len(land.height), 3, 6)
    height = low + (high - low) * np.clip(0.5 + grown / 4, 0, 1)
    return _metres(np.where(land.crowns, height, 0), "canopy height")


def _elevation(land: Land) -> bytes:
    return _metres(VALLEY_M + land.height * PIXEL_M, "elevation")


def _metres(values: NDArray[np.floating], name: str) -> bytes:
    centimetres: Field = np.round(values, 2).astype(np.float32)  # packs well
    return _geotiff(centimetres[None], UNOBSERVED, (name,), units=("m",))


def _geotiff(values: NDArray[Any], nodata: float, names: tuple[str, ...], units: tuple[str, ...] = ()) -> bytes:
    bands, height, width = values.shape
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", crs=CRS, transform=PLACE, count=bands, height=height, width=width, dtype=values.dtype,
            nodata=nodata, compress="deflate", predictor=3 if values.dtype.kind == "f" else 2, tiled=True,
        ) as file:  # fmt: skip
            file.write(values)
            file.descriptions = names
            if units:
                file.units = units
        return bytes(memory.getbuffer())
