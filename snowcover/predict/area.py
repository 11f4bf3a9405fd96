"""How much ground pixels cover, in any CRS: on the WGS 84 ellipsoid, pixel by pixel."""

import math

import numpy as np

from snowcover.predict.mapping import OutputGrid
from snowcover.prepare.positions import WGS84, Array, Floats, Grid, apply, project

# Along a row the area of a pixel bends so little that straight lines between these columns are exact to 1e-6.
KNOTS = 33
SEMI_MAJOR_M, ECCENTRICITY_2 = 6378137.0, 0.00669437999014  # of WGS 84


class GroundArea:
    """Square kilometres below the pixels of a grid."""

    def __init__(self, grid: OutputGrid) -> None:
        self._grid = Grid(grid.crs, grid.transform, grid.width, grid.height)
        self._knots: Floats = np.linspace(0.5, max(grid.width - 0.5, 0.5), min(KNOTS, max(grid.width, 2)))
        centres: Floats = np.clip(np.arange(grid.width) + 0.5, self._knots[0], self._knots[-1])
        step = self._knots[1] - self._knots[0]
        # Weights [K, W] of linear interpolation between the knots.
        hats = np.maximum(1 - np.abs(centres - self._knots[:, None]) / step, 0) if step else np.ones((2, 1)) / 2
        self._hats = hats.astype(np.float32)

    def km2(self, mask: Array, first_row: int) -> float:
        """Of the pixels where a mask [H, W], whole rows from `first_row` on, is true."""
        at_knots = mask.astype(np.float32) @ self._hats.T  # [H, K], pixels that lie next to each knot
        return float((at_knots * self._pixel_km2(np.arange(first_row, first_row + len(mask)))).sum())

    def total_km2(self) -> float:
        """Of all pixels."""
        at_knots: Floats = self._hats.sum(axis=1, dtype=np.float64)
        rows = np.arange(self._grid.height)
        return float(
            sum((at_knots * self._pixel_km2(part)).sum() for part in np.array_split(rows, len(rows) // 256 + 1))
        )

    def _pixel_km2(self, rows: Array) -> Floats:
        """[H, K], of the pixels at the knots; 0 where the CRS has no ground."""
        columns, lines = np.meshgrid(self._knots, rows + 0.5)
        across, down = (self._step(columns, lines, *half) for half in ((0.5, 0.0), (0.0, 0.5)))
        _, latitudes = self._lonlat(columns, lines)
        determinant: Floats = np.abs(across[0] * down[1] - across[1] * down[0])
        return np.nan_to_num(determinant * _radian_km2(latitudes), nan=0, posinf=0)

    def _step(self, columns: Floats, rows: Floats, half_x: float, half_y: float) -> Floats:
        """Longitude and latitude that a pixel spans, [2, ...] in degrees."""
        after, before = self._lonlat(columns + half_x, rows + half_y), self._lonlat(columns - half_x, rows - half_y)
        with np.errstate(invalid="ignore"):
            step = after - before
            step[0] = (step[0] + 180) % 360 - 180
        return step

    def _lonlat(self, columns: Floats, rows: Floats) -> Floats:
        places = apply(self._grid.transform, columns.ravel(), rows.ravel())
        return project(self._grid.crs, WGS84, *places).reshape(2, *columns.shape)


def _radian_km2(latitudes: Floats) -> Floats:
    """Ground of one degree by one degree at latitudes in degrees."""
    with np.errstate(invalid="ignore"):
        phi = np.radians(latitudes)
        curved = 1 - ECCENTRICITY_2 * np.sin(phi) ** 2
        meridional, normal = SEMI_MAJOR_M * (1 - ECCENTRICITY_2) / curved**1.5, SEMI_MAJOR_M / np.sqrt(curved)
        return meridional * normal * np.cos(phi) * math.radians(1) ** 2 / 1e6


def pixel_size_m(grid: OutputGrid) -> tuple[float, float]:
    """Width and height on the ground of the pixel in a grid's middle, for a picture's scale bar."""
    area = GroundArea(grid)
    middle = np.array([[grid.width / 2]]), np.array([[grid.height / 2]])
    latitude = np.radians(area._lonlat(*middle)[1, 0, 0])
    curved = 1 - ECCENTRICITY_2 * math.sin(latitude) ** 2
    east, north = (
        SEMI_MAJOR_M / math.sqrt(curved) * math.cos(latitude),
        SEMI_MAJOR_M * (1 - ECCENTRICITY_2) / curved**1.5,
    )
    sizes = []
    for half in ((0.5, 0.0), (0.0, 0.5)):
        longitudes, latitudes = np.radians(area._step(*middle, *half)[:, 0, 0])
        sizes.append(math.hypot(longitudes * east, latitudes * north))
    return sizes[0], sizes[1]
