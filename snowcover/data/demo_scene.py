"""One whole scene of made-up mountains, for a map of ground that the demo's network has not been trained on."""

from pathlib import Path

import numpy as np
from affine import Affine
from rasterio.io import MemoryFile

from snowcover import storage
from snowcover.data import demo
from snowcover.data.demo import BANDS, NODATA, View

FOLDER = "demo_scene"
VIEW = View("20180604_181305_1025", 131, 45, 0.77, (0.05, 0.93))
SEED = 23  # other mountains than those of the demo's tiles
SIDE_PX = 1100
# East of the demo's tiles, in UTM zone 11 north; pixels as large on the ground as those of its tiles of 256 px at
# zoom 15, since the land's forms are made in pixels.
PLACE = Affine(3.77, 0, 301000, 0, -3.77, 4192000)
CRS = "EPSG:32611"


def make(folder: str = FOLDER) -> str:
    """The path of the scene's GeoTIFF, made unless it is there: uint16, reflectance x 10000, nodata 0.

    Raises: StorageError
    """
    path = Path(folder) / f"{VIEW.name}_SR.tif"
    if not path.exists():
        land = demo.make_land(np.random.default_rng([SEED, 0]), SIDE_PX)
        storage.write(str(path), _geotiff(demo.paint_scene(land, VIEW, np.random.default_rng([SEED, 1]))))
    return str(path)


def _geotiff(values: np.ndarray[tuple[int, ...], np.dtype[np.uint16]]) -> bytes:
    bands, height, width = values.shape
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", crs=CRS, transform=PLACE, count=bands, height=height, width=width, dtype="uint16",
            nodata=NODATA, compress="deflate", predictor=2, tiled=True,
        ) as file:  # fmt: skip
            file.write(values)
            file.descriptions = BANDS
        return bytes(memory.getbuffer())
