"""The snow line of cones, whose snow was put above a known elevation."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snowcover.data.terrain import rise_of
from snowcover.evaluate.bootstrap import BlockBootstrap
from snowcover.evaluate.snow_line import ASPECTS, BAND_M, SnowLineSums, snow_line_m
from snowcover.evaluate.strata import ASPECT, aspect_bins
from tests.evaluate.making import block_places

PIXEL_M, SIDE = 10.0, 300
STEPS_M = np.array([[PIXEL_M, 0.0], [0.0, -PIXEL_M]])
NORTH, SOUTH = 1 + ASPECT.labels.index("north"), 1 + ASPECT.labels.index("south")


@cache
def cone() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Elevation, aspect bin and block (6 x 6), each [N]: 3000 m high, falling 3 in 5 all around."""
    rows, cols = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    elevation = (3000 - 0.6 * PIXEL_M * np.hypot(rows, cols)).astype(np.float32)
    aspect = aspect_bins(rise_of(elevation, STEPS_M))
    block = np.kron(np.arange(36).reshape(6, 6), np.ones((SIDE // 6, SIDE // 6), int))
    return elevation.ravel(), aspect.ravel(), block.ravel()


def lines_of(**snow_shares: np.ndarray) -> SnowLineSums:
    elevation, aspect, block = cone()
    sums = SnowLineSums(snow_shares, 36, float(elevation.min()), float(elevation.max()))
    for part in np.array_split(np.arange(elevation.size), 3):  # in windows
        sums.add({name: one[part] for name, one in snow_shares.items()}, elevation[part], aspect[part], block[part])
    return sums


def found_in(snow_share: np.ndarray) -> np.ndarray:
    """Of all ground and of each aspect."""
    sums = lines_of(a=snow_share)
    return sums.statistic(sums.sums["a"].sum(axis=0))["snow_line_m"]


@settings(max_examples=8)
@given(st.floats(2300, 2800), st.floats(0, 0.2))
def test_the_line_of_a_cone_is_found_within_5_metres_through_salt_and_pepper(line: float, noise: float) -> None:
    elevation, _, _ = cone()
    snow = (elevation >= line) ^ (np.random.default_rng(1).random(elevation.size) < noise)
    found = found_in(snow.astype(np.float32))
    assert found.shape == (ASPECTS,)
    assert np.abs(found - line).max() < 5


def test_each_aspect_has_its_own_line_that_distinguishes_map_and_reference() -> None:
    elevation, aspect, _ = cone()
    shift = 40 * np.cos(np.pi / 4 * aspect)  # higher in the north
    sums = lines_of(
        reference=(elevation >= 2500 + shift).astype(np.float32), mapped=(elevation >= 2512 + shift).astype(np.float32)
    )
    reference, mapped = sums.sums["reference"], sums.sums["mapped"]
    bootstrap = BlockBootstrap(block_places(6), 100)
    lines = bootstrap.estimate(reference, sums.statistic)["snow_line_m"]
    assert lines.value[[NORTH, SOUTH]] == pytest.approx([2540, 2460], abs=5)
    assert lines.value[0] == pytest.approx(2500, abs=8)
    off = bootstrap.difference(mapped, reference, sums.statistic)["snow_line_m"]
    assert off.value[1:] == pytest.approx(12, abs=2)
    assert 0 < off.low[0] < off.value[0] < off.high[0]


def test_a_gradual_snow_cover_has_its_line_where_half_is_covered() -> None:
    elevation, _, _ = cone()
    share = 1 / (1 + np.exp(-(elevation - 2600) / 60))
    painted = (np.random.default_rng(0).random(elevation.size) < share).astype(np.float32)
    for covered in (share, painted):
        assert found_in(covered)[0] == pytest.approx(2600, abs=5)


@pytest.mark.parametrize("share", [0.0, 1.0, 0.4])
def test_uniform_ground_has_no_line(share: float) -> None:
    elevation, _, _ = cone()
    assert np.isnan(found_in(np.full(elevation.size, share, np.float32))).all()


def test_snow_that_lies_below_bare_ground_has_no_line() -> None:
    elevation, _, _ = cone()
    assert np.isnan(found_in((elevation < 2500).astype(np.float32))).all()


def test_between_bare_ground_and_snow_far_above_the_line_is_in_the_middle() -> None:
    bands = np.array([[0, 9], [0, 9], [0, 0], [0, 0], [9, 0]], float)
    assert snow_line_m(bands, 5 + BAND_M * np.arange(5)) == (15 + 45) / 2


def test_pixels_without_elevation_are_left_out() -> None:
    sums = SnowLineSums(["a"], 1, 0, 100)
    sums.add({"a": np.ones(3)}, np.array([np.nan, 50, np.nan]), np.array([0, -1, 1]), np.zeros(3, int))
    sums.add({"a": np.ones(1)}, np.array([np.nan]), np.array([0]), np.zeros(1, int))
    assert sums.sums["a"].sum(axis=(0, 2, 3)).tolist() == [1, *[0] * 8]
