"""Scores from the confusion counts of a whole epoch. Pure.

Formulas: Sokolova & Lapalme 2009 (precision, recall, F1, accuracy), Brodersen et al. 2010 (balanced accuracy),
Cohen 1960 (kappa), Matthews 1975 (MCC). Snow is the positive class.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snowcover.labels import BARE, SNOW

if TYPE_CHECKING:
    from torch import Tensor

Reals = NDArray[np.float64]


class Counts(NamedTuple):
    """Observed pixels by prediction and truth."""

    tp: int
    """snow predicted as snow"""
    fp: int
    """no snow predicted as snow"""
    fn: int
    """snow predicted as no snow"""
    tn: int
    """no snow predicted as no snow"""


def confusion(snow: "Tensor", mask: "Tensor") -> "Tensor":
    """tp, fp, fn, tn as int64 [4] of a predicted snow map (bool) against a mask (1, 0, 255 ignored), same shape."""
    import torch  # an evaluation scores without it

    truth, bare = mask == SNOW, mask == BARE
    cells = (snow & truth, snow & bare, ~snow & truth, ~snow & bare)
    return torch.stack([cell.sum() for cell in cells])


def scores(counts: Counts) -> dict[str, float]:
    """All scores that are defined for these counts; one whose denominator is 0 is left out, not invented."""
    found = {name: float(values) for name, values in score_arrays(np.array(counts)).items()}
    return {name: value for name, value in found.items() if value == value}


def score_arrays(counts: NDArray[np.number]) -> dict[str, Reals]:
    """All scores [...] of counts [..., 4] of tp, fp, fn, tn; NaN where a denominator is 0."""
    tp, fp, fn, tn = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    recall, specificity = _ratio(tp, tp + fn), _ratio(tn, tn + fp)
    iou = _ratio(tp, tp + fp + fn)
    return {
        "iou": iou,
        "mean_iou": (iou + _ratio(tn, tn + fp + fn)) / 2,
        "precision": _ratio(tp, tp + fp),
        "recall": recall,
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "balanced_accuracy": (recall + specificity) / 2,
        "accuracy": _ratio(tp + tn, tp + fp + fn + tn),
        "kappa": _ratio(2 * (tp * tn - fn * fp), (tp + fp) * (fp + tn) + (tp + fn) * (fn + tn)),
        # Two roots, so that neither product rounds: a perfect map has 1.
        "mcc": _ratio(tp * tn - fp * fn, np.sqrt((tp + fp) * (tp + fn)) * np.sqrt((tn + fp) * (tn + fn))),
    }


def _ratio(part: Reals, whole: Reals) -> Reals:
    """NaN where the whole is 0."""
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole != 0)
