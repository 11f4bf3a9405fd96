"""Time of the Lovasz hinge on a CPU, forward and backward, beside the original's: `python -m bench.bench_losses`."""

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from snowcover.losses.lovasz import LovaszHinge

SHAPE = (7, 512, 512)
ROUNDS = 9


def main() -> None:
    """Prints one table: logits of an untrained and of a half-trained network."""
    torch.manual_seed(0)
    mask = torch.randint(0, 2, SHAPE, dtype=torch.uint8)
    noise = torch.randn(SHAPE)
    print(f"\nLovasz hinge, {' x '.join(map(str, SHAPE))} pixels, forward and backward, median of {ROUNDS}")
    for name, scores in {"untrained": 0.1 * noise, "half-trained": 6.0 * mask - 3 + 2 * noise}.items():
        logits = scores[:, None].requires_grad_()
        original_ms, ours_ms = _alternately(partial(_original, logits, mask), partial(LovaszHinge(), logits, mask))
        exact = _original(logits.double(), mask).item()
        error = abs(LovaszHinge()(logits, mask).item() - exact)
        print(f"  {name:14} as the original wrote it {original_ms:6.0f} ms, ours {ours_ms:6.0f} ms", end="")
        print(f" {original_ms / ours_ms:6.1f} x, {error:.0e} off its float64 value {exact:.4f}")


def _original(logits: Tensor, mask: Tensor) -> Tensor:
    """robosat.pink's formula."""
    loss = torch.zeros((), dtype=logits.dtype)
    for scores, snow in zip(logits.flatten(1), mask.flatten(1).to(logits.dtype), strict=True):
        errors, order = torch.sort(1 - (2 * snow - 1) * scores, descending=True)
        labels = snow[order]
        jaccard = 1 - (labels.sum() - labels.cumsum(0)) / (labels.sum() + (1 - labels).cumsum(0))
        jaccard[1:] = jaccard[1:] - jaccard[:-1]
        loss = loss + torch.dot(errors.relu(), jaccard)
    return loss / len(mask)


def _alternately(*losses: Callable[[], Tensor]) -> list[float]:
    """Median milliseconds of each, the losses taking turns."""
    took: list[list[float]] = [[] for _ in losses]
    for _ in range(ROUNDS):
        for loss, times in zip(losses, took, strict=True):
            start = time.perf_counter()
            loss().backward()
            times.append(1000 * (time.perf_counter() - start))
    return [statistics.median(times) for times in took]


if __name__ == "__main__":
    main()
