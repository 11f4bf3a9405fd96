"""Rasters brought to another grid: means exact, cells of their own, nothing paired wrongly."""

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.windows import Window

from snowcover.evaluate.align import Alignment, aligned
from snowcover.prepare.reprojection import Array, Grid, project

UTM = CRS.from_epsg(32611)
MERCATOR = CRS.from_epsg(3857)
TARGET = Grid(UTM, Affine(10, 0, 280000, 0, -10, 4190000), 40, 30)


def resampled(values: Array, source: Grid, target: Grid, observed: Array | None = None) -> Array:
    seen = np.ones(values.shape, bool) if observed is None else observed

    def read(window: Window) -> tuple[Array, Array]:
        rows, columns = window.toslices()
        return np.where(seen, values, 0)[None, rows, columns].astype(np.float32), seen[rows, columns]

    return aligned(read, Alignment(source, target), Window(0, 0, target.width, target.height), 1)[0]


def sharing(corners: Array, slope: float, level: float) -> Array:
    """Share of polygons [..., n, 2] below the line y = slope * x + level: exact, by clipping each in plain Python."""
    found = np.empty(corners.shape[:-2])
    for index in np.ndindex(found.shape):
        polygon = [tuple(point) for point in corners[index]]
        side = [y - slope * x - level for x, y in polygon]
        clipped = []
        for here, (point, above) in enumerate(zip(polygon, side, strict=True)):
            before, was = polygon[here - 1], side[here - 1]
            if (above < 0) != (was < 0):
                t = was / (was - above)
                clipped.append((before[0] + t * (point[0] - before[0]), before[1] + t * (point[1] - before[1])))
            if above < 0:
                clipped.append(point)
        found[index] = _area(clipped) / _area(polygon)
    return found


def _area(polygon: list[tuple[float, ...]]) -> float:
    turns = zip(polygon, polygon[1:] + polygon[:1], strict=True)
    return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in turns)) / 2 if polygon else 0.0


def test_a_map_on_the_same_grid_is_unchanged() -> None:
    values = np.random.default_rng(0).random((30, 40), np.float32)
    seen = values > 0.1
    assert np.array_equal(resampled(values, TARGET, TARGET, seen), np.where(seen, values, np.nan), equal_nan=True)
    shifted = TARGET._replace(transform=TARGET.transform * Affine.translation(-3, 5))
    found = resampled(values, shifted, TARGET)
    assert np.array_equal(found[5:, :37], values[:25, 3:])
    assert np.isnan(found[:5]).all() and np.isnan(found[:, 37:]).all()


@settings(max_examples=40)
@given(st.floats(0.7, 10), st.floats(0.7, 10), st.floats(-3, 3), st.floats(-3, 3), st.integers(0, 2**31), st.booleans())
def test_shares_of_a_finer_map_are_the_shares_of_area(
    width_m: float, height_m: float, left: float, top: float, seed: int, is_south_up: bool
) -> None:
    """Painted by hand: a sum over all pairs of pixels of what their boxes have in common."""
    rng = np.random.default_rng(seed)
    place = Affine(width_m, 0, 280000 + left, 0, -height_m, 4190000 + top)
    if is_south_up:
        place = Affine(width_m, 0, 280000 + left, 0, height_m, 4190000 - 40 + top)
    source = Grid(UTM, place, 50, 40)
    target = TARGET._replace(width=6, height=4)
    values, seen = rng.integers(0, 2, (40, 50)).astype(np.float32), rng.random((40, 50)) > 0.3

    def overlaps(first: float, step: float, count: int, first_t: float, step_t: float, count_t: int) -> Array:
        edges, edges_t = first + step * np.arange(count + 1), first_t + step_t * np.arange(count_t + 1)
        low, high = np.minimum(edges[1:], edges[:-1]), np.maximum(edges[1:], edges[:-1])
        low_t, high_t = np.minimum(edges_t[1:], edges_t[:-1]), np.maximum(edges_t[1:], edges_t[:-1])
        common = np.minimum(high[:, None], high_t) - np.maximum(low[:, None], low_t)
        return np.maximum(common, 0)  # [count, count_t]

    across = overlaps(place.c, place.a, 50, 280000, 10, 6)
    down = overlaps(place.f, place.e, 40, 4190000, -10, 4)
    weight = down.T @ seen.astype(float) @ across
    mean = down.T @ np.where(seen, values, 0.0) @ across / np.where(weight > 0, weight, np.nan)
    sure = np.abs(weight - 50) > 1e-3  # of a pixel of 100 m2, half observed: rounding decides
    found = resampled(values, source, target, seen)
    assert np.array_equal(np.isfinite(found)[sure], (weight >= 50)[sure])
    both = np.isfinite(found) & np.isfinite(mean)
    assert np.abs(found - mean)[both].max(initial=0) < 1e-6


