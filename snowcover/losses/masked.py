"""Library losses, which know of no mask of observed pixels, on the observed pixels alone."""

from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor, nn

from snowcover.labels import UNOBSERVED

Target = Literal["labels", "signs"]


class MaskedLoss(nn.Module):
    """Gives another loss only the pixels that were observed, all images of a batch together.

    of: a loss of (logits [1, 1, P], target [1, 1, P] of 0 and 1), both float32. probabilities: apply the
    sigmoid first, for the losses that leave this to their caller. target: signs for a loss that takes the truth as
    1 and -1.
    """

    def __init__(self, of: Callable[..., Any], probabilities: bool = False, target: Target = "labels") -> None:
        super().__init__()
        self.of = of
        self.probabilities = probabilities
        self.target = target

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Score logits [B, 1, H, W] by a mask [B, H, W] of 1 snow, 0 no snow, 255 ignored; returns a scalar.

        A batch without an observed pixel scores 0, with zero gradient.
        """
        observed = mask != UNOBSERVED
        if not observed.any():
            return logits.float().sum() * 0
        scores = logits[:, 0][observed].float()  # [P]
        scores = scores.sigmoid() if self.probabilities else scores
        target = (mask[observed] == 1).float()  # [P]
        target = 2 * target - 1 if self.target == "signs" else target
        return self.of(scores[None, None], target[None, None])
