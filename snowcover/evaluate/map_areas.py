"""The snow area of whole maps, also beyond the reference."""

from dataclasses import dataclass

import numpy as np

from snowcover.evaluate.products import MapFile, Product
from snowcover.predict.area import GroundArea
from snowcover.prepare import raster
from snowcover.prepare.fill import strips


@dataclass(frozen=True)
class MapArea:
    """Area of a map's classes; pixels with a snow share are divided accordingly."""

    snow_km2: float
    bare_km2: float


def map_area(product: Product) -> MapArea | None:
    """The area of a product's map; None if it has several maps, which may overlap.

    Raises: BrokenRaster
    """
    return _measured(product.files[0]) if len(product.files) == 1 else None


def _measured(map_file: MapFile) -> MapArea:
    # Measured by pixels: a program that crops a map copies our tags with the old areas.
    snow_km2 = observed_km2 = 0.0
    with raster.settings(), map_file.file.opened() as file:
        grid = map_file.file.grid
        area = GroundArea(grid)
        for window in strips(grid.width, grid.height):
            layers, known = map_file.values.converted(*file.read(window))
            sums = np.zeros((2, 1, grid.width))  # pixel area varies so evenly that a strip's middle row stands for all
            along = slice(window.col_off, window.col_off + window.width)
            sums[:, 0, along] = layers[0].sum(axis=0, where=known, dtype=np.float64), known.sum(axis=0)
            middle = window.row_off + (window.height - 1) // 2
            snow_km2 += area.km2(sums[0], middle)
            observed_km2 += area.km2(sums[1], middle)
    return MapArea(snow_km2, observed_km2 - snow_km2)
