"""Every machine of conf/hw is one that SageMaker has, used as its GPUs can be."""

import re
from functools import cache
from typing import Any

import hydra
import pytest
from botocore.session import Session
from omegaconf import DictConfig

from snowcover.command import conf_dir
from snowcover_launch.cost import read_prices
from tests.making import config

FILES = {file.stem: file for file in (conf_dir() / "hw").glob("*.yaml")}
RENTED = sorted(name for name, file in FILES.items() if "backend: sagemaker" in file.read_text())
PROMISED = [
    "p2",
    "p2_8x",
    "p3",
    "p3_8x",
    "g4dn",
    "g4dn_12x",
    "g5",
    "g5_12x",
    "g6",
    "g6_12x",
    "g6e",
    "p4d",
    "p5",
    "cpu_m5",
]
# GPUs of a machine by its size, in AWS's own lists.
GPUS = {
    "p2.xlarge": 1, "p2.8xlarge": 8, "p3.2xlarge": 1, "p3.8xlarge": 4, "p4d.24xlarge": 8, "p5.48xlarge": 8,
    "g4dn.xlarge": 1, "g4dn.12xlarge": 4, "g5.xlarge": 1, "g5.12xlarge": 4, "g6.xlarge": 1, "g6.12xlarge": 4,
    "g6e.xlarge": 1, "m5.2xlarge": 0,
}  # fmt: skip
# Kepler has neither fast half precision nor a torch of today; Volta and Turing have no bfloat16.
PRECISION = {"p2": "32-true", "p3": "16-mixed", "g4dn": "16-mixed", "m5": "32-true"}
CORES = {"xlarge": 4, "2xlarge": 8, "8xlarge": 32, "12xlarge": 48, "24xlarge": 96, "48xlarge": 192}


@cache
def training_machines() -> set[str]:
    """Every type that CreateTrainingJob takes."""
    model = Session().get_service_model("sagemaker")
    resources: Any = model.shape_for("ResourceConfig")
    return set(resources.members["InstanceType"].enum)


def composed(*overrides: str) -> DictConfig:
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return hydra.compose("config", overrides=list(overrides), return_hydra_config=True)


@pytest.mark.parametrize("name", RENTED)
def test_a_rented_machine_is_one_of_sagemakers(name: str) -> None:
    assert config(f"hw={name}").hw.instance_type in training_machines()


@pytest.mark.parametrize("name", PROMISED)
def test_a_promised_machine_is_used_as_its_gpus_and_cores_can_be(name: str) -> None:
    hw = config(f"hw={name}").hw
    family, size = str(hw.instance_type).removeprefix("ml.").split(".")
    gpus = GPUS[f"{family}.{size}"]
    assert hw.accelerator == ("gpu" if gpus else "cpu")
    assert hw.devices == max(gpus, 1)
    assert hw.precision == PRECISION.get(family, "bf16-mixed")
    assert hw.image == ("kepler" if family == "p2" else "current")
    assert hw.data_workers * max(gpus, 1) == CORES[size]


@pytest.mark.parametrize("name", RENTED)
def test_a_rented_machine_goes_through_the_launcher_and_takes_every_key(name: str) -> None:
    changed = ("max_hours=2", "spot=true", "max_wait_hours=3", "volume_gb=60", "instance_count=2", "devices=1")
    whole = composed(f"hw={name}", *(f"hw.{change}" for change in changed))
    assert whole.hydra.mode.name == "MULTIRUN"
    assert (whole.hw.max_hours, whole.hw.spot, whole.hw.instance_count) == (2, True, 2)


def test_a_machine_here_is_trained_on_without_the_launcher() -> None:
    assert all(composed(f"hw={name}").hydra.mode is None for name in ("local", "cpu", "gpu"))


@pytest.mark.parametrize("name", RENTED)
def test_a_file_says_first_what_the_machine_is(name: str) -> None:
    package, told, *rest = FILES[name].read_text().splitlines()
    assert package == "# @package _global_"
    assert re.match(r"# .*(GPU|cores).*memory", told)
    assert len(rest) <= 15


def test_our_price_table_is_right_in_form_and_names_machines_that_there_are() -> None:
    prices = read_prices(None)
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", prices.as_of)
    assert {machine for table in prices.usd_per_hour.values() for machine in table} <= training_machines()
    assert all(re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", region) for region in prices.usd_per_hour)
    assert prices.of("us-west-2", "ml.g5.xlarge") is not None
