"""Slope, aspect and light, on planes and under a sun whose places are known."""

import math
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from snowcover.data.dates import instant_in
from snowcover.data.terrain import Rise, downhill, illumination, pixel_m, rise_downhill, rise_of, sun_position
from snowcover.data.tiles import Tile, bounds
from snowcover.predict.area import pixel_steps_m
from snowcover.prepare.reprojection import Grid
from tests.evaluate.making import facing

NORTH_UP = np.array([[3.0, 0.0], [0.0, -3.0]])


def slope_and_aspect(rise: Rise) -> tuple[np.ndarray, np.ndarray]:
    """Degrees; aspect clockwise from north."""
    slope = np.degrees(np.arctan(np.hypot(rise.east, rise.north)))
    return slope, np.degrees(np.arctan2(-rise.east, -rise.north)) % 360


@given(st.floats(1, 70), st.floats(0, 359.9), st.floats(0, 359.9), st.booleans())
def test_a_plane_has_its_slope_and_faces_downhill_in_any_grid(
    slope_deg: float, aspect_deg: float, turned_deg: float, mirrored: bool
) -> None:
    turn, faces = math.radians(turned_deg), math.radians(aspect_deg)
    steps = np.array([[math.cos(turn), math.sin(turn)], [math.sin(turn), -math.cos(turn)]]) * [[2.0], [3.0]]
    steps[1] *= -1 if mirrored else 1
    rows, cols = np.indices((5, 6))
    east, north = (cols * steps[0, axis] + rows * steps[1, axis] for axis in range(2))
    plane = -math.tan(math.radians(slope_deg)) * (east * math.sin(faces) + north * math.cos(faces))
    slope, aspect = slope_and_aspect(rise_of(plane.astype(np.float32), steps))
    assert slope[1:-1, 1:-1] == pytest.approx(slope_deg, abs=0.01)
    off = (aspect[1:-1, 1:-1] - aspect_deg + 180) % 360 - 180
    assert np.abs(off).max() < 0.02
    assert np.isnan(slope[[0, -1]]).all() and np.isnan(slope[:, [0, -1]]).all()


def test_slopes_are_horns() -> None:
    # By hand: right (30 + 2 * 24 + 18) - (10 + 2 * 12 + 14), down (14 + 2 * 16 + 18) - (10 + 2 * 20 + 30).
    window = np.array([[10, 20, 30], [12, 99, 24], [14, 16, 18]], np.float32)
    rise = rise_of(window, NORTH_UP)
    assert (rise.east[1, 1], rise.north[1, 1]) == (pytest.approx(48 / 24), pytest.approx(16 / 24))


def test_ground_next_to_a_hole_and_on_the_rim_is_unknown_and_level_ground_does_not_rise() -> None:
    height = np.zeros((5, 7), np.float32)
    height[2, 2] = np.nan
    for rise in rise_of(height, NORTH_UP):
        assert np.isnan(rise[1:4, 1:4]).all()
        assert (rise[1:4, 4:6] == 0).all()
        assert np.isnan(rise[[0, -1]]).all() and np.isnan(rise[:, [0, -1]]).all()
    assert np.isnan(rise_of(np.zeros((2, 9), np.float32), NORTH_UP)).all()


@pytest.mark.parametrize(
    ("crs", "transform", "size_m", "turned_deg"),
    [
        (32611, Affine(3, 0, 280000, 0, -3, 4190000), (3.0, 3.0), -1.53),  # west of its zone's middle
        (4326, Affine(1e-4, 0, -119.5, 0, -1e-4, 60), (5.58, 11.14), 0.0),
        (3857, Affine(10, 0, -13300000, 0, -10, 4550000), (7.91, 7.91), 0.0),
        (3413, Affine(100, 0, 2000000, 0, -100, 0), (100.5, 100.5), 90.0),  # polar, on the meridian of 45 degrees east
        (32611, Affine(3, 0, 280000, 0, 3, 4190000), (3.0, 3.0), -1.53),  # rows go north
    ],
)
def test_a_column_and_a_row_are_so_many_metres_to_the_east_and_to_the_north(
    crs: int, transform: Affine, size_m: tuple[float, float], turned_deg: float
) -> None:
    steps = pixel_steps_m(Grid(CRS.from_epsg(crs), transform, 10, 10))
    assert np.hypot(*steps.T) == pytest.approx(size_m, rel=0.02)
    east, north = np.sign(transform.e) * steps[1]
    assert (math.degrees(math.atan2(east, north)) - turned_deg + 180) % 360 - 180 == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize(
    ("time", "place", "zenith", "azimuth"),
    [
        # Reda & Andreas 2004, NREL/TP-560-34302, table A5.1, elevation without refraction (39.872046 degrees)
        (datetime(2003, 10, 17, 19, 30, 30, tzinfo=UTC), (-105.1786, 39.742476), 50.127954, 194.340241),
        (datetime(2018, 6, 21, 12, 0, tzinfo=UTC), (0.45, 90.0), 90 - 23.434, None),  # solstice at the pole
        (datetime(2018, 3, 20, 16, 15, tzinfo=UTC), (0.0, 90.0), 90.0, None),  # and equinox
    ],
)
def test_the_sun_is_where_almanacs_have_it(
    time: datetime, place: tuple[float, float], zenith: float, azimuth: float | None
) -> None:
    found = sun_position(time, *place)
    assert found[0] == pytest.approx(zenith, abs=0.02)
    if azimuth is not None:
        assert found[1] == pytest.approx(azimuth, abs=0.02)


