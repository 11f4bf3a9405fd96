"""How much snow a whole map shows, also where it reaches beyond the reference."""

from dataclasses import dataclass

import numpy as np

from snowcover.evaluate.products import MapFile, Product
from snowcover.predict.area import GroundArea
from snowcover.prepare import raster
from snowcover.prepare.fill import strips


@dataclass(frozen=True)
class MapArea:
    """Ground of a map's classes; shares of snow count as shares of ground."""

    snow_km2: float
    bare_km2: float


def map_area(product: Product) -> MapArea | None:
    """None of a product of several maps: they may lie over each other.

    Raises: BrokenRaster
    """
    return _measured(product.files[0]) if len(product.files) == 1 else None


def _measured(one: MapFile) -> MapArea:
    # By its pixels: the areas in our tags are copied by whatever cuts a map.
    snow_km2 = observed_km2 = 0.0
    with raster.settings(), one.file.opened() as file:
        grid = one.file.grid
        area = GroundArea(grid)
        for window in strips(grid.width, grid.height):
            layers, known = one.values.converted(*file.read(window))
            sums = np.zeros((2, 1, grid.width))  # ground changes so evenly that a strip's middle row stands for all
            along = slice(window.col_off, window.col_off + window.width)
            sums[:, 0, along] = layers[0].sum(axis=0, where=known, dtype=np.float64), known.sum(axis=0)
            middle = window.row_off + (window.height - 1) // 2
            snow_km2 += area.km2(sums[0], middle)
            observed_km2 += area.km2(sums[1], middle)
    return MapArea(snow_km2, observed_km2 - snow_km2)
