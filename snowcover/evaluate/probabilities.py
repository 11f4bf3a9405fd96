"""Scores of probabilities from sums per block, which can be streamed and resampled. Pure."""

import numpy as np
from numpy.typing import NDArray

from snowcover.scoring.calibration import BINS, Reliability

LEVELS = 201  # steps of 0.005, as in our maps; the last level is exactly 1
SUMS = 3 * LEVELS + 2
"""Sums per block: pixels, snow pixels and summed probability by level; squared probability; probability of snow
pixels."""


def new_sums(blocks: int) -> NDArray[np.float64]:
    """[blocks, SUMS] of zeros."""
    return np.zeros((blocks, SUMS))


def add_probabilities(
    sums: NDArray[np.float64],
    probability: NDArray[np.floating],
    snow: NDArray[np.bool_],
    block: NDArray[np.integer],
) -> None:
    """Add pixels to `sums` [blocks, SUMS] in place.

    probability: [N], 0 to 1, of the scored pixels only (not NaN); snow: [N], of the reference; block: [N].
    """
    if not probability.size:
        return
    first, last = int(block.min()), int(block.max()) + 1  # a window touches few blocks
    within = block - first
    places = within * LEVELS + _level(probability)
    part = sums[first:last]
    # Pixels without and with snow are counted together: snow has the second half of the numbers.
    half = (last - first) * LEVELS
    counted = np.bincount(places + snow * half, minlength=2 * half).reshape(2, -1, LEVELS)
    exact = probability.astype(np.float64)
    part[:, :LEVELS] += counted.sum(axis=0)
    part[:, LEVELS : 2 * LEVELS] += counted[1]
    part[:, 2 * LEVELS : 3 * LEVELS] += np.bincount(places, exact, half).reshape(-1, LEVELS)
    part[:, -1] += np.bincount(within, exact * snow, last - first)
    part[:, -2] += np.bincount(within, exact * exact, last - first)


def probability_scores(sums: NDArray[np.number]) -> dict[str, NDArray[np.float64]]:
    """average_precision, brier and ece (expected calibration error over BINS equal bins), each [...], of [..., SUMS].

    NaN where undefined. Probabilities of one level rank alike in the average precision, which is scikit-learn's.
    """
    pixels, snow, summed, squared, of_snow = _parts(sums)
    total, snow_total = pixels.sum(axis=-1), snow.sum(axis=-1)
    mapped, found = pixels[..., ::-1].cumsum(axis=-1), snow[..., ::-1].cumsum(axis=-1)  # at or above each level
    precision = np.divide(found, mapped, out=np.zeros_like(found), where=mapped > 0)
    gained = (precision * snow[..., ::-1]).sum(axis=-1)
    error = np.abs(_binned(summed) - _binned(snow)).sum(axis=-1)
    return {
        "average_precision": _ratio(gained, snow_total),
        "brier": _ratio(squared - 2 * of_snow + snow_total, total),  # (p - y)**2 for y of 0 or 1
        "ece": _ratio(error, total),
    }


def reliability(sums: NDArray[np.number]) -> Reliability:
    """The reliability diagram, BINS bins, of [SUMS], the total of all blocks."""
    pixels, snow, summed = (_binned(part) for part in _parts(sums)[:3])
    return Reliability(_ratio(summed, pixels), _ratio(snow, pixels), pixels.astype(np.int64))


def _level(probability: NDArray[np.floating]) -> NDArray[np.int32]:
    """Level of each probability; tolerates that float32 may round a step of 0.005 down."""
    return np.clip(probability * (LEVELS - 1) + 1e-3, 0, LEVELS - 1).astype(np.int32)


def _parts(sums: NDArray[np.number]) -> tuple[NDArray[np.float64], ...]:
    """Pixels, snow pixels and summed probability [..., LEVELS]; squared probability, that of snow pixels [...]."""
    exact: NDArray[np.float64] = np.asarray(sums, np.float64)
    by_level = (exact[..., first : first + LEVELS] for first in (0, LEVELS, 2 * LEVELS))
    return (*by_level, exact[..., -2], exact[..., -1])


def _binned(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """[..., LEVELS] -> [..., BINS]; a probability of 1 belongs to the last bin."""
    bins = levels[..., :-1].reshape(*levels.shape[:-1], BINS, -1).sum(axis=-1)
    bins[..., -1] += levels[..., -1]
    return bins


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole != 0)
