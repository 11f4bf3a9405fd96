"""Makes a loss that knows of no mask score one; refuses a loss that would teach something else than snow.

A loss is tried on a few made-up pixels, so that it need not be known by its name.
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from snowcover.labels import UNOBSERVED
from snowcover.losses.masked import MaskedLoss

Loss = Callable[[Any, Any], Any]
SIDE = 8  # of the images tried on
SURE, UNSURE = 2.0, 0.0  # logits: a network that is right of most pixels, and one that knows nothing


def for_masks(loss: Loss, name: str) -> nn.Module:
    """The loss as one of (logits [B, 1, H, W], mask [B, H, W] of 1, 0 and 255), by the first of these ways that works:
    as it is; on the observed pixels alone, given logits, or probabilities, or truth of 1 and -1.

    Args:
        name: how the loss is called in an error.

    Raises:
        ValueError: it falls towards the truth in none of them.
    """
    on_observed: list[Loss] = [
        MaskedLoss(loss),
        MaskedLoss(loss, probabilities=True),
        MaskedLoss(loss, target="signs"),
    ]
    reasons = []
    for fitted in [loss, *on_observed]:
        reason = _obstacle(fitted)
        if reason is None:
            return fitted if isinstance(fitted, nn.Module) else _Function(fitted)
        reasons.append(reason)
    raise ValueError(
        f"{name} cannot be trained with: given logits (or probabilities) and the truth of snow as 1 and no snow as 0 "
        f"(or -1), {reasons[1]}."
    )


def _obstacle(loss: Loss) -> str | None:
    """Why it is no loss of masks; None where it is."""
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as torch's of shapes that differ: then it is given others
            return _fault(loss)
    except Exception as error:  # whatever a loss of somebody's raises
        return f"it fails with {type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _fault(loss: Loss) -> str | None:
    snow, bare, mask = _made_up()

    def scored(of_snow: float, of_bare: float, of_unobserved: float = 0.0) -> Tensor:
        logits = torch.where(snow, of_snow, torch.where(bare, of_bare, of_unobserved))[:, None].requires_grad_()
        return loss(logits, mask)

    right = scored(SURE, -SURE)
    if not isinstance(right, Tensor) or right.numel() != 1 or not right.requires_grad:
        return "it gives no single number to descend from (reduction=mean, where it has one)"
    if not all(torch.isfinite(one) for one in (right, scored(-SURE, SURE), scored(UNSURE, UNSURE))):
        return "it is not finite"
    if not (right < scored(UNSURE, UNSURE) and right < scored(-SURE, -SURE) and right < scored(SURE, SURE)):
        return "it does not fall when snow and bare ground are separated"
    if not torch.isclose(right, scored(SURE, -SURE, 9.0)):
        return "it counts pixels that nobody observed"
    return None


def _made_up() -> tuple[Tensor, Tensor, Tensor]:
    """Where snow and bare ground were seen, and the mask [2, SIDE, SIDE] of both."""
    places = torch.arange(2 * SIDE * SIDE).reshape(2, SIDE, SIDE) % 5
    mask = torch.where(places < 2, 1, torch.where(places < 4, 0, UNOBSERVED)).to(torch.uint8)
    return mask == 1, mask == 0, mask


class _Function(nn.Module):
    """A loss that is a mere function."""

    def __init__(self, function: Loss) -> None:
        super().__init__()
        self.function = function

    def forward(self, logits: Tensor, mask: Tensor) -> Any:
        """As the function."""
        return self.function(logits, mask)
