"""Probabilities that mean what they say: the temperature of a network's logits, and how far off its probabilities are.

One number divides all logits, found on the validation tiles where their likelihood is highest (Platt 1999; Guo et al.
2017, arXiv:1706.04599). It is above 0, so no class changes. Losses such as Lovasz' hinge ask for the right side of 0
alone, and leave logits that are no log odds at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from snowcover.scoring.objective import best_epoch

if TYPE_CHECKING:
    from torch import Tensor

LEVELS = 2**16
"""Logits are counted as the half-precision numbers next to them, of which there are no more: within 0.05 % each."""
COLDEST, HOTTEST = 1e-3, 1e3
BINS = 10  # of the calibration error and of a reliability diagram, equally wide
TEMPERATURE = "val_temperature"  # in the row of an epoch

_HALVES = np.arange(LEVELS, dtype=np.uint16).view(np.float16).astype(np.float64)
_LOGITS = np.where(np.isfinite(_HALVES), _HALVES, 0.0)

Pixels = NDArray[np.integer]
Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Reliability:
    """Probabilities in equal bins against what came true, for a reliability diagram."""

    mean_probability: Reals
    observed_share: Reals
    pixels: NDArray[np.int64]
    """all [bins]; shares are NaN in empty bins"""


def logit_counts(logits: "Tensor", mask: "Tensor") -> "Tensor":
    """[2, LEVELS] int64 pixels without and with snow by their logit.

    Args:
        logits: [B, 1, H, W]; one that is no number counts as 0.
        mask: [B, H, W], 1 snow, 0 no snow, 255 ignored.
    """
    import torch

    halves = logits.squeeze(1).float().nan_to_num(0.0).clamp(-65504, 65504).half()  # the largest that are finite
    levels = halves.view(torch.int16).long() & (LEVELS - 1)
    return torch.stack([torch.bincount(levels[mask == label], minlength=LEVELS) for label in (0, 1)])


def fitted_temperature(counts: Pixels) -> float | None:
    """The temperature at which pixels [2, LEVELS] are likeliest; None where only one class is observed."""
    if not counts.any(axis=1).all():
        return None
    from scipy.optimize import minimize_scalar

    bare, snow = counts.astype(np.float64) / counts.sum()

    def loss(log_temperature: float) -> float:
        said = _LOGITS / np.exp(log_temperature)
        return float(bare @ np.logaddexp(0, said) + snow @ np.logaddexp(0, -said))

    # The loss is convex in 1 / temperature, so that it has one minimum.
    found = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded")
    return float(np.exp(found.x))


def temperature(history: Sequence[Mapping[str, float]]) -> float:
    """That of a run's best epoch; 1 where none could be fitted."""
    best = best_epoch(history)
    return 1.0 if best is None else history[best].get(TEMPERATURE, 1.0)


def probability_histogram(counts: Pixels, temperature: float, bins: int) -> NDArray[np.int64]:
    """[2, bins] of pixels [2, LEVELS], by the probability of snow."""
    places = np.minimum(_probability(temperature) * bins, bins - 1).astype(np.int64)
    return np.stack([np.bincount(places, row, bins) for row in counts]).astype(np.int64)


def reliability(counts: Pixels, temperature: float) -> Reliability:
    """The reliability diagram of pixels [2, LEVELS]."""
    said = _probability(temperature)
    places = np.minimum(said * BINS, BINS - 1).astype(np.int64)
    pixels, snow, summed = (
        np.bincount(places, each, BINS) for each in (counts.sum(axis=0), counts[1], counts.sum(axis=0) * said)
    )
    mean, share = (np.divide(part, pixels, out=np.full(BINS, np.nan), where=pixels > 0) for part in (summed, snow))
    return Reliability(mean, share, pixels.astype(np.int64))


def calibration_error(counts: Pixels, temperature: float) -> float | None:
    """Expected calibration error of pixels [2, LEVELS]: how far probabilities are from what comes true, on average.

    Naeini et al. 2015, over BINS equal bins. None of no pixel.
    """
    found = reliability(counts, temperature)
    if not found.pixels.any():
        return None
    off = np.abs(found.mean_probability - found.observed_share)
    return float(np.nansum(off * found.pixels) / found.pixels.sum())


def _probability(temperature: float) -> Reals:
    return 0.5 + 0.5 * np.tanh(_LOGITS / (2 * temperature))
