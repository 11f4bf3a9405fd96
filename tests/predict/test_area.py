"""How much ground pixels cover, against the sphere's formula, the ellipsoid's surface and UTM's own metres."""

import math

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from snowcover.predict.area import GroundArea, pixel_size_m
from snowcover.predict.mapping import OutputGrid

TUOLUMNE = OutputGrid(CRS.from_epsg(32611), Affine(3, 0, 280000, 0, -3, 4190000), 1000, 700)


def test_all_degrees_add_up_to_the_area_of_the_earth() -> None:
    globe = OutputGrid(CRS.from_epsg(4326), Affine(1, 0, -180, 0, -1, 90), 360, 180)
    assert GroundArea(globe).total_km2() == pytest.approx(510_065_622, rel=1e-4)


def test_a_degree_at_60_north_is_what_geodesy_says() -> None:
    cell = OutputGrid(CRS.from_epsg(4326), Affine(0.1, 0, 10, 0, -0.1, 61), 10, 10)
    wanted = math.radians(1) * (zone_km2(61) - zone_km2(60))
    assert GroundArea(cell).total_km2() == pytest.approx(wanted, rel=1e-5)


def zone_km2(latitude: float) -> float:
    """Of WGS 84 from the equator to a latitude, for a radian of longitude: Snyder 1987, formula 3-12."""
    e, sine = math.sqrt(0.00669437999014), math.sin(math.radians(latitude))
    q = sine / (1 - (e * sine) ** 2) + math.log((1 + e * sine) / (1 - e * sine)) / (2 * e)
    return 6378.137**2 * (1 - e**2) * q / 2


def test_pixels_of_utm_are_their_metres_but_for_its_scale() -> None:
    assert GroundArea(TUOLUMNE).total_km2() == pytest.approx(6.3, rel=1e-3)


def test_web_mercator_is_not_taken_for_metres() -> None:
    latitude = math.radians(37.8)
    top = math.log(math.tan(math.pi / 4 + latitude / 2)) * 6378137
    grid = OutputGrid(CRS.from_epsg(3857), Affine(10, 0, -13300000, 0, -10, top), 100, 100)
    assert GroundArea(grid).total_km2() == pytest.approx(math.cos(latitude) ** 2, rel=5e-3)
    assert pixel_size_m(grid) == pytest.approx([10 * math.cos(latitude)] * 2, rel=5e-3)


def test_parts_add_up_to_the_whole() -> None:
    area = GroundArea(TUOLUMNE)
    rng = np.random.default_rng(0)
    mask = rng.random((700, 1000)) < 0.4
    whole = area.km2(mask, 0)
    parts = sum(area.km2(mask[row : row + 90], row) for row in range(0, 700, 90))
    assert parts == pytest.approx(whole, rel=1e-6)
    assert whole + area.km2(~mask, 0) == pytest.approx(area.total_km2(), rel=1e-6)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 1), (1, 50)])
def test_a_grid_of_few_pixels_has_their_area(width: int, height: int) -> None:
    grid = OutputGrid(TUOLUMNE.crs, TUOLUMNE.transform, width, height)
    assert GroundArea(grid).km2(np.ones((height, width), bool), 0) == pytest.approx(9e-6 * width * height, rel=1e-3)
