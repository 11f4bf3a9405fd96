"""Scores of probabilities from sums over blocks: scikit-learn's of the pixels themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss

from snowcover.evaluate.bootstrap import BlockBootstrap
from snowcover.evaluate.probabilities import SUMS, add_probabilities, new_sums, probability_scores, reliability
from tests.evaluate.making import block_places

steps = st.lists(st.tuples(st.integers(0, 200), st.booleans(), st.integers(0, 3)), min_size=1, max_size=80)


def summed(probability: np.ndarray, snow: np.ndarray, block: np.ndarray, blocks: int = 4) -> np.ndarray:
    """In two windows."""
    sums = new_sums(blocks)
    half = len(block) // 2
    for part in (np.s_[:half], np.s_[half:]):
        add_probabilities(sums, probability[part], snow[part], block[part])
    return sums


@given(steps)
def test_scores_of_our_maps_are_scikit_learns(drawn: list[tuple[int, bool, int]]) -> None:
    step, snow, block = (np.array(column) for column in zip(*drawn, strict=True))
    probability = (step * np.float32(0.005)).astype(np.float32)
    found = probability_scores(summed(probability, snow, block).sum(axis=0))
    assert found["brier"] == pytest.approx(brier_score_loss(snow, np.clip(probability, 0, 1), pos_label=True))
    if snow.any():
        assert found["average_precision"] == pytest.approx(average_precision_score(snow, step))
    else:
        assert np.isnan(found["average_precision"])
    bins = np.minimum(step // 20, 9)
    error = sum(
        abs(probability[bins == one].mean() - snow[bins == one].mean()) * (bins == one).mean() for one in set(bins)
    )
    assert found["ece"] == pytest.approx(error, abs=1e-6)


def test_each_block_has_its_own_sums_whatever_windows_they_came_in() -> None:
    rng = np.random.default_rng(2)
    probability, snow, block = rng.random(500), rng.random(500) < 0.4, rng.integers(0, 4, 500)
    sums = summed(probability, snow, block)
    for one in range(4):
        alone = new_sums(4)
        inside = block == one
        add_probabilities(alone, probability[inside], snow[inside], block[inside])
        assert sums[one] == pytest.approx(alone[one])
    assert sums.shape == (4, SUMS)
    continuous = probability_scores(sums.sum(axis=0))  # of other maps: ranked to within a step
    assert continuous["average_precision"] == pytest.approx(average_precision_score(snow, probability), abs=0.02)
    assert continuous["brier"] == pytest.approx(((probability - snow) ** 2).mean())


def test_the_reliability_diagram_has_the_mean_probability_and_the_share_of_snow_of_each_bin() -> None:
    probability, snow = np.array([0.1, 0.12, 0.95, 1.0, 1.0], np.float32), np.array([1, 0, 1, 1, 0], bool)
    found = reliability(summed(probability, snow, np.zeros(5, int)).sum(axis=0))
    assert found.pixels.tolist() == [0, 2, 0, 0, 0, 0, 0, 0, 0, 3]
    assert found.mean_probability[[1, 9]] == pytest.approx([0.11, 2.95 / 3])
    assert found.observed_share[[1, 9]] == pytest.approx([0.5, 2 / 3])
    assert np.isnan(found.mean_probability[[0, 2]]).all() and np.isnan(found.observed_share[[0, 2]]).all()


def test_a_calibrated_map_has_no_calibration_error_and_its_scores_have_intervals() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random(50_000).astype(np.float32)
    sums = summed(probability, rng.random(50_000) < probability, rng.integers(0, 25, 50_000), 25)
    found = BlockBootstrap(block_places(5), 100).estimate(sums, probability_scores)
    assert found["ece"].value < 0.02
    for one in found.values():
        assert one.low < one.value < one.high
    assert found["brier"].value == pytest.approx(1 / 6, abs=0.005)


def test_without_pixels_all_is_blank() -> None:
    sums = new_sums(2)
    add_probabilities(sums, np.zeros(0, np.float32), np.zeros(0, bool), np.zeros(0, int))
    assert all(np.isnan(value) for value in probability_scores(sums.sum(axis=0)).values())