@pytest.mark.parametrize("turn_deg", [0.0, 11.0, 90.0, 200.0])
def test_shares_are_exact_in_a_turned_grid_and_in_another_crs(turn_deg: float) -> None:
    """A half-plane painted along the source's own pixels; pixels of the target are quadrilaterals there."""
    target = Grid(MERCATOR, Affine(37, 0, -13242500, 0, -37, 4536000), 12, 9)
    x, y = project(MERCATOR, UTM, np.array([-13242500.0 + 6 * 37]), np.array([4536000.0 - 4.5 * 37]))[:, 0]
    middle = Affine.translation(x, y)
    source = Grid(UTM, middle * Affine.rotation(turn_deg) * Affine(3.1, 0, -930.7, 0, -3.1, 931.3), 600, 600)
    rows = np.repeat(np.arange(600)[:, None] < 303, 600, axis=1)
    corners = np.stack(Alignment(source, target).at(np.arange(13.0), np.arange(10.0)))
    quads = np.stack([corners[:, :-1, :-1], corners[:, :-1, 1:], corners[:, 1:, 1:], corners[:, 1:, :-1]])
    expected = sharing(np.moveaxis(quads, (0, 1), (2, 3)), 0.0, 303.0)
    found = resampled(rows.astype(np.float32), source, target)
    assert 0 < expected.mean() < 1
    assert np.abs(found - expected).max() < 1e-6


def test_a_coarser_map_gives_the_cell_that_a_centre_lies_in() -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4) / 12
    source = Grid(UTM, Affine(95, 0, 280003, 0, -95, 4189990), 4, 3)
    seen = values != values[1, 2]
    xs, ys = 280000 + 10 * (np.arange(40) + 0.5), 4190000 - 10 * (np.arange(30) + 0.5)
    columns, rows = np.floor((xs - 280003) / 95).astype(int), np.floor((4189990 - ys) / 95).astype(int)
    expected = np.full((30, 40), np.nan, np.float32)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            if 0 <= row < 3 and 0 <= column < 4 and seen[row, column]:
                expected[i, j] = values[row, column]
    assert np.array_equal(resampled(values, source, TARGET, seen), expected, equal_nan=True)


def test_positions_by_polynomial_are_those_of_the_projection() -> None:
    source = Grid(MERCATOR, Affine(4.8, 0, -13242500, 0, -4.8, 4536000), 4000, 4000)
    target = Grid(UTM, Affine(3, 0, 280000, 0, -3, 4190000), 4000, 4000)
    alignment = Alignment(source, target)
    columns, rows = np.arange(1000.0, 1500), np.arange(2000.0, 2400)
    assert np.abs(np.stack(alignment.at(columns, rows)) - alignment._lattice(columns, rows)).max() < 3e-6


def test_a_window_that_needs_much_of_the_source_is_made_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).random((60, 80), np.float32)
    source = TARGET._replace(transform=TARGET.transform * Affine.scale(0.5), width=80, height=60)
    whole = resampled(values, source, TARGET)
    monkeypatch.setattr("snowcover.evaluate.align.MAX_SOURCE_PX", 100)
    assert np.array_equal(resampled(values, source, TARGET), whole)


def test_separate_rasters_do_not_overlap() -> None:
    assert Alignment(TARGET, TARGET).overlaps()
    x, y = project(UTM, MERCATOR, np.array([281000.0]), np.array([4189000.0]))[:, 0]
    wide, small = TARGET._replace(width=400, height=300), Grid(MERCATOR, Affine(1, 0, x, 0, -1, y), 5, 5)
    assert Alignment(small, wide).overlaps()
    assert Alignment(wide, small).overlaps()
    assert not Alignment(TARGET._replace(transform=Affine(10, 0, 380000, 0, -10, 4190000)), TARGET).overlaps()
