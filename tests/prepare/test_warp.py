"""A raster whose values say where they are must say so after the warp."""

import math

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.warp import transform
from rasterio.windows import Window

from snowcover.data.tiles import bounds
from snowcover.prepare.reprojection import WEB_MERCATOR, Grid, source_positions
from snowcover.prepare.warp import warp
from snowcover.prepare.zoom import candidates


class Held:
    """A source in memory: values [H, W, C], valid [H, W]."""

    def __init__(
        self, grid: Grid, values: np.ndarray, valid: np.ndarray, continuous: bool = True, nodata: float = 0
    ) -> None:
        self.grid, self.values, self.valid, self.continuous, self.nodata = grid, values, valid, continuous, nodata
        self.bands, self.dtype = values.shape[2], str(values.dtype)

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        cut = np.s_[
            window.row_off : window.row_off + window.height, window.col_off : window.col_off + window.width
        ]  # fmt: skip
        valid = self.valid[cut].astype(np.uint8)
        return np.where(valid[..., None] == 1, self.values[cut], 0).astype(self.dtype), valid


# (CRS, x and y of the upper left corner, metres in one unit of the CRS)
PLACES = [
    ("EPSG:32611", 280000.0, 4190000.0, 1.0),
    ("EPSG:32719", 400000.0, 6300000.0, 1.0),
    ("EPSG:3857", -13000000.0, 4500000.0, 1.0),
    ("EPSG:4326", 86.8, 28.1, 111000.0),
]


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    crs, left, top, unit_m = draw(st.sampled_from(PLACES))
    pixel = draw(st.floats(2.0, 60.0)) / unit_m
    width, height = draw(st.integers(20, 300)), draw(st.integers(20, 300))
    rotation = draw(st.sampled_from([0.0, 0.0, 7.0]))
    place = Affine.translation(left, top) * Affine.rotation(rotation) * Affine.scale(pixel, -pixel)
    return Grid(CRS.from_user_input(crs), place, width, height)


def encoding_position(grid: Grid) -> Held:
    """Band 1 is the column of a pixel's centre, band 2 its row."""
    rows, columns = np.mgrid[: grid.height, : grid.width] + 0.5
    values = np.dstack([columns, rows]).astype(np.float32)
    return Held(grid, values, np.ones(columns.shape, bool), nodata=-1)


def true_places(grid: Grid, box: tuple[float, float, float, float], size_px: int) -> np.ndarray:
    """Columns and rows [2, size_px, size_px] of the pixel centres, each one projected by itself."""
    left, bottom, right, top = box
    at = (np.arange(size_px) + 0.5) / size_px
    xs, ys = np.meshgrid(left + at * (right - left), top - at * (top - bottom))
    x, y = (np.asarray(p) for p in transform(WEB_MERCATOR, grid.crs, xs.ravel(), ys.ravel()))
    back = ~grid.transform
    places = np.stack([back.a * x + back.b * y + back.c, back.d * x + back.e * y + back.f])
    return places.reshape(2, size_px, size_px)


@settings(max_examples=40)
@given(grids(), st.integers(9, 16), st.sampled_from([64, 100, 256]), st.randoms())
def test_every_pixel_is_in_its_place_within_half_a_pixel(grid: Grid, zoom: int, size_px: int, random) -> None:
    tile = random.choice(candidates(grid, zoom))
    values, observed = warp(encoding_position(grid), tile, size_px)
    columns, rows = true_places(grid, bounds(tile), size_px)
    seen = observed == 1
    for band, places, length in ((0, columns, grid.width), (1, rows, grid.height)):
        # Half a pixel: of the source, or of the tile where that is the coarser one. At an edge of the raster, a mean
        # over many source pixels is one over those that exist, which lies further in.
        span = max(1.0, math.hypot(places[0, 1] - places[0, 0], places[1, 0] - places[0, 0]))
        at_edge = (span >= 2) & ((places < 2 * span) | (places > length - 2 * span))
        allowed = np.where(at_edge, span, 0.5 * span) + 0.13
        assert (np.abs(values[..., band] - places) <= allowed)[seen].all()
    inside = (columns > 0.13) & (rows > 0.13) & (columns < grid.width - 0.13) & (rows < grid.height - 0.13)
    outside = (columns < -0.13) | (rows < -0.13) | (columns > grid.width + 0.13) | (rows > grid.height + 0.13)
    assert seen[inside].all()
    assert not seen[outside].any()
    assert (values[~seen] == -1).all()


