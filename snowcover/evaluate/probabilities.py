"""How good probabilities of snow are, from sums over blocks, so that they stream and can be drawn again. Pure."""

import numpy as np
from numpy.typing import NDArray

from snowcover.evaluate.results import Reliability

LEVELS = 201  # steps of 0.005, those of our maps; the last is that of 1 alone
SUMS = 3 * LEVELS + 2
"""Numbers that are kept of a block: pixels, snow pixels and summed probability of each level; sums of the squared
probability and of the probability of snow pixels."""
BINS = 10  # of the calibration error and the reliability diagram


def new_sums(blocks: int) -> NDArray[np.float64]:
    """[blocks, SUMS], of no pixel yet."""
    return np.zeros((blocks, SUMS))


def add_probabilities(
    sums: NDArray[np.float64],
    probability: NDArray[np.floating],
    snow: NDArray[np.bool_],
    block: NDArray[np.integer],
) -> None:
    """Add pixels to `sums` [blocks, SUMS] in place.

    probability: [N], 0 to 1, of the pixels to count only (none NaN); snow: [N], of the reference; block: [N].
    """
    raise NotImplementedError


def probability_scores(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """average_precision, brier and ece (expected calibration error over BINS equal bins), each [...], of [..., SUMS].

    NaN where undefined. Probabilities of one level rank alike in the average precision, which is scikit-learn's.
    """
    raise NotImplementedError


def reliability(sums: NDArray[np.float64]) -> Reliability:
    """The reliability diagram, BINS bins, of [SUMS], the total of all blocks."""
    raise NotImplementedError
