"""A plain threshold on brightness. Pure."""

from typing import Any

import numpy as np

from snowcover.scoring.confusion import Counts

Histogram = np.ndarray[Any, Any]
"""[2, BINS] observed pixels by brightness: no snow, snow"""

BINS = 2048
BRIGHTEST = 2.0  # reflectance of the last bin's end; fresh snow facing the sun may exceed 1


def brightness_bins(reflectance: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The bin of each pixel's mean reflectance over the bands: [C, P] -> [P] integers below BINS."""
    bins = reflectance.mean(axis=0) * (BINS / BRIGHTEST)
    return np.clip(bins, 0, BINS - 1).astype(np.intp)


def best_threshold(train: Histogram) -> float:
    """The mean reflectance of all bands from which on it is snow: that with the highest IoU on these pixels."""
    fp, tp = train[:, ::-1].cumsum(axis=1)[:, ::-1]  # [BINS] pixels as bright as each bin or brighter
    iou = tp / np.maximum(fp + train[1].sum(), 1)
    return int(np.argmax(iou)) * BRIGHTEST / BINS


def counts_above(threshold: float, histogram: Histogram) -> Counts:
    """What a threshold, the beginning of a bin, makes of pixels."""
    first_snow_bin = round(threshold * BINS / BRIGHTEST)
    fp, tp = histogram[:, first_snow_bin:].sum(axis=1).tolist()
    tn, fn = histogram[:, :first_snow_bin].sum(axis=1).tolist()
    return Counts(tp=tp, fp=fp, fn=fn, tn=tn)