@settings(max_examples=20)
@given(grids(), st.integers(10, 16), st.randoms())
def test_far_from_edges_positions_are_right_to_an_eighth_of_a_pixel(grid: Grid, zoom: int, random) -> None:
    tile = random.choice(candidates(grid, zoom))
    columns, rows = source_positions(grid, bounds(tile), 256)
    exact = true_places(grid, bounds(tile), 256)
    assert np.abs(np.stack([columns, rows]) - exact).max() <= 0.13


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 3.0, 11.0]))
def test_nodata_never_bleeds_into_valid_pixels(seed: int, pixel_m: float) -> None:
    random = np.random.default_rng(seed)
    grid = Grid(CRS.from_epsg(32611), Affine(pixel_m, 0, 280000, 0, -pixel_m, 4190000), 200, 200)
    valid = random.random((200, 200)) > 0.4
    low, high = 1000, 1200  # a neighbour's 0 would pull a mean below low
    source = Held(grid, random.integers(low, high, (200, 200, 4)).astype(np.uint16), valid)
    tile = candidates(grid, 15)[0]
    values, observed = warp(source, tile, 128)
    assert set(np.unique(values[observed == 0])) <= {0}
    assert values[observed == 1].min(initial=low) >= low
    assert values[observed == 1].max(initial=low) <= high


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("bands", [1, 2, 3, 4, 8])
def test_interpolation_is_exact_not_to_a_32nd_of_a_pixel(bands: int, dtype: str) -> None:
    random = np.random.default_rng(bands)
    values = random.integers(1, 120 if dtype == "uint8" else 9000, (300, 300, bands)).astype(dtype)
    grid = Grid(CRS.from_epsg(32611), Affine(3, 0, 280000, 0, -3, 4190000), 300, 300)
    tile = candidates(grid, 17)[12]
    sampled, observed = warp(Held(grid, values, np.ones((300, 300), bool)), tile, 128)
    columns, rows = source_positions(grid, bounds(tile), 128)
    assert observed.all()
    left, top = np.floor(columns - 0.5).astype(int), np.floor(rows - 0.5).astype(int)
    right, down = (columns - 0.5 - left)[..., None], (rows - 0.5 - top)[..., None]
    upper = values[top, left] * (1 - right) + values[top, left + 1] * right
    lower = values[top + 1, left] * (1 - right) + values[top + 1, left + 1] * right
    assert np.abs(sampled - (upper * (1 - down) + lower * down)).max() <= 0.55


def test_labels_are_never_mixed() -> None:
    labels = np.random.default_rng(0).choice(np.array([0, 1, 255], np.uint8), (300, 300, 1))
    grid = Grid(CRS.from_epsg(32611), Affine(3, 0, 280000, 0, -3, 4190000), 300, 300)
    source = Held(grid, labels, labels[..., 0] != 255, continuous=False, nodata=255)
    for zoom in (12, 15, 17):
        values, observed = warp(source, candidates(grid, zoom)[0], 256)
        assert set(np.unique(values)) <= {0, 1, 255}
        assert ((values[..., 0] != 255) == (observed == 1)).all()


def test_image_and_mask_of_one_grid_have_the_same_nodata() -> None:
    random = np.random.default_rng(3)
    grid = Grid(CRS.from_epsg(32611), Affine(3, 0, 280000, 0, -3, 4190000), 300, 300)
    valid = random.random((300, 300)) > 0.3
    image = Held(grid, np.full((300, 300, 4), 500, np.uint16), valid)
    mask = Held(grid, np.where(valid, 1, 255).astype(np.uint8)[..., None], valid, continuous=False, nodata=255)
    for tile in candidates(grid, 15):
        assert (warp(image, tile, 256)[1] == warp(mask, tile, 256)[1]).all()


def test_a_coarse_tile_is_an_average_not_a_sample() -> None:
    grid = Grid(CRS.from_epsg(3857), Affine(1, 0, 0, 0, -1, 0), 4096, 4096)
    chequered = np.indices((4096, 4096)).sum(axis=0)[..., None] % 2 * 2000 + 1000
    source = Held(grid, chequered.astype(np.uint16), np.ones((4096, 4096), bool))
    values, observed = warp(source, candidates(grid, 13)[0], 256)  # 19 m a pixel
    inner = values[observed == 1]
    assert np.abs(np.median(inner) - 2000.0) < 20
    assert inner.std() < 60


def test_a_tile_made_in_parts_is_the_same_up_to_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(5)
    grid = Grid(CRS.from_epsg(32611), Affine(3, 0, 280000, 0, -3, 4190000), 900, 900)
    source = Held(grid, random.integers(1, 9000, (900, 900, 4)).astype(np.uint16), random.random((900, 900)) > 0.1)
    tile = candidates(grid, 12)[0]
    whole = warp(source, tile, 256)
    monkeypatch.setattr("snowcover.prepare.warp.MAX_SOURCE_PX", 5000)
    parts = warp(source, tile, 256)
    assert np.abs(whole[0].astype(int) - parts[0]).max() <= 1
    assert (whole[1] == parts[1]).all()


def test_a_raster_across_the_180th_meridian_makes_tiles_on_both_sides() -> None:
    grid = Grid(CRS.from_epsg(32660), Affine(30, 0, 643000, 0, -30, 7000000), 600, 600)
    tiles = candidates(grid, 10)
    columns = {tile.x for tile in tiles}
    assert {0, 1023} <= columns
    assert len(columns) < 6
    assert all(warp(encoding_position(grid), tile, 64)[1].any() for tile in tiles if tile.x in (0, 1023))