def test_the_sun_is_where_planet_says_that_it_was(shared_data: Path) -> None:
    text = (shared_data / "planetscope_scene/20170831_172754_101c_3B_AnalyticMS_metadata.xml").read_text()
    azimuth, elevation = (
        float(re.findall(rf"illumination{angle}Angle[^>]*>([^<]+)<", text)[0]) for angle in ("Azimuth", "Elevation")
    )
    time = instant_in("20170831_172754_101c")
    assert time is not None
    found = sun_position(time, -95.911, 29.5675)  # the middle of its footprint, 25 km wide
    assert found == (pytest.approx(90 - elevation, abs=0.2), pytest.approx(azimuth, abs=0.4))


@given(st.floats(1, 80), st.floats(0, 359.9))
def test_slope_and_aspect_are_the_rise_and_back(slope: float, aspect: float) -> None:
    rise = facing(slope, aspect)
    found = downhill(rise)
    assert found[0] == pytest.approx(slope, abs=0.01)
    off = (np.degrees(np.arctan2(found[1], found[2])) - aspect + 180) % 360 - 180
    assert np.abs(off).max() < 0.01
    np.testing.assert_allclose(np.stack(rise_downhill(*found)), np.stack(rise), rtol=1e-3, atol=1e-5)


def test_pixels_of_a_tile_are_as_large_as_those_of_its_raster() -> None:
    tile = Tile(12, 686, 1581)  # of 38 degrees north
    left, bottom, right, top = bounds(tile)
    grid = Grid(CRS.from_epsg(3857), Affine((right - left) / 65, 0, left, 0, (bottom - top) / 65, top), 65, 65)
    east, north = pixel_m(tile, 65)
    steps = pixel_steps_m(grid)
    assert (east[32], north[32]) == (pytest.approx(steps[0, 0], rel=1e-6), pytest.approx(-steps[1, 1], rel=1e-6))
    assert (np.diff(east) > 0).all()  # larger to the south


def test_the_same_moment_in_another_offset_is_the_same_sun_and_one_without_is_refused() -> None:
    here = datetime(2018, 5, 28, 18, 30, tzinfo=UTC)
    assert sun_position(here, -119.4, 37.9) == sun_position(
        here.astimezone(timezone(timedelta(hours=-8))), -119.4, 37.9
    )
    with pytest.raises(ValueError, match="offset from UTC"):
        sun_position(here.replace(tzinfo=None), -119.4, 37.9)


@given(st.floats(0, 80), st.floats(0, 360), st.floats(0, 90), st.floats(0, 360))
def test_illumination_is_the_cosine_between_sun_and_ground(
    slope: float, aspect: float, zenith: float, azimuth: float
) -> None:
    def direction(from_up: float, from_north: float) -> list[float]:
        up, north = math.radians(from_up), math.radians(from_north)
        return [math.sin(up) * math.sin(north), math.sin(up) * math.cos(north), math.cos(up)]

    found = illumination(facing(slope, aspect), zenith, azimuth)
    assert found[0] == pytest.approx(np.dot(direction(slope, aspect), direction(zenith, azimuth)), abs=1e-5)


def test_level_ground_is_lit_by_the_height_of_the_sun_and_unknown_ground_is_unknown() -> None:
    assert illumination(Rise(np.float32([0]), np.float32([0])), 60, 180)[0] == pytest.approx(0.5)
    assert np.isnan(illumination(Rise(np.float32([np.nan]), np.float32([0])), 60, 180)).all()
