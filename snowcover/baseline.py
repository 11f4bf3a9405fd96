"""What a plain threshold on brightness would have scored: the bar that a network has to clear. Pure."""

from typing import Any, NamedTuple

import numpy as np

from snowcover.metrics import Counts, scores

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
    ious = [scores(_counts(train, index)).get("iou", 0.0) for index in range(BINS)]
    best = int(np.argmax(ious))
    return Baseline(best * BRIGHTEST / BINS, _counts(test, best))


def _counts(histogram: Histogram, first_snow_bin: int) -> Counts:
    fp, tp = histogram[:, first_snow_bin:].sum(axis=1).tolist()
    tn, fn = histogram[:, :first_snow_bin].sum(axis=1).tolist()
    return Counts(tp=tp, fp=fp, fn=fn, tn=tn)
