"""Blocks whose activations are computed twice, so that a training step need not keep them."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from snowcover.compat import CHECKPOINT_HAS_CONTEXTS


class Recomputed(nn.Sequential):
    """A Sequential that keeps only what goes into each of its blocks for the backward pass, which runs them once more.

    Logits, gradients and running statistics are those of the plain Sequential, bit for bit; blocks may draw no random
    numbers. torch before 2.1 runs it as a plain one.
    """

    def forward(self, input: Tensor) -> Tensor:
        """What the blocks make of `input`, one after another."""
        twice = CHECKPOINT_HAS_CONTEXTS and self.training and torch.is_grad_enabled()
        for block in self:
            input = _computed_twice(block, input) if twice else block(input)
        return input


def _computed_twice(block: nn.Module, x: Tensor) -> Tensor:
    return checkpoint(
        block, x, use_reentrant=False, preserve_rng_state=False,
        context_fn=lambda: (nullcontext(), _statistics_kept(block)),
    )  # fmt: skip


@contextmanager
def _statistics_kept(block: nn.Module) -> Iterator[None]:
    """Lets batch norms leave their running statistics alone: the first pass has counted this batch."""
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm, (_, tracked) in zip(norms, before, strict=True):
        norm.momentum = 0.0
        norm.num_batches_tracked = None if tracked is None else tracked.clone()
    try:
        yield
    finally:
        for norm, (momentum, tracked) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, tracked
