"""SageMaker's instance types: reads machines.yaml, and how to use each best. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from snowcover_launch.images.variants import VARIANTS, Capability, variant_for

TABLE = Path(__file__).with_name("machines.yaml")
HALF_PRECISION, BFLOAT16 = (7, 0), (8, 0)  # lowest compute capability that is fast in it: Volta, Ampere


@dataclass(frozen=True)
class Gpu:
    """A model of GPU."""

    name: str
    memory_gb: int
    compute_capability: Capability

    @property
    def precisions(self) -> tuple[str, ...]:
        """Values of hw.precision that it supports in hardware, the best first."""
        mixed = [
            name
            for name, since in (("bf16-mixed", BFLOAT16), ("16-mixed", HALF_PRECISION))
            if self.compute_capability >= since
        ]
        return (*mixed, "32-true")


@dataclass(frozen=True)
class Machine:
    """One instance type."""

    instance_type: str
    gpu: Gpu | None
    gpus: int
    cores: int
    memory_gb: float
    local_disk_gb: int
    """0: none; it gets a volume of hw.volume_gb"""

    @property
    def best_use(self) -> dict[str, Any]:
        """The keys of hw that use all of it."""
        return {
            "instance_type": self.instance_type,
            "accelerator": "gpu" if self.gpu else "cpu",
            "devices": self.gpus or 1,
            "precision": self.gpu.precisions[0] if self.gpu else "32-true",
            "data_workers": self.cores // (self.gpus or 1),
            "image": (variant_for(self.gpu.compute_capability) if self.gpu else None) or "current",
        }


@cache
def machines() -> Mapping[str, Machine]:
    """All machines of the table, by instance type."""
    table = _table()
    all_machines = [
        *(each for family, entry in table["gpu_families"].items() for each in _with_gpus(family, entry)),
        *(each for family, entry in table["cpu_families"].items() for each in _without_gpus(family, entry)),
    ]
    return {each.instance_type: each for each in all_machines}


def has_local_disk(instance_type: str | None) -> bool:
    """Whether a machine has a local disk. False if it is not in the table; then AWS decides."""
    machine = machines().get(instance_type or "")
    return machine is not None and machine.local_disk_gb > 0


def why_unfit(instance_type: str) -> str | None:
    """Why no image of this project can use a machine; None if one can, or if unknown."""
    reason: str | None = _table()["unfit_families"].get(instance_type.split(".")[1])
    return reason


def instance_types(variant: str) -> list[str]:
    """The instance types that a variant of the image can use."""
    supports = VARIANTS[variant].supports
    return sorted(name for name, each in machines().items() if not each.gpu or supports(each.gpu.compute_capability))


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = yaml.safe_load(TABLE.read_text())
    return table


def _with_gpus(family: str, entry: Mapping[str, Any]) -> Iterator[Machine]:
    model = entry["gpu"]
    major, minor = map(int, model["compute_capability"].split("."))
    gpu = Gpu(model["name"], model["memory_gb"], (major, minor))
    for size, (gpus, cores, memory_gb, disk_gb) in entry["sizes"].items():
        yield Machine(f"ml.{family}.{size}", gpu, gpus, cores, memory_gb, disk_gb)


def _without_gpus(family: str, entry: Mapping[str, Any]) -> Iterator[Machine]:
    sizes = entry["sizes"]
    disks = entry.get("local_disk_gb") or [0] * len(sizes)
    for size, disk_gb in zip(sizes, disks, strict=True):
        cores = _cores(size)
        yield Machine(f"ml.{family}.{size}", None, 0, cores, cores * entry["gb_per_core"], disk_gb)


def _cores(size: str) -> int:
    """4 for xlarge, 4 N for Nxlarge."""
    if size == "large":
        return 2
    return 4 * int(size.removesuffix("xlarge") or 1)
