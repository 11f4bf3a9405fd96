"""Every machine of conf/hw is one that SageMaker has, used as its GPUs can be."""

import re
from functools import cache
from typing import Any

import hydra
import pytest
from botocore.session import Session
from omegaconf import DictConfig

from snowcover.config_root import conf_dir
from snowcover.errors import UserError
from snowcover_launch.backends.sagemaker.machine_check import machine_warnings, refuse_unfit_machine
from snowcover_launch.backends.sagemaker.machines import machines
from snowcover_launch.config import JobConfig
from snowcover_launch.cost import OURS, read_prices
from tests.making import config

FILES = {file.stem: file for file in (conf_dir() / "hw").glob("[!_]*.yaml")}
RENTED = sorted(name for name, file in FILES.items() if "_sagemaker" in file.read_text())
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
    "g6e_12x",
    "g6e_48x",
    "p4d",
    "p5",
    "p5_4x",
    "p5en",
    "cpu_m5",
]


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
def test_a_cloud_instance_is_a_sagemaker_instance(name: str) -> None:
    assert config(f"hw={name}").hw.instance_type in training_machines()


def test_there_is_a_file_for_each_promised_machine_and_for_no_other() -> None:
    assert sorted(PROMISED) == RENTED


@pytest.mark.parametrize("name", PROMISED)
def test_a_promised_machine_is_used_as_its_gpus_and_cores_can_be(name: str) -> None:
    hw = config(f"hw={name}").hw
    best = machines()[str(hw.instance_type)].best_use
    assert {key: getattr(hw, key) for key in best} == best
    job = JobConfig.model_construct(hw=hw)
    refuse_unfit_machine(job)
    assert not list(machine_warnings(job))
    text = FILES[name].read_text().splitlines()[1]
    gpu = machines()[str(hw.instance_type)].gpu
    assert gpu is None or (f"{gpu.name} GPU" in text and f"of {gpu.memory_gb} GB" in text)


@pytest.mark.parametrize("name", RENTED)
def test_a_cloud_instance_goes_through_the_launcher_and_takes_every_key(name: str) -> None:
    changed = ("max_hours=2", "spot=true", "max_wait_hours=3", "volume_gb=60", "instance_count=2", "devices=1",
               "retries=2", "fallback=[g6]", "keep_alive_minutes=null", "max_silent_minutes=9")  # fmt: skip
    whole = composed(f"hw={name}", *(f"hw.{change}" for change in changed))
    assert whole.hydra.mode.name == "MULTIRUN"
    assert (whole.hw.max_hours, whole.hw.spot, whole.hw.instance_count) == (2, True, 2)


def test_a_machine_here_is_trained_on_without_the_launcher() -> None:
    assert all(composed(f"hw={name}").hydra.mode is None for name in ("local", "cpu", "gpu"))


@pytest.mark.parametrize("name", RENTED)
def test_a_file_says_first_what_the_machine_is(name: str) -> None:
    package, text, *rest = FILES[name].read_text().splitlines()
    assert package == "# @package _global_"
    assert re.match(r"# .*(GPU|cores).*memory", text)
    assert len(rest) <= 8


def test_our_price_table_is_right_in_form_and_names_machines_that_there_are() -> None:
    prices = read_prices(None)
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", prices.as_of)
    assert {machine for table in prices.usd_per_hour.values() for machine in table} <= training_machines()
    assert all(re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", region) for region in prices.usd_per_hour)
    assert prices.of("us-west-2", "ml.g5.xlarge") is not None
    # What has no price anywhere is named, so that nobody takes its absence for an oversight.
    offered = {str(config(f"hw={name}").hw.instance_type) for name in PROMISED}
    unpriced = offered - {machine for table in prices.usd_per_hour.values() for machine in table}
    comment = " ".join(line for line in OURS.read_text().splitlines() if line.startswith("#"))
    assert set(re.findall(r"ml\.[a-z0-9]+\.[a-z0-9]+", comment.partition("no source")[2])) == unpriced


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("hw=g5", "hw.spot=true", "hw.keep_alive_minutes=30"), "keep_alive_minutes=30 is for spot=false"),
        (("hw=docker", "+hw.keep_alive_minutes=30"), "keep_alive_minutes=30 needs backend=sagemaker"),
        (("hw=docker", "+hw.retries=2"), "retries=2 needs backend=sagemaker"),
        (("hw=local", "+hw.fallback=[g6]"), r"fallback=\['g6'\] needs backend=sagemaker"),
        (("hw=g5", "hw.retries=31"), r"hw\.retries"),
        (("hw=g5", "hw.keep_alive_minutes=61"), r"hw\.keep_alive_minutes"),
        (("hw=g5", "hw.max_silent_minutes=1"), r"hw\.max_silent_minutes"),
        (("hw=g5", "hw.fallback=['a b']"), r"hw\.fallback"),
    ],
)
def test_keys_of_cloud_instances_are_refused_where_sagemaker_does_not_have_them(
    overrides: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        config(*overrides)


def test_the_limits_of_keys_are_those_of_sagemakers_own_api() -> None:
    model = Session().get_service_model("sagemaker")
    members: Any = model.operation_model("CreateTrainingJob").input_shape.members
    attempts = members["RetryStrategy"].members["MaximumRetryAttempts"].metadata
    alive = members["ResourceConfig"].members["KeepAlivePeriodInSeconds"].metadata
    g5 = composed("hw=g5").hw
    config("hw=g5", f"hw.retries={attempts['max']}", "hw.keep_alive_minutes=60")
    assert alive["max"] >= 60 * 60
    assert (g5.retries, g5.keep_alive_minutes, list(g5.fallback), g5.max_silent_minutes) == (0, None, [], None)
