import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snowcover.baselines.brightness import BINS, BRIGHTEST, best_threshold, brightness_bins, counts_above
from snowcover.scoring.confusion import scores


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1))
def test_the_threshold_is_the_best_one_on_the_training_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    reflectance = rng.uniform(0, 1.9, (4, 300))
    snow = rng.random(300) < np.clip(reflectance.mean(axis=0) - 0.5, 0.02, 0.98)
    bins = brightness_bins(reflectance)
    histogram = np.stack([np.bincount(bins[~snow], minlength=BINS), np.bincount(bins[snow], minlength=BINS)])
    found = best_threshold(histogram)
    brightness = bins * BRIGHTEST / BINS
    ious = [(snow & (brightness >= t)).sum() / (snow | (brightness >= t)).sum() for t in [*brightness, found]]
    assert scores(counts_above(found, histogram))["iou"] == max(ious) == ious[-1]


def test_brightness_beyond_the_last_bin_is_kept() -> None:
    assert brightness_bins(np.full((4, 1), 9.0)).tolist() == [BINS - 1]
