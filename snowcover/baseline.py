"""What a plain threshold on brightness would have scored: the bar that a network has to clear. Pure."""

from typing import Any, NamedTuple

import numpy as np

from snowcover.metrics import Counts, score_arrays

Histogram = np.ndarray[Any, Any]
"""[2, BINS] observed pixels by brightness: no snow, snow"""

BINS = 2048
BRIGHTEST = 2.0  # reflectance of the last bin's end; fresh snow facing the sun may exceed 1


class Baseline(NamedTuple):
    """Snow is what is brighter than `threshold`, the mean reflectance of all bands."""

    threshold: float
    counts: Counts


def brightness_bins(reflectance: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The bin of each pixel's mean reflectance over the bands: [C, P] -> [P] integers below BINS."""
    bins = reflectance.mean(axis=0) * (BINS / BRIGHTEST)
    return np.clip(bins, 0, BINS - 1).astype(np.intp)


def baseline(train: Histogram, test: Histogram) -> Baseline:
    """The threshold with the highest IoU on the training pixels, and its counts on the test pixels."""
    best = int(np.argmax(np.nan_to_num(score_arrays(_counts(train))["iou"])))
    return Baseline(best * BRIGHTEST / BINS, Counts(*_counts(test)[best].tolist()))


def _counts(histogram: Histogram) -> np.ndarray[Any, Any]:
    """[BINS, 4] of tp, fp, fn, tn where each bin is the first that is snow."""
    above = histogram[:, ::-1].cumsum(axis=1)[:, ::-1]
    (fp, tp), (tn, fn) = above, histogram.sum(axis=1, keepdims=True) - above
    return np.stack([tp, fp, fn, tn], axis=1)
