"""Time and memory of a training step of ternausv2 on a CPU, beside the original's: `python -m bench.bench_network`.

Each figure is from a fresh process, the variants taking turns, so that none lives on memory that another one left.
"""

import argparse
import multiprocessing
import resource
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import torch
from torch import nn

from snowcover.machine import configure_process
from snowcover.models.ternausv2 import DecoderBlock, TernausV2

ORIGINAL, ORIGINAL_SETTLED, OURS = "as the original wrote it", "the same, freed memory kept", "ternausv2"
KIB_PER_MAXRSS = 1 if sys.platform == "linux" else 1 / 1024  # macOS counts it in bytes


def main() -> None:
    """Prints the median seconds and the peak memory of forward and backward, per variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=7)
    parser.add_argument("--size", type=int, default=512, help="side of a tile in pixels")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    variants = (ORIGINAL, ORIGINAL_SETTLED, OURS)
    measured: dict[str, list[tuple[float, float]]] = {variant: [] for variant in variants}
    for _ in range(args.rounds):
        for variant in variants:
            measured[variant].append(_in_fresh_process(variant, args.batch, args.size))
    print(f"\nTraining step of ternausv2, batch {args.batch} x {args.size} px, median of {args.rounds}")
    seconds = {variant: statistics.median(s for s, _ in measured[variant]) for variant in variants}
    for variant in variants:
        peak_gb = max(gb for _, gb in measured[variant])
        ratio = seconds[ORIGINAL] / seconds[variant]
        print(f"  {variant:30} {seconds[variant]:7.2f} s {peak_gb:6.2f} GB peak {ratio:6.2f} x")


def _in_fresh_process(variant: str, batch: int, size: int) -> tuple[float, float]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(step, variant, batch, size).result()


def step(variant: str, batch: int, size: int) -> tuple[float, float]:
    """Seconds of the second forward and backward pass, and the process's peak memory in GB."""
    if variant != ORIGINAL:
        configure_process()
    torch.manual_seed(0)
    network = TernausV2() if variant == OURS else _as_the_original_wrote_it(TernausV2())
    tiles, snow = torch.randn(batch, 4, size, size), torch.randint(0, 2, (batch, 1, size, size)).float()
    for _ in range(2):  # the first one also sets the libraries up
        network.zero_grad()
        start = time.perf_counter()
        nn.functional.binary_cross_entropy_with_logits(network(tiles), snow).backward()
        seconds = time.perf_counter() - start
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB_PER_MAXRSS * 1024 / 1e9


def _as_the_original_wrote_it(network: TernausV2) -> TernausV2:
    """The same network, whose decoder upsamples and then convolves."""
    for name, block in list(network.named_children()):
        if isinstance(block, DecoderBlock):
            setattr(network, name, nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), block.block))
    return network


if __name__ == "__main__":
    main()
