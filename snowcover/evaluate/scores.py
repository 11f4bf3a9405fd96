"""Scores of a snow map from its confusion counts, for one set of counts or for thousands of bootstrap draws. Pure."""

import numpy as np
from numpy.typing import NDArray

from snowcover.scoring.confusion import score_arrays

SCORES = ("iou", "f1", "precision", "recall", "balanced_accuracy", "kappa", "mcc")


def confusion_scores(counts: NDArray[np.number]) -> dict[str, NDArray[np.float64]]:
    """Each of SCORES, [...], of counts [..., 4] of tp, fp, fn, tn pixels; NaN where it is undefined."""
    found = score_arrays(counts)
    return {name: found[name] for name in SCORES}
