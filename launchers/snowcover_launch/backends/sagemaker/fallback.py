"""The machines a job may run on, in order: its own, then those of hw.fallback. Pure."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from snowcover.errors import UserError
from snowcover_launch.backends.sagemaker.machine_check import UnfitMachine, refuse_unfit_machine
from snowcover_launch.backends.sagemaker.machines import TABLE, machines
from snowcover_launch.config import JobConfig

# The keys of an hw file about its machine; the other keys (max_hours, spot, retries...) belong to the job.
MACHINE_KEYS = ("instance_type", "accelerator", "devices", "precision", "data_workers", "image", "volume_gb")


class UnfitFallback(UserError):
    """hw.fallback names a machine the job could not run on."""


def configs_to_try(
    config: JobConfig, hw_of: Callable[[str], Mapping[str, Any]], typed: Collection[str]
) -> list[JobConfig]:
    """The config of a job on its own machine and on each of hw.fallback, all checked against the table of machines.

    Args:
        hw_of: gives the keys of hw that `hw=NAME` composes; empty if there is no such file.
        typed: keys of hw that the user set for this job, such as precision: they apply on every machine.

    Raises:
        UnfitMachine: the job's own machine is unfit.
        UnfitFallback: another one is.
    """
    refuse_unfit_machine(config)
    configs = [config]
    for name in config.hw.fallback:
        other = _on_machine(config, name, _machine_keys(name, hw_of), typed)
        if other.hw.instance_type in {each.hw.instance_type for each in configs}:
            raise UnfitFallback(f"hw.fallback: {name} is {other.hw.instance_type} again; leave it out.")
        configs.append(other)
    return configs


def typed_hw_keys(overrides: Collection[str]) -> set[str]:
    """Keys of hw in overrides such as `hw.precision=32-true`."""
    keys = (override.partition("=")[0].lstrip("+") for override in overrides)
    return {key.removeprefix("hw.") for key in keys if key.startswith("hw.")}


def _machine_keys(name: str, hw_of: Callable[[str], Mapping[str, Any]]) -> Mapping[str, Any]:
    if name.startswith("ml."):
        if name not in machines():
            raise UnfitFallback(
                f"hw.fallback: {name} is not in {TABLE.name}, so it is unknown how to use it: write a file for it in "
                "conf/hw and name that."
            )
        return machines()[name].best_use
    keys = hw_of(name)
    if keys.get("backend") != "sagemaker":
        raise UnfitFallback(
            f"hw.fallback: {name} is not a cloud instance: give a value of hw= that is one (g6, g4dn_12x...), or an "
            "instance type (ml.g5.2xlarge)."
        )
    return keys


def _on_machine(config: JobConfig, name: str, machine: Mapping[str, Any], typed: Collection[str]) -> JobConfig:
    user_keys = set(typed) - {"instance_type"}
    changes = {key: machine[key] for key in MACHINE_KEYS if key in machine and key not in user_keys}
    hw = type(config.hw).model_validate({**config.hw.model_dump(), **changes, "fallback": []})
    other = config.model_copy(update={"hw": hw})
    try:
        refuse_unfit_machine(other)
    except UnfitMachine as error:
        raise UnfitFallback(f"hw.fallback: {name} cannot run the job. {error}") from error
    return other
