"""Which pixel is in which bin, and how far it lies from an edge."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from snowcover.evaluate import strata
from snowcover.evaluate.bootstrap import Estimate
from snowcover.evaluate.distance import HALO_M, canopy_edge_m, halo_px, snow_edge_m
from tests.evaluate.making import facing

ALL = (
    strata.CANOPY_HEIGHT,
    strata.CANOPY_EDGE,
    strata.ELEVATION,
    strata.SLOPE,
    strata.ASPECT,
    strata.ILLUMINATION,
    strata.SNOW_DEPTH,
    strata.SNOW_EDGE,
    strata.DATE_GAP,
)


@pytest.mark.parametrize("stratum", ALL, ids=lambda stratum: stratum.name)
def test_a_value_lies_in_the_bin_whose_edges_are_around_it(stratum: strata.Stratum) -> None:
    assert len(stratum.labels) == len(stratum.edges) - 1 == len(set(stratum.labels))
    rng = np.random.default_rng(3)
    finite = [edge for edge in stratum.edges if np.isfinite(edge)]
    drawn = rng.uniform(min(finite) - 5, max(finite) + 5, (20, 50))
    values = np.concatenate([drawn.ravel(), finite, [np.nan, np.inf, -np.inf]]).astype(np.float32)
    bins = strata.bins_of(stratum, values)
    assert bins.dtype == np.int16
    edges = np.float32(stratum.edges)
    expected = np.digitize(values, edges) - 1
    expected[~((values >= edges[0]) & (values < edges[-1]))] = -1
    if np.isposinf(edges[-1]):
        expected[values == np.inf] = len(stratum.labels) - 1
    assert (bins == expected).all()


@pytest.mark.parametrize(
    ("stratum", "value", "label"),
    [
        (strata.CANOPY_HEIGHT, 0.0, "0-0.5 m"),
        (strata.CANOPY_HEIGHT, 2.0, "2-5 m"),
        (strata.CANOPY_HEIGHT, 61.0, "20 m or more"),
        (strata.CANOPY_EDGE, -4.0, "under canopy, 3-6 m"),
        (strata.CANOPY_EDGE, 14.9, "open, 10-15 m"),
        (strata.CANOPY_EDGE, np.inf, "open, 27 m or more"),
        (strata.CANOPY_EDGE, -np.inf, "under canopy, 27 m or more"),
        (strata.ELEVATION, 2750.0, "2,700-2,800 m"),
        (strata.ELEVATION, -12.0, "-100-0 m"),
        (strata.SLOPE, 30.0, "30-40°"),
        (strata.ILLUMINATION, -0.2, "cos(i) 0 or less (shade)"),
        (strata.SNOW_DEPTH, 0.1, "0.1-0.2 m"),
        (strata.SNOW_EDGE, 1.5, "0-3 m"),
        (strata.DATE_GAP, 0.0, "same day"),
        (strata.scene_stratum(["a", "b"]), 1.0, "b"),
        (strata.scene_stratum(["a", "b"]), 2.0, None),
        (strata.SNOW_DEPTH, np.nan, None),
    ],
)
def test_bins_are_those_of_the_field(stratum: strata.Stratum, value: float, label: str | None) -> None:
    found = int(strata.bins_of(stratum, np.array([value], np.float32))[0])
    assert (stratum.labels[found] if found >= 0 else None) == label


def test_north_lies_on_both_sides_of_0_degrees_and_level_ground_has_no_aspect() -> None:
    aspect = np.array([350, 10, 22.4, 22.6, 180, 337.6, 337.4, np.nan, 90])
    slope = np.array([20, 20, 20, 20, 20, 20, 20, 0, 1.9])
    bins = strata.aspect_bins(facing(slope, aspect))
    found = [strata.ASPECT.labels[one] if one >= 0 else None for one in bins]
    assert found == ["north"] * 3 + ["north-east", "south", "north", "north-west", None, None]


def test_bins_of_slope_and_aspect_are_those_of_the_angles() -> None:
    rng = np.random.default_rng(6)
    slope, aspect = rng.uniform(2.1, 60, 2000), rng.uniform(0, 360, 2000)
    rise = facing(slope, aspect)
    assert (strata.slope_bins(rise) == strata.bins_of(strata.SLOPE, slope)).all()
    assert (strata.aspect_bins(rise) == strata.bins_of(strata.ASPECT, (aspect + 22.5) % 360)).all()
    unknown = facing([np.nan, 0], [0, 0])
    assert strata.slope_bins(unknown).tolist() == [-1, 0]
    assert strata.aspect_bins(unknown).tolist() == [-1, -1]


def test_bins_of_under_1000_pixels_are_blank() -> None:
    ones = np.ones(3)
    found = strata.blank_small_bins(Estimate(ones, ones, ones, np.array([40] * 3)), np.array([999, 1000, 10**9]))
    for values in (found.value, found.low, found.high):
        assert np.isfinite(values).tolist() == [False, True, True]


pixel_sizes = st.sampled_from([(3.0, 3.0), (2.0, 3.0), (0.5, 0.5)])


@settings(max_examples=40)
@given(arrays.arrays(np.uint8, (7, 9), elements=st.sampled_from([0, 1, 255])), pixel_sizes)
def test_distances_to_the_edge_of_snow_are_those_of_all_pairs(snow: np.ndarray, pixel_m: tuple[float, float]) -> None:
    found = snow_edge_m(snow, pixel_m)
    rows, cols = np.indices(snow.shape)
    for row, col in np.ndindex(snow.shape):
        if snow[row, col] == 255:
            assert np.isnan(found[row, col])
            continue
        others = snow == 1 - snow[row, col]
        metres = np.hypot((cols - col)[others] * pixel_m[0], (rows - row)[others] * pixel_m[1])
        assert found[row, col] == pytest.approx(metres.min(initial=np.inf) - min(pixel_m) / 2, rel=1e-5)


def test_an_edge_of_canopy_has_two_sides() -> None:
    height = np.array([[0.0, 1.9, 2.0, 15.0, np.nan, 3.0, 0.0]], np.float32)
    assert canopy_edge_m(height, (3, 3))[0].tolist() == pytest.approx(
        [4.5, 1.5, -1.5, -4.5, np.nan, -1.5, 1.5], nan_ok=True
    )
    open_ground = canopy_edge_m(np.zeros((2, 2), np.float32), (3, 3))
    assert np.isposinf(open_ground).all()
    assert np.isneginf(canopy_edge_m(np.full((2, 2), 9, np.float32), (3, 3))).all()


@pytest.mark.parametrize("share", [0.0, 0.002])
@pytest.mark.parametrize("pixel_m", [(3.0, 3.0), (0.7, 0.5)])
def test_a_window_with_its_halo_has_the_bins_of_the_whole(pixel_m: tuple[float, float], share: float) -> None:
    rng = np.random.default_rng(1)
    snow = (rng.random((150, 150)) < share).astype(np.uint8)
    snow[0, 0] = 1  # far off the window
    halo = halo_px(pixel_m)
    whole = strata.bins_of(strata.SNOW_EDGE, snow_edge_m(snow, pixel_m))
    first, last = 70, 80
    window = np.s_[first - halo : last + halo, first - halo : last + halo]
    part = strata.bins_of(strata.SNOW_EDGE, snow_edge_m(snow[window], pixel_m))
    assert (part[halo:-halo, halo:-halo] == whole[first:last, first:last]).all()
    assert HALO_M > 27
