"""Ground under snow, and what the map's errors make of it."""

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from snowcover.evaluate.area import adjusted_km2, error_adjusted_km2, pixel_areas_km2
from snowcover.evaluate.bootstrap import BlockBootstrap
from snowcover.predict.area import GroundArea
from snowcover.prepare.reprojection import Grid


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        (32611, Affine(3, 0, 280000, 0, -3, 4190000)),
        (4326, Affine(0.01, 0, -120, 0, -0.01, 70)),
        (3857, Affine(500, 0, -13300000, 0, -500, 9550000)),
        (32611, Affine(2, 2, 280000, 2, -2, 4190000)),
    ],
)
def test_the_pixels_of_a_window_have_the_ground_of_their_rows_in_any_grid(crs: int, transform: Affine) -> None:
    grid = Grid(CRS.from_epsg(crs), transform, 300, 200)
    areas = pixel_areas_km2(grid.crs, transform, 200, 300)
    assert areas.shape == (200, 300)
    assert areas.sum() == pytest.approx(GroundArea(grid).total_km2(), rel=1e-6)
    for row in (0, 57, 199):
        one = pixel_areas_km2(grid.crs, transform @ Affine.translation(0, row), 1, 300)
        assert areas[row] == pytest.approx(one[0], rel=1e-6)


def test_the_worked_example_of_olofsson_2014_is_found() -> None:
    # Their tables 8 and 9: deforestation among pixels mapped as deforestation, gain, stable forest, stable non-forest.
    pixel_ha = 0.09
    found = adjusted_km2(
        np.array([66.0, 0, 1, 2]), np.array([75.0, 75, 165, 325]), np.array([2e5, 1.5e5, 3.2e6, 6.45e6]) * pixel_ha
    )
    assert round(float(found)) == 21158


def test_the_interval_of_pixels_drawn_one_by_one_is_that_of_the_paper() -> None:
    rng = np.random.default_rng(4)
    mapped, wrong = rng.random(900) < 0.3, rng.random(900) < 0.15
    kind = np.where(mapped, np.where(wrong, 1, 0), np.where(wrong, 2, 3))
    counts = np.eye(4, dtype=np.int64)[kind]  # each pixel a block of its own
    apart = np.stack([np.arange(900) * 2, np.zeros(900, np.int64)], axis=1)
    found = BlockBootstrap(apart, 1500).estimate(counts, error_adjusted_km2(30, 70))["area_adjusted_km2"]
    tp, fp, fn, tn = counts.sum(axis=0)
    shares, pixels = np.array([tp / (tp + fp), fn / (fn + tn)]), np.array([tp + fp, fn + tn])
    assert found.value == pytest.approx(30 * shares[0] + 70 * shares[1])
    error = np.sqrt((np.array([30, 70]) ** 2 * shares * (1 - shares) / (pixels - 1)).sum())  # their equation 10
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * error, rel=0.06)


def test_a_map_without_errors_keeps_its_area_and_a_class_never_met_leaves_it_unknown() -> None:
    statistic = error_adjusted_km2(12.5, 80)
    found = statistic(np.array([[40, 0, 0, 60], [40, 0, 0, 0], [0, 0, 9, 90]]))["area_adjusted_km2"]
    assert found[0] == pytest.approx(12.5)
    assert np.isnan(found[1:]).all()
    everywhere = error_adjusted_km2(20, 0)(np.array([30, 10, 0, 0]))["area_adjusted_km2"]
    assert everywhere == pytest.approx(15)
