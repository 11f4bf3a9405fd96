"""Intervals from blocks: as wide as the errors of neighbours make them."""

import numpy as np
import pytest

from snowcover.evaluate.bootstrap import BlockBootstrap, too_few_blocks
from snowcover.evaluate.scores import SCORES, confusion_scores
from tests.evaluate.making import block_places, correlated_counts


def test_intervals_of_95_percent_cover_the_truth_as_often_with_correlated_errors() -> None:
    surveys = correlated_counts(250, 6)
    truth = confusion_scores(surveys.sum(axis=(0, 1)))
    bootstrap = BlockBootstrap(block_places(6), draws=400)
    # Surveys are arranged like bins: [blocks, surveys, 4].
    found = bootstrap.estimate(surveys.swapaxes(0, 1), confusion_scores)
    for name in SCORES:
        covered = (found[name].low <= truth[name]) & (truth[name] <= found[name].high)
        assert 0.93 <= covered.mean() <= 0.97, (name, covered.mean())


def test_intervals_from_independent_pixels_would_not() -> None:
    surveys = correlated_counts(250, 6)
    recall = confusion_scores(surveys.sum(axis=1))["recall"]
    snow = surveys.sum(axis=1)[:, [0, 2]].sum(axis=1)
    half = 1.96 * np.sqrt(recall * (1 - recall) / snow)
    covered = np.abs(recall - confusion_scores(surveys.sum(axis=(0, 1)))["recall"]) <= half
    assert covered.mean() < 0.85


def test_two_identical_products_differ_by_0_with_an_interval_around_0() -> None:
    counts = correlated_counts(250, 6)[0]
    for found in BlockBootstrap(block_places(6), draws=100).difference(counts, counts, confusion_scores).values():
        assert (found.value, found.low, found.high) == (0, 0, 0)


def test_a_paired_difference_has_a_narrower_interval_than_either_score() -> None:
    worse = correlated_counts(250, 6)[0]
    better = worse + np.minimum(worse[:, [2]], 1) * [1, 0, -1, 0]  # finds one more snow pixel in each block
    bootstrap = BlockBootstrap(block_places(6), draws=300)
    change = bootstrap.difference(better, worse, confusion_scores)["iou"]
    alone = bootstrap.estimate(worse, confusion_scores)["iou"]
    assert change.value == confusion_scores(better.sum(axis=0))["iou"] - alone.value
    assert 0 < change.low < change.value < change.high
    assert change.high - change.low < (alone.high - alone.low) / 4


def test_the_same_seed_draws_the_same_blocks_and_another_seed_others() -> None:
    counts = correlated_counts(250, 6)[0]
    first, again, other = (
        BlockBootstrap(block_places(6), 100, seed).estimate(counts, confusion_scores)["f1"] for seed in (1, 1, 2)
    )
    assert (first.low, first.high) == (again.low, again.high) != (other.low, other.high)
    assert first.value == other.value == confusion_scores(counts.sum(axis=0))["f1"]


def test_a_bin_that_lies_in_under_20_blocks_has_a_value_and_no_interval() -> None:
    counts = np.repeat(correlated_counts(250, 6)[0][:, None], 3, axis=1)  # [blocks, bins, 4]
    counts[19:, 1] = 0
    counts[20:, 2] = 0
    found = BlockBootstrap(block_places(6), 100).estimate(counts, confusion_scores)["iou"]
    assert found.blocks.tolist() == [36, 19, 20]
    assert np.isfinite(found.value).all()
    assert np.isfinite(found.low).tolist() == np.isfinite(found.high).tolist() == [True, False, True]


def test_a_score_that_many_draws_leave_undefined_has_no_interval() -> None:
    counts = np.tile([0, 0, 5, 5], (36, 1))
    counts[0, 0] = 5  # snow was mapped in one block alone: a third of the draws have no precision
    found = BlockBootstrap(block_places(6), 200).estimate(counts, confusion_scores)
    assert found["precision"].value == 1
    assert np.isnan([found["precision"].low, found["precision"].high]).all()
    assert np.isfinite([found["recall"].low, found["recall"].high]).all()


def test_an_undefined_score_is_blank_with_its_interval() -> None:
    found = BlockBootstrap(block_places(6), 50).estimate(np.tile([0, 0, 0, 9], (36, 1)), confusion_scores)["iou"]
    assert np.isnan([found.value, found.low, found.high]).all()


def test_errors_that_reach_into_neighbouring_blocks_widen_the_interval() -> None:
    side = 8
    rows, cols = block_places(side).T
    alike, unlike = (np.where(wrong, 10, 0) for wrong in (rows < side // 2, (rows + cols) % 2 == 0))
    widths = []
    for misses in (alike, unlike):  # the same blocks, elsewhere
        counts = np.stack([50 - misses, misses * 0, misses, misses * 0 + 50], axis=1)
        found = BlockBootstrap(block_places(side), 1000).estimate(counts, confusion_scores)["recall"]
        widths.append(float(found.high - found.low))
    assert widths[0] > 1.4 * widths[1]


@pytest.mark.parametrize(("blocks", "message"), [(1, "1 block of"), (19, "19 blocks of 1000 m"), (20, None)])
def test_too_few_blocks_are_reported_in_one_note(blocks: int, message: str | None) -> None:
    sentence = too_few_blocks(blocks, 1000.0)
    assert sentence is None if message is None else message in str(sentence) and "block_m" in str(sentence)
