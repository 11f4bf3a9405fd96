"""Scores of many counts at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snowcover.evaluate.scores import SCORES, confusion_scores
from snowcover.scoring.confusion import Counts, scores

counts = st.lists(st.tuples(*[st.integers(0, 10**9) | st.just(0)] * 4), min_size=1, max_size=6)


@given(counts)
def test_scores_of_many_counts_are_those_of_each(drawn: list[tuple[int, int, int, int]]) -> None:
    found = confusion_scores(np.array(drawn))
    assert tuple(found) == SCORES
    for index, one in enumerate(drawn):
        alone = scores(Counts(*one))
        assert {name: values[index] for name, values in found.items() if not np.isnan(values[index])} == {
            name: alone[name] for name in SCORES if name in alone
        }


@given(st.integers(1, 10**8), st.integers(1, 10**8))
def test_a_map_without_errors_has_1_everywhere(snow: int, bare: int) -> None:
    assert set(scores(Counts(tp=snow, fp=0, fn=0, tn=bare)).values()) == {1.0}


def test_the_counts_of_a_continent_lose_nothing() -> None:
    found = scores(Counts(tp=3 * 10**12, fp=10**12, fn=2 * 10**12, tn=10**13))
    assert found["kappa"] == pytest.approx(2 * (30 - 2) / (4 * 11 + 5 * 12), rel=1e-14)
    assert found["mcc"] == pytest.approx((30 - 2) / np.sqrt(4 * 5 * 11 * 12), rel=1e-14)
