"""A loss, a weight or a score that is no number any more: where it began, and the way out."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from snowcover.errors import UserError

NAMED = 3  # weights that a message names


class NotFinite(UserError):
    """The training has diverged: a loss or a weight is infinite or not a number."""


def diverged(what: str, lr: float, precision: str, clip_norm: float | None) -> NotFinite:
    """The error for `what`, which says also where; the way out depends on what could be the cause."""
    ways = [f"lower optimizer.lr (it was {lr:g} then)"]
    if clip_norm is None:
        ways.append("bound the gradient with trainer.gradient_clip_norm=1")
    if precision != "32-true":
        ways.append("compute in full precision with hw.precision=32-true")
    return NotFinite(f"{what}: {', or '.join(ways)}. Nothing of it was kept; last.ckpt is as it was before that epoch.")


def flags_of_not_finite(losses: Sequence[Tensor]) -> Tensor:
    """[N] int64, 1 where the loss of a step is not finite; on the losses' device, without waiting for it."""
    return (~torch.stack([loss.float() for loss in losses]).isfinite()).long()


def not_finite(weights: Mapping[str, Any]) -> list[str]:
    """Names of the tensors, running statistics included, that hold a value that is not finite."""
    floats = {name: value for name, value in weights.items() if torch.is_tensor(value) and value.is_floating_point()}
    if not floats:
        return []
    whole = torch.stack([value.isfinite().all() for value in floats.values()]).tolist()  # waits for the device once
    return [name for name, good in zip(floats, whole, strict=True) if not good]


def some_of(names: Sequence[str]) -> str:
    """The first NAMED names, and how many more there are."""
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
