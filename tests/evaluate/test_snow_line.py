"""The snow line of cones, whose snow was put above a known elevation."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snowcover.evaluate.bootstrap import BlockBootstrap
from snowcover.evaluate.snow_line import ASPECTS, BAND_M, SnowLineSums, snow_line_m
from snowcover.evaluate.strata import ASPECT, aspect_bins
from snowcover.evaluate.terrain import slope_and_aspect
from tests.evaluate.making import block_places

PIXEL_M, SIDE = 10.0, 300
STEPS_M = np.array([[PIXEL_M, 0.0], [0.0, -PIXEL_M]])
NORTH, SOUTH = 1 + ASPECT.labels.index("north"), 1 + ASPECT.labels.index("south")


@cache
def cone() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Elevation, aspect bin and block (6 x 6), each [N]: 3000 m high, falling 3 in 5 all around."""
    rows, cols = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    elevation = (3000 - 0.6 * PIXEL_M * np.hypot(rows, cols)).astype(np.float32)
    slope, aspect = slope_and_aspect(elevation, STEPS_M)
    block = np.kron(np.arange(36).reshape(6, 6), np.ones((SIDE // 6, SIDE // 6), int))
    return elevation.ravel(), aspect_bins(aspect, slope).ravel(), block.ravel()


def lines_of(snow_share: np.ndarray, blocks: int = 36) -> SnowLineSums:
    elevation, aspect, block = cone()
    sums = SnowLineSums(blocks, float(elevation.min()), float(elevation.max()))
    for part in np.array_split(np.arange(elevation.size), 3):  # in windows
        sums.add(snow_share[part], elevation[part], aspect[part], block[part])
    return sums


@settings(deadline=None, max_examples=8)
@given(st.floats(2300, 2800), st.floats(0, 0.2))
def test_the_line_of_a_cone_is_found_within_5_metres_through_salt_and_pepper(line: float, noise: float) -> None:
    elevation, _, _ = cone()
    snow = (elevation >= line) ^ (np.random.default_rng(1).random(elevation.size) < noise)
    sums = lines_of(snow.astype(np.float32))
    found = sums.statistic(sums.sums.sum(axis=0))["snow_line_m"]
    assert found.shape == (ASPECTS,)
    assert np.abs(found - line).max() < 5


def test_each_aspect_has_its_own_line_and_a_map_is_told_from_the_reference_by_it() -> None:
    elevation, aspect, _ = cone()
    reference = lines_of(
        (elevation >= 2500 + 40 * np.cos(np.pi / 4 * aspect)).astype(np.float32)
    )  # higher in the north
    mapped = lines_of((elevation >= 2512 + 40 * np.cos(np.pi / 4 * aspect)).astype(np.float32))
    bootstrap = BlockBootstrap(block_places(6), 100)
    lines = bootstrap.estimate(reference.sums, reference.statistic)["snow_line_m"]
    assert lines.value[[NORTH, SOUTH]] == pytest.approx([2540, 2460], abs=5)
    assert lines.value[0] == pytest.approx(2500, abs=8)
    off = bootstrap.difference(mapped.sums, reference.sums, mapped.statistic)["snow_line_m"]
    assert off.value[1:] == pytest.approx(12, abs=2)
    assert 0 < off.low[0] < off.value[0] < off.high[0]


def test_a_gradual_snow_cover_has_its_line_where_half_is_covered() -> None:
    elevation, _, _ = cone()
    share = 1 / (1 + np.exp(-(elevation - 2600) / 60))
    painted = (np.random.default_rng(0).random(elevation.size) < share).astype(np.float32)
    for covered in (share, painted):
        sums = lines_of(covered)
        assert sums.statistic(sums.sums.sum(axis=0))["snow_line_m"][0] == pytest.approx(2600, abs=5)


@pytest.mark.parametrize("share", [0.0, 1.0, 0.4])
def test_ground_that_is_all_alike_has_no_line(share: float) -> None:
    elevation, _, _ = cone()
    sums = lines_of(np.full(elevation.size, share, np.float32))
    assert np.isnan(sums.statistic(sums.sums.sum(axis=0))["snow_line_m"]).all()


def test_snow_that_lies_below_bare_ground_has_no_line() -> None:
    elevation, _, _ = cone()
    sums = lines_of((elevation < 2500).astype(np.float32))
    assert np.isnan(sums.statistic(sums.sums.sum(axis=0))["snow_line_m"]).all()


def test_between_bare_ground_and_snow_far_above_the_line_is_in_the_middle() -> None:
    bands = np.array([[0, 9], [0, 9], [0, 0], [0, 0], [9, 0]], float)
    assert snow_line_m(bands, 5 + BAND_M * np.arange(5)) == (15 + 45) / 2


def test_pixels_without_elevation_are_left_out() -> None:
    sums = SnowLineSums(1, 0, 100)
    sums.add(np.ones(3), np.array([np.nan, 50, np.nan]), np.array([0, -1, 1]), np.zeros(3, int))
    sums.add(np.ones(1), np.array([np.nan]), np.array([0]), np.zeros(1, int))
    assert sums.sums.sum(axis=(0, 2, 3)).tolist() == [1, *[0] * 8]
