"""Lovasz hinge: a convex stand-in for the Jaccard loss of the snow class (arXiv:1705.08790, algorithm 1)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from snowcover.labels import UNOBSERVED

_FLOAT_BITS = 0x7FFFFFFF  # everything but the sign of a float32
Keys = np.ndarray[Any, np.dtype[np.int64]]


class LovaszHinge(nn.Module):
    """Exact Lovasz hinge of each image, averaged over the images that have an observed pixel.

    On a CPU the sort, which is nearly all of the work, runs on packed 64-bit integers: NumPy sorts those with
    vector instructions, many times faster than torch sorts a float together with its index.
    """

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Score logits [B, 1, H, W] by a mask [B, H, W] of 1 snow, 0 no snow, 255 ignored; returns a scalar.

        A batch without an observed pixel scores 0, with zero gradient. Half precision is scored in float32.
        """
        scores = logits.flatten(1)  # [B, P]
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        labels = mask.flatten(1)
        packs = scores.device.type == "cpu" and scores.dtype == torch.float32
        hinges = _PackedHinges.apply(scores, labels) if packs else sorted_hinges(scores, labels)  # [B]
        images = (labels != UNOBSERVED).any(dim=1).sum()
        return hinges.sum() / images.clamp(min=1)


def sorted_hinges(scores: Tensor, labels: Tensor) -> Tensor:
    """Lovasz hinge [B] of each row of scores [B, P] (float32, float64) by labels [B, P], on any device."""
    snow = (labels == 1).to(scores.dtype)
    errors = _errors(scores, snow).masked_fill(labels == UNOBSERVED, 0)
    errors, order = torch.sort(errors, dim=1, descending=True)  # ignored ones past all that count
    steps = jaccard_steps(snow.gather(1, order), snow.sum(dim=1, keepdim=True))
    return (errors.relu() * steps).sum(dim=1)


def jaccard_steps(snow: Tensor, snow_pixels: Tensor) -> Tensor:
    """How much the Jaccard loss grows as each pixel joins the wrong ones, the worst first.

    snow: [..., P] of 0.0 and 1.0, in that order. snow_pixels: [..., 1], their number in the whole image. With
    intersection I and union U after a pixel, the loss 1 - I / U grew by 1 / U if it is snow and else by
    I / (U (U - 1)). The difference of two losses, both near 1 and a millionth apart, would lose most of a float32;
    the counts themselves are exact in one up to 2^24 pixels.
    """
    rank = torch.arange(1, snow.shape[-1] + 1, device=snow.device, dtype=snow.dtype)
    intersection = snow_pixels - snow.cumsum(-1)
    union = intersection + rank
    steps = (intersection + snow * rank) / (union * (union - 1 + snow))  # no branches: a third of the time
    steps[..., :1].masked_fill_(snow_pixels == 0, 1)  # without snow, the first wrong pixel takes the loss to 1
    return steps


def _errors(scores: Tensor, snow: Tensor) -> Tensor:
    return 1 + scores * (1 - 2 * snow)


class _PackedHinges(torch.autograd.Function):
    """sorted_hinges for float32 on a CPU; linear while the order holds, so the slopes are known forward."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, labels: Tensor) -> Tensor:
        slopes = torch.zeros_like(scores)
        with _one_thread():
            hinges = [_packed_hinge(*rows) for rows in zip(scores, labels, slopes, strict=True)]
        ctx.save_for_backward(slopes)
        return torch.tensor(hinges, dtype=scores.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        (slopes,) = ctx.saved_tensors
        return slopes * upstream[:, None], None


@contextmanager
def _one_thread() -> Iterator[None]:
    """Many small operations: on a busy machine, threads would wait for each other longer than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _packed_hinge(scores: Tensor, labels: Tensor, slopes: Tensor) -> float:
    """Lovasz hinge of one image [P]; writes its gradient into slopes [P]."""
    snow = labels == 1
    errors = _errors(scores, snow.float())
    wrong = (labels != UNOBSERVED) & ~(errors <= 0)  # not "> 0", which would hide a NaN
    keys = _pack(errors, snow)[wrong.numpy()]
    keys.sort()
    errors, pixels, snow_sorted = _unpack(keys)
    steps = jaccard_steps(snow_sorted, snow.sum())
    slopes.scatter_(0, pixels, steps * (1 - 2 * snow_sorted))
    return float(torch.dot(errors.double(), steps.double()))


def _pack(errors: Tensor, snow: Tensor) -> Keys:
    """One integer per pixel that sorts the largest error first: 31 bits of error, 31 of number, 1 of label.

    The bits of a positive float32, read as an integer, keep its order.
    """
    falling = _FLOAT_BITS - (errors.view(torch.int32) & _FLOAT_BITS)
    return ((falling.long() << 32) | torch.arange(0, 2 * len(errors), 2) | snow).numpy()


def _unpack(keys: Keys) -> tuple[Tensor, Tensor, Tensor]:
    """Errors float32, pixel numbers, and labels as 0.0 or 1.0, of packed keys."""
    packed = torch.from_numpy(keys)
    errors = (_FLOAT_BITS - (packed >> 32)).int().view(torch.float32)
    return errors, (packed & 0xFFFFFFFF) >> 1, (packed & 1).float()
