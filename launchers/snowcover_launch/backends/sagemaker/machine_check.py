"""Checks whether a job can use its machine: AWS itself would start it, and bill it."""

from collections.abc import Callable, Iterator

from snowcover.config import HwConfig
from snowcover.errors import UserError
from snowcover_launch.backends.sagemaker.machines import TABLE, Machine, machines, why_unfit
from snowcover_launch.config import JobConfig
from snowcover_launch.images.variants import VARIANTS


class UnfitMachine(UserError):
    """The job could not use its machine as configured."""


def refuse_unfit_machine(config: JobConfig) -> None:
    """Check a job's hw against the table of machines.

    Raises:
        UnfitMachine: what the machine cannot do, and what it can.
    """
    hw = config.hw
    if hw.backend != "sagemaker" or hw.instance_type is None:
        return
    if reason := why_unfit(hw.instance_type):
        raise UnfitMachine(f"hw.instance_type={hw.instance_type} {reason}: choose another, for example hw=g5.")
    machine = machines().get(hw.instance_type)
    if machine is None:
        return
    if problems := [problem for check in CHECKS if (problem := check(hw, machine))]:
        raise UnfitMachine(f"{'. '.join(problems)}.")


def machine_warnings(config: JobConfig) -> Iterator[str]:
    """Warns of what would be paid for but not used, and of machines that could not be checked."""
    hw = config.hw
    if hw.backend != "sagemaker" or hw.instance_type is None or why_unfit(hw.instance_type):
        return
    machine = machines().get(hw.instance_type)
    if machine is None:
        yield (
            f"{hw.instance_type} is not in {TABLE.name}, so hw.devices, hw.precision, hw.image and hw.data_workers "
            "could not be checked for it: try it first with a small hw.max_hours."
        )
    elif machine.gpus and not _uses_gpu(hw, machine):
        yield f"hw.accelerator={hw.accelerator}: the {_gpus(machine)} would be paid for but not used; try hw=cpu_m5."
    elif machine.gpus > _devices(hw):
        unused = machine.gpus - _devices(hw)
        yield f"hw.devices={hw.devices}: {unused} of the {_gpus(machine)} would be paid for but not used."


def _wrong_accelerator(hw: HwConfig, machine: Machine) -> str | None:
    if hw.accelerator == "mps":
        return f"hw.accelerator=mps is for Apple machines, and {machine.instance_type} is not one: set {_best(machine)}"
    if hw.accelerator == "gpu" and not machine.gpus:
        return (
            f"hw.accelerator=gpu: {machine.instance_type} has no GPU; choose a machine with one (hw=g5), or set "
            f"{_best(machine, 'accelerator', 'devices', 'precision', 'data_workers')}"
        )
    return None


def _too_many_devices(hw: HwConfig, machine: Machine) -> str | None:
    if _uses_gpu(hw, machine) and _devices(hw) > machine.gpus:
        larger = _larger(machine, lambda other: other.gpus >= _devices(hw))
        has = f"{machine.instance_type} has {machine.gpus} {_model(machine)}"
        return f"hw.devices={hw.devices}: {has}; set hw.devices={machine.gpus}, or {larger}"
    if _devices(hw) > machine.cores:
        return f"hw.devices={hw.devices}: {machine.instance_type} has {machine.cores} cores; set hw.devices=1"
    return None


def _wrong_precision(hw: HwConfig, machine: Machine) -> str | None:
    if not _uses_gpu(hw, machine):
        if hw.precision == "16-mixed":
            return f"hw.precision=16-mixed is for GPUs, and the job runs on a CPU: set {_FULL}"
    elif machine.gpu and hw.precision != "auto" and hw.precision not in machine.gpu.precisions:
        return (
            f"hw.precision={hw.precision}: the {machine.gpu.name} of {machine.instance_type} does not support it; set "
            f"hw.precision={machine.gpu.precisions[0]}"
        )
    return None


def _wrong_image(hw: HwConfig, machine: Machine) -> str | None:
    if not machine.gpu or not _uses_gpu(hw, machine):
        return None
    capability = machine.gpu.compute_capability
    if VARIANTS[hw.image].supports(capability):
        return None
    return (
        f"hw.image={hw.image}: its torch {VARIANTS[hw.image].torch} has no code for the {machine.gpu.name} of "
        f"{machine.instance_type} (compute capability {capability[0]}.{capability[1]}); set {_best(machine, 'image')}"
    )


def _too_many_workers(hw: HwConfig, machine: Machine) -> str | None:
    if hw.data_workers * _devices(hw) <= machine.cores:
        return None
    each = f" for each of hw.devices={hw.devices}" if _devices(hw) > 1 else ""
    most = max(1, machine.cores // _devices(hw))
    return (
        f"hw.data_workers={hw.data_workers}{each}: {machine.instance_type} has {machine.cores} cores; set "
        f"hw.data_workers={most} or fewer"
    )


def _disk_too_small(hw: HwConfig, machine: Machine) -> str | None:
    if not machine.local_disk_gb or hw.volume_gb <= machine.local_disk_gb:
        return None
    larger = _larger(machine, lambda other: other.local_disk_gb >= hw.volume_gb)
    return (
        f"hw.volume_gb={hw.volume_gb}: {machine.instance_type} has a local disk of {machine.local_disk_gb} GB, "
        f"and AWS adds no other; {larger}"
    )


CHECKS = (_wrong_accelerator, _too_many_devices, _wrong_precision, _wrong_image, _too_many_workers, _disk_too_small)
_FULL = "hw.precision=32-true"


def _uses_gpu(hw: HwConfig, machine: Machine) -> bool:
    return machine.gpus > 0 and hw.accelerator in ("gpu", "auto")


def _devices(hw: HwConfig) -> int:
    assert hw.devices != "auto"  # HwConfig refuses it for a cloud instance
    return hw.devices


def _best(machine: Machine, *keys: str) -> str:
    return " ".join(f"hw.{key}={machine.best_use[key]}" for key in keys or ("accelerator",))


def _model(machine: Machine) -> str:
    assert machine.gpu is not None
    return f"{machine.gpu.name} GPU{'s' if machine.gpus > 1 else ''}"


def _gpus(machine: Machine) -> str:
    return f"{machine.gpus} {_model(machine)} of {machine.instance_type}"


def _larger(machine: Machine, fits: Callable[[Machine], bool]) -> str:
    """A suggestion: the smallest machine of the same family that fits."""
    family = machine.instance_type.rsplit(".", 1)[0]
    others = [each for name, each in machines().items() if name.rsplit(".", 1)[0] == family and fits(each)]
    if not others:
        return "choose another instance type"
    return f"use hw.instance_type={min(others, key=lambda each: (each.cores, each.gpus)).instance_type}"
