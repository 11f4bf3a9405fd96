"""Training and mapping on this machine's GPUs: `make gpu`, or `python -m bench.gpu`.

Each training is a command of its own on demo tiles. Ends with status 1 where a loss is not finite, where a GPU learns
otherwise than the CPU does or a resumed run than one that never stopped, or where a step takes longer than the bare
network's by more than a tenth.
"""

import argparse
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
import torch

from snowcover import checkpoints, network
from snowcover.cli import without_nodes
from snowcover.component_checks import make_loss
from snowcover.config import Config
from snowcover.config_root import conf_dir
from snowcover.validation import check

NETWORKS = {"ternausv2": ("model=ternausv2",), "pixelunet": ()}
PRECISIONS = {"full": "32-true", "mixed": "16-mixed"}
LEAST_SHARE = 0.9  # of the bare network's steps per second
SAME_LOSS = 0.02  # relative: a GPU sums in another order, and in TF32


@dataclass
class Findings:
    """Lines of the table, and what is not as it should be."""

    lines: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def expect(self, holds: bool, what: str) -> None:
        if not holds:
            self.wrong.append(what)


@dataclass(frozen=True)
class Bench:
    """A folder in which the commands run, and what all of them have in common."""

    folder: Path
    hw: str
    batch: int
    size: int
    epochs: int
    common: tuple[str, ...]

    def train(self, name: str, *overrides: str, hw: str = "", epochs: int = 0) -> list[dict[str, float]]:
        """The epochs of a training; its checkpoints lie in the folder `name`."""
        words = (
            *self.common, f"hw={hw or self.hw}", "hw.devices=1", f"trainer.batch_size={self.batch}", "scheduler=none",
            f"trainer.max_epochs={epochs or self.epochs}", "trainer.patience_epochs=null", f"checkpoint.dir={name}",
            "checkpoint.keep_last=true", "trainer.forest=false", "tracking.export_model=false", f"run_name={name}",
            "tracking.system_metrics=false", *overrides,
        )  # fmt: skip
        subprocess.run([sys.executable, "-m", "snowcover.train", *words], cwd=self.folder, check=True)
        return list(checkpoints.load(str(self.folder / name / "last.ckpt"))["snowcover"]["history"])


def bare_step_s(overrides: Sequence[str], precision: str, batch: int, size: int, device: torch.device) -> float:
    """Median seconds of a step of the network alone, on a batch that lies on the device."""
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        composed = hydra.compose("config", [*overrides])
    config = check(Config, without_nodes(composed, "aws", "launch"))
    model = network.build(config.model, config.data.channels, pretrained=False).to(device).train()
    loss, optimizer = make_loss(config.loss).to(device), torch.optim.AdamW(model.parameters())
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "16-mixed" and device.type == "cuda")
    tiles = torch.randn(batch, len(config.data.channels), size, size, device=device)
    mask = torch.randint(0, 2, (batch, size, size), device=device, dtype=torch.uint8)
    seconds = []
    for _ in range(12):
        _finish(device)
        start = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.float16, enabled=scaler.is_enabled()):
            found = loss(model(tiles).float(), mask)
        scaler.scale(found).backward()
        scaler.step(optimizer)
        scaler.update()
        _finish(device)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[4:])


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def speed(bench: Bench, found: Findings, device: torch.device) -> None:
    """Step time, memory and losses of each network in each precision."""
    found.lines.append(
        f"{'network':12} {'precision':10} {'step':>9} {'bare':>9} {'of bare':>8} {'peak':>8} {'loss':>16}"
    )
    for name, overrides in NETWORKS.items():
        for word, precision in PRECISIONS.items() if bench.hw == "gpu" else [("full", "32-true")]:
            rows = bench.train(f"{name}-{word}", *overrides, f"hw.precision={precision}")
            rate = statistics.median(row["tiles_per_second"] for row in rows[1:] or rows)
            step, bare = bench.batch / rate, bare_step_s(overrides, precision, bench.batch, bench.size, device)
            losses = [row["train_loss"] for row in rows]
            found.lines.append(
                f"{name:12} {word:10} {step * 1e3:6.0f} ms {bare * 1e3:6.0f} ms {bare / step:8.2f} "
                f"{rows[-1]['peak_memory_gb']:5.2f} GB {losses[0]:7.4f}->{losses[-1]:7.4f}"
            )
            found.expect(all(map(math.isfinite, losses)), f"{name}, {word}: a loss is not finite")
            found.expect(bare / step >= LEAST_SHARE, f"{name}, {word}: {bare / step:.2f} of the bare network's speed")


