"""Fractional snow cover: cells that chunks cut anywhere have the shares of the whole raster."""

from itertools import pairwise

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_squared_error, r2_score

from snowcover.evaluate.bootstrap import BlockBootstrap
from snowcover.evaluate.chunk import Chunk
from snowcover.evaluate.fractional import (
    Fractions,
    OwnCells,
    SquareCells,
    block_sums,
    fraction_scores,
    histogram,
    large_enough,
)
from tests.evaluate.making import block_places


def chunk_of(snow: np.ndarray, share: np.ndarray, window: tuple[slice, slice] = np.s_[:, :]) -> Chunk:
    """Of a reference of blocks of 16 pixels, and of one product, p."""
    rows, cols = np.indices(snow.shape)
    return Chunk(
        row=window[0].start or 0,
        col=window[1].start or 0,
        transform=Affine.identity(),
        snow=snow[window],
        depth_m=None,
        share={"p": share[window]},
        probability={},
        strata={},
        block=(rows // 16 * 10 + cols // 16)[window].astype(np.int32),
        trained=np.zeros(snow.shape, bool)[window],
    )


def raster(seed: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Reference and product, unobserved here and there."""
    rng = np.random.default_rng(seed)
    snow = rng.choice(np.array([0, 1, 255], np.uint8), (height, width), p=[0.45, 0.45, 0.1])
    share = rng.random((height, width)).astype(np.float32)
    share[rng.random(share.shape) < 0.03] = np.nan
    return snow, share


cuts = st.lists(st.integers(1, 60), max_size=3)


@settings(max_examples=40)
@given(
    st.integers(0, 99), st.integers(5, 61), st.integers(5, 61), cuts, cuts,
    st.sampled_from([(3.0, 3.0), (2.5, 4.0), (10.0, 10.0)]), st.sampled_from([20.0, 30.0, 100.0]),
)  # fmt: skip
def test_cells_have_the_shares_of_their_pixels_wherever_chunks_cut_them(
    seed: int, height: int, width: int, rows: list[int], cols: list[int], pixel_m: tuple[float, float], cell_m: float
) -> None:
    snow, share = raster(seed, height, width)
    counted = (snow != 255) & ~np.isnan(share)
    cells = SquareCells(height, width, pixel_m, cell_m, ["p"])
    row_ends, col_ends = (
        sorted({0, size, *(cut for cut in cut_at if cut < size)}) for cut_at, size in ((rows, height), (cols, width))
    )
    windows = [
        np.s_[top:bottom, left:right] for top, bottom in pairwise(row_ends) for left, right in pairwise(col_ends)
    ]
    for window in reversed(windows):
        cells.add(chunk_of(snow, share, window), counted[window])
    found = cells.fractions("p")

    def cell_of(size: int, step_m: float) -> np.ndarray:
        return np.floor(np.round((np.arange(size) + 0.5) * step_m / cell_m, 9)).astype(int)

    def pixels_of(cell: int, step_m: float) -> int:
        return int((cell_of(400, step_m) == cell).sum())

    of_row, of_col = cell_of(height, pixel_m[1]), cell_of(width, pixel_m[0])
    expected = []
    for row in range(of_row[-1] + 1):
        for col in range(of_col[-1] + 1):
            inside = (of_row == row)[:, None] & (of_col == col) & counted
            if inside.sum() >= 0.8 * pixels_of(row, pixel_m[1]) * pixels_of(col, pixel_m[0]):
                expected.append((snow[inside].mean(), share[inside].mean(dtype=float)))
    assert np.stack([found.reference, found.product], axis=1) == pytest.approx(
        np.array(expected).reshape(-1, 2), abs=1e-9
    )


def test_cells_that_are_observed_to_under_80_percent_are_left_out() -> None:
    snow = np.zeros((10, 40), np.uint8)
    snow[:, 10:20] = np.tile([255, 255, 1, 1, 1, 1, 1, 1, 1, 1], (10, 1))  # 80 %
    snow[:, 20:30] = snow[:, 10:20]
    snow[0, 29] = 255  # a pixel less
    cells = SquareCells(10, 37, (3.0, 3.0), 30.0, ["p"])  # the last cell is cut by the rim, to 70 %
    share = np.ones((10, 37), np.float32)
    cells.add(chunk_of(snow[:, :37], share), snow[:, :37] != 255)
    assert cells.fractions("p").reference.tolist() == [0, 1]


def test_painted_fractions_are_exact() -> None:
    rng = np.random.default_rng(0)
    painted = rng.random((6, 6)).astype(np.float32)
    share = np.kron(painted, np.ones((10, 10), np.float32))
    cells = SquareCells(60, 60, (3.0, 3.0), 30.0, ["p"])
    for row in range(0, 60, 7):
        window = np.s_[row : row + 7, 0:60]
        cells.add(chunk_of(np.ones((60, 60), np.uint8), share, window), np.ones((min(7, 60 - row), 60), bool))
    assert cells.fractions("p").product == pytest.approx(painted.ravel(), abs=1e-6)


@given(st.integers(0, 99))
def test_a_product_of_fractions_is_compared_in_its_own_cells(seed: int) -> None:
    snow, _ = raster(seed, 20, 24)
    rows, cols = np.indices(snow.shape)
    cell = (rows + cols) // 8  # of a grid that is turned against the reference's
    cell[:2] = -1
    fraction = np.random.default_rng(seed).random(6)
    share = np.where(cell >= 0, fraction[np.maximum(cell, 0)], np.nan).astype(np.float32)
    counted = (snow != 255) & ~np.isnan(share)
    cells = OwnCells(6, pixels_per_cell=80)
    for window in (np.s_[0:20, 0:11], np.s_[0:20, 11:24]):
        cells.add(cell[window], chunk_of(snow, share, window), share[window], counted[window])
    cells.add(np.full((2, 2), -1), chunk_of(snow, share, np.s_[0:2, 0:2]), share[:2, :2], np.ones((2, 2), bool))
    found = cells.fractions()
    used = [one for one in range(6) if (counted & (cell == one)).sum() >= 64]
    assert found.product == pytest.approx(fraction[used], abs=1e-6)
    assert found.reference == pytest.approx([snow[counted & (cell == one)].mean() for one in used])


def test_scores_are_scikit_learns_and_have_intervals() -> None:
    rng = np.random.default_rng(1)
    reference = rng.random(800)
    product = np.clip(reference + rng.normal(0.05, 0.1, 800), 0, 1)
    fractions = Fractions(reference, product, rng.integers(0, 25, 800))
    sums = block_sums(fractions, 25)
    found = BlockBootstrap(block_places(5), 200).estimate(sums, fraction_scores)
    assert found["fsca_bias"].value == pytest.approx((product - reference).mean())
    assert found["fsca_rmse"].value == pytest.approx(np.sqrt(mean_squared_error(reference, product)))
    assert found["fsca_r2"].value == pytest.approx(r2_score(reference, product))
    for one in found.values():
        assert one.low < one.value < one.high


def test_a_reference_of_one_share_has_no_r2_and_no_cells_have_no_score() -> None:
    alike = block_sums(Fractions(np.full(9, 0.3), np.linspace(0, 1, 9), np.zeros(9, int)), 1)
    scores = fraction_scores(np.concatenate([alike, np.zeros((1, 5))]))
    assert np.isfinite(scores["fsca_rmse"]).tolist() == np.isfinite(scores["fsca_bias"]).tolist() == [True, False]
    assert np.isnan(scores["fsca_r2"]).all()


def test_the_histogram_has_the_reference_along_its_first_side() -> None:
    cells = histogram(Fractions(np.array([0, 0.5, 1, 1]), np.array([1, 0.5, 1, 1]), np.zeros(4, int))).cells
    assert cells.shape == (50, 50)
    assert (cells[0, 49], cells[25, 25], cells[49, 49], cells.sum()) == (1, 1, 2, 4)


def test_cells_of_less_than_four_pixels_are_too_small() -> None:
    assert large_enough(30, (3.0, 3.0)) and large_enough(100, (50.0, 50.0)) and large_enough(500, (50.0, 50.0))
    assert (
        not large_enough(30, (50.0, 50.0)) and not large_enough(30, (16.0, 16.0)) and not large_enough(30, (5.0, 40.0))
    )
