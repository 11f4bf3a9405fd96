"""Ground area of pixels in any CRS, on the WGS 84 ellipsoid."""

import math
from typing import TYPE_CHECKING

import numpy as np

from snowcover.prepare.reprojection import WGS84, Array, Floats, Grid, apply, project

if TYPE_CHECKING:  # imports torch, which areas do not need
    from snowcover.predict.mapping import OutputGrid

# Along a row the area of pixels varies so little that linear interpolation between these columns is exact to 1e-6.
KNOTS = 33
SEMI_MAJOR_M, ECCENTRICITY_2 = 6378137.0, 0.00669437999014  # of WGS 84


class GroundArea:
    """Ground area of the pixels of a grid, in square kilometres."""

    def __init__(self, grid: "OutputGrid | Grid") -> None:
        self._grid = Grid(grid.crs, grid.transform, grid.width, grid.height)
        self._knots: Floats = np.linspace(0.5, max(grid.width - 0.5, 0.5), min(KNOTS, max(grid.width, 2)))
        centres: Floats = np.clip(np.arange(grid.width) + 0.5, self._knots[0], self._knots[-1])
        step = self._knots[1] - self._knots[0]
        # Weights [K, W] of linear interpolation between the knots.
        hats = np.maximum(1 - np.abs(centres - self._knots[:, None]) / step, 0) if step else np.ones((2, 1)) / 2
        self._hats = hats.astype(np.float32)

    def km2(self, mask: Array, first_row: int) -> float:
        """Area of the pixels where a mask [H, W] is true; the mask covers whole rows from `first_row` on."""
        at_knots = mask.astype(np.float32) @ self._hats.T  # [H, K], number of pixels next to each knot
        return float((at_knots * self._pixel_km2(np.arange(first_row, first_row + len(mask)))).sum())

    def total_km2(self) -> float:
        """Area of all pixels."""
        at_knots: Floats = self._hats.sum(axis=1, dtype=np.float64)
        rows = np.arange(self._grid.height)
        return float(
            sum((at_knots * self._pixel_km2(part)).sum() for part in np.array_split(rows, len(rows) // 256 + 1))
        )

    def pixels_km2(self, first_row: int, height: int) -> Floats:
        """Area of each pixel of whole rows from `first_row` on, [height, W]; interpolated between KNOTS rows."""
        knots: Floats = np.linspace(first_row, first_row + max(height - 1, 0), min(KNOTS, height))
        at_knots = self._pixel_km2(knots) @ self._hats
        place = np.interp(np.arange(height), knots - first_row, np.arange(len(knots)))
        before = np.minimum(place.astype(np.int64), max(len(knots) - 2, 0))
        after = np.minimum(before + 1, len(knots) - 1)
        share = (place - before)[:, None]
        return np.asarray(at_knots[before] * (1 - share) + at_knots[after] * share)

    def _pixel_km2(self, rows: Array) -> Floats:
        """Area [H, K] of the pixels at the knots; 0 where the CRS has no ground."""
        columns, lines = np.meshgrid(self._knots, rows + 0.5)
        across, down = (self._step(columns, lines, *half) for half in ((0.5, 0.0), (0.0, 0.5)))
        _, latitudes = self._lonlat(columns, lines)
        determinant: Floats = np.abs(across[0] * down[1] - across[1] * down[0])
        return np.nan_to_num(determinant * _radian_km2(latitudes), nan=0, posinf=0)

    def _step(self, columns: Floats, rows: Floats, half_x: float, half_y: float) -> Floats:
        """Difference of longitude and latitude over a pixel, [2, ...] in degrees."""
        after, before = self._lonlat(columns + half_x, rows + half_y), self._lonlat(columns - half_x, rows - half_y)
        with np.errstate(invalid="ignore"):
            step = after - before
            step[0] = (step[0] + 180) % 360 - 180
        return step

    def _lonlat(self, columns: Floats, rows: Floats) -> Floats:
        places = apply(self._grid.transform, columns.ravel(), rows.ravel())
        return project(self._grid.crs, WGS84, *places).reshape(2, *columns.shape)


def _radian_km2(latitudes: Floats) -> Floats:
    """Area of one degree by one degree at latitudes in degrees."""
    with np.errstate(invalid="ignore"):
        phi = np.radians(latitudes)
        curved = 1 - ECCENTRICITY_2 * np.sin(phi) ** 2
        meridional, normal = SEMI_MAJOR_M * (1 - ECCENTRICITY_2) / curved**1.5, SEMI_MAJOR_M / np.sqrt(curved)
        return meridional * normal * np.cos(phi) * math.radians(1) ** 2 / 1e6


def pixel_size_m(grid: "OutputGrid | Grid") -> tuple[float, float]:
    """Width and height on the ground of the pixel in a grid's middle, for the scale bar of a picture."""
    width, height = np.hypot(*pixel_steps_m(grid).T)
    return float(width), float(height)


def pixel_steps_m(grid: "OutputGrid | Grid") -> Floats:
    """Metres to the east and to the north of one column and of one row, [2, 2], in a grid's middle."""
    area = GroundArea(grid)
    middle = np.array([[grid.width / 2]]), np.array([[grid.height / 2]])
    latitude = np.radians(area._lonlat(*middle)[1, 0, 0])
    curved = 1 - ECCENTRICITY_2 * math.sin(latitude) ** 2
    east, north = (
        SEMI_MAJOR_M / math.sqrt(curved) * math.cos(latitude),
        SEMI_MAJOR_M * (1 - ECCENTRICITY_2) / curved**1.5,
    )
    steps = [area._step(*middle, *half)[:, 0, 0] for half in ((0.5, 0.0), (0.0, 0.5))]
    return np.radians(steps) * (east, north)