def against_cpu(bench: Bench, found: Findings) -> None:
    """One epoch in full precision, the same tiles in the same order, here and on the CPU."""
    same = (*NETWORKS["pixelunet"], "hw.precision=32-true", "data.augment.flips_and_rotations=false",
            "data.augment.brightness=0")  # fmt: skip
    ours, theirs = (
        bench.train(f"on-{place}", *same, hw=place, epochs=1)[0]["train_loss"] for place in (bench.hw, "cpu")
    )
    found.lines.append(f"first epoch's loss {ours:.4f}, on the CPU {theirs:.4f}")
    found.expect(abs(ours - theirs) <= SAME_LOSS * abs(theirs), f"loss {ours:.4f}, on the CPU {theirs:.4f}")


def resumed(bench: Bench, found: Findings) -> None:
    """Four epochs at once, and two and two, in what the device takes by itself."""
    at_once = bench.train("at-once", *NETWORKS["pixelunet"], epochs=4)
    bench.train("in-two", *NETWORKS["pixelunet"], "experiment_name=in-two", epochs=2)
    in_two = bench.train("in-two", *NETWORKS["pixelunet"], "experiment_name=in-two", "checkpoint.resume=auto", epochs=4)
    first, second = at_once[-1]["train_loss"], in_two[-1]["train_loss"]
    found.lines.append(f"loss after 4 epochs {first:.4f}, resumed after 2 {second:.4f}")
    found.expect(len(in_two) == 4, f"the resumed run has {len(in_two)} epochs")
    found.expect(abs(first - second) <= 3 * SAME_LOSS * abs(first), f"resumed: loss {second:.4f} and not {first:.4f}")


def on_two(bench: Bench, found: Findings) -> None:
    """Two processes on two devices train one network."""
    rows = bench.train("two", *NETWORKS["pixelunet"], "hw.devices=2", epochs=2)
    found.lines.append(f"two devices: {rows[-1]['tiles_per_second']:.1f} tiles/s, loss {rows[-1]['train_loss']:.4f}")
    found.expect(math.isfinite(rows[-1]["train_loss"]), "two devices: the loss is not finite")


def main() -> None:
    """Prints a table; status 1 where something is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hw", choices=["gpu", "cpu"], default="gpu", help="cpu only tries this script")
    parser.add_argument("--batch", type=int, default=7)
    parser.add_argument("--size", type=int, default=512, help="side of a tile in pixels")
    parser.add_argument("--epochs", type=int, default=6, help="of some twenty steps")
    parser.add_argument("common", nargs="*", help="overrides for all trainings")
    args = parser.parse_args()
    if args.hw == "gpu" and not torch.cuda.is_available():
        raise SystemExit("This machine has no GPU that torch can use: nothing was measured.")
    device, found = torch.device("cuda" if args.hw == "gpu" else "cpu"), Findings()
    tiles = (f"+data.generate.tile_size={args.size}", "+data.generate.tiles_per_side=10")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), args.hw, args.batch, args.size, args.epochs, (*tiles, *args.common))
        speed(bench, found, device)
        against_cpu(bench, found)
        resumed(bench, found)
        if torch.cuda.device_count() > 1:
            on_two(bench, found)
    print(f"\n{_name(device)}, batches of {args.batch} x {args.size} px")
    print("\n".join(f"  {line}" for line in found.lines))
    subprocess.run([sys.executable, "-m", "bench.bench_predict", "--memory-sides", "--no-members"], check=True)
    if found.wrong:
        raise SystemExit("Not as it should be: " + "; ".join(found.wrong) + ".")


def _name(device: torch.device) -> Any:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


if __name__ == "__main__":
    main()
