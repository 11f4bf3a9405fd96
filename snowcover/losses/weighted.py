"""Several losses as one."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from snowcover.losses.fitting import for_masks


class WeightedSum(nn.Module):
    """Sum of losses, each times its weight. A term may be any loss that `for_masks` can fit.

    Raises ValueError unless terms and weights have equal names, and for a term that is no loss of masks.
    """

    def __init__(self, terms: Mapping[str, nn.Module], weights: Mapping[str, float]) -> None:
        super().__init__()
        if not terms or set(terms) != set(weights):
            raise ValueError(
                "A weighted loss needs one weight for each of its terms, by name: "
                f"got terms {sorted(terms)} and weights {sorted(weights)}."
            )
        self.terms = nn.ModuleDict({name: for_masks(term, f"terms.{name}") for name, term in terms.items()})
        self.weights = {name: float(weights[name]) for name in terms}

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Score logits [B, 1, H, W] by a mask [B, H, W] of 1 snow, 0 no snow, 255 ignored; returns a scalar."""
        scored = [self.weights[name] * term(logits, mask) for name, term in self.terms.items()]
        return torch.stack(scored).sum()
