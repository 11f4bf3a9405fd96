"""The machines that a job may run on, in order: its own, then those of hw.fallback. Pure."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from snowcover.errors import UserError
from snowcover_launch.backends.sagemaker.machine_check import UnfitMachine, refuse_unfit_machine
from snowcover_launch.backends.sagemaker.machines import TABLE, machines
from snowcover_launch.config import JobConfig

# What an hw file says of its machine; the other keys (max_hours, spot, retries...) are the job's on any machine.
MACHINE_KEYS = ("instance_type", "accelerator", "devices", "precision", "data_workers", "image", "volume_gb")


class UnfitFallback(UserError):
    """hw.fallback names something that the job could not run on."""


def configs_to_try(
    config: JobConfig, hw_of: Callable[[str], Mapping[str, Any]], typed: Collection[str]
) -> list[JobConfig]:
    """The job on its own machine and on each of hw.fallback, all held against the table of machines.

    Args:
        hw_of: gives the keys of hw that `hw=NAME` composes; none where there is no such file.
        typed: keys of hw that the user gave for this job, such as precision: they hold on each machine.

    Raises:
        UnfitMachine: of the job's own machine.
        UnfitFallback: of another.
    """
    refuse_unfit_machine(config)
    found = [config]
    for name in config.hw.fallback:
        other = _on(config, name, _machine_keys(name, hw_of), typed)
        if other.hw.instance_type in {each.hw.instance_type for each in found}:
            raise UnfitFallback(f"hw.fallback: {name} is {other.hw.instance_type} once more; leave it out.")
        found.append(other)
    return found


def typed_hw_keys(overrides: Collection[str]) -> set[str]:
    """Keys of hw in overrides such as `hw.precision=32-true`."""
    keys = (override.partition("=")[0].lstrip("+") for override in overrides)
    return {key.removeprefix("hw.") for key in keys if key.startswith("hw.")}


def _machine_keys(name: str, hw_of: Callable[[str], Mapping[str, Any]]) -> Mapping[str, Any]:
    if name.startswith("ml."):
        if name not in machines():
            raise UnfitFallback(
                f"hw.fallback: {name} is not in {TABLE.name}, so nobody knows how to use it: write a file for it in "
                "conf/hw and name that."
            )
        return machines()[name].best_use
    keys = hw_of(name)
    if keys.get("backend") != "sagemaker":
        raise UnfitFallback(
            f"hw.fallback: {name} is no cloud instance: give what hw= takes for one (g6, g4dn_12x...), or an instance "
            "type (ml.g5.2xlarge)."
        )
    return keys


def _on(config: JobConfig, name: str, machine: Mapping[str, Any], typed: Collection[str]) -> JobConfig:
    kept = set(typed) - {"instance_type"}
    changes = {key: machine[key] for key in MACHINE_KEYS if key in machine and key not in kept}
    hw = type(config.hw).model_validate({**config.hw.model_dump(), **changes, "fallback": []})
    other = config.model_copy(update={"hw": hw})
    try:
        refuse_unfit_machine(other)
    except UnfitMachine as error:
        raise UnfitFallback(f"hw.fallback: {name} could not take the job. {error}") from error
    return other
