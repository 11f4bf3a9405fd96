"""The machines of hw.fallback: a job's config for each, in order."""

from collections.abc import Mapping
from typing import Any

import pytest

from snowcover.config import HwConfig
from snowcover_launch.backends.sagemaker.fallback import UnfitFallback, configs_to_try, typed_hw_keys
from snowcover_launch.backends.sagemaker.machine_check import UnfitMachine
from snowcover_launch.config import JobConfig
from tests.making import compose


@pytest.fixture(scope="module")
def hw_files() -> dict[str, dict[str, Any]]:
    return {name: dict(compose(f"hw={name}").hw) for name in ("g5", "g6_12x", "g4dn", "p2", "docker")}


def tried(hw_files: Mapping[str, Mapping[str, Any]], *fallback: str, **typed: Any) -> list[HwConfig]:
    hw = HwConfig(**{**hw_files["g5"], "fallback": list(fallback), **typed})
    return [each.hw for each in configs_to_try(JobConfig.model_construct(hw=hw), hw_files, set(typed))]


def test_each_machine_is_used_as_its_own_file_says_in_the_order_given(hw_files: Any) -> None:
    own, large, old, plain = tried(hw_files, "g6_12x", "p2", "ml.g4dn.2xlarge")
    assert (own.instance_type, own.fallback) == ("ml.g5.xlarge", ["g6_12x", "p2", "ml.g4dn.2xlarge"])
    assert (large.instance_type, large.devices, large.precision) == ("ml.g6.12xlarge", 4, "bf16-mixed")
    assert (old.instance_type, old.image, old.precision, old.volume_gb) == ("ml.p2.xlarge", "kepler", "32-true", 150)
    assert (plain.instance_type, plain.precision, plain.data_workers) == ("ml.g4dn.2xlarge", "16-mixed", 8)


def test_what_the_user_gave_holds_on_each_machine(hw_files: Any) -> None:
    given = {"precision": "32-true", "max_hours": 3, "spot": True, "instance_type": "ml.g5.2xlarge", "data_workers": 2}
    own, other = tried(hw_files, "g4dn", **given)
    assert own.instance_type == "ml.g5.2xlarge"
    assert other.instance_type == "ml.g4dn.xlarge"
    assert (other.precision, other.max_hours, other.spot, other.data_workers) == ("32-true", 3, True, 2)
    assert typed_hw_keys(["hw=g5", "hw.precision=32-true", "+hw.retries=2", "seed=1"]) == {"precision", "retries"}


@pytest.mark.parametrize(
    ("fallback", "typed", "told"),
    [
        (
            ("g4dn",),
            {"precision": "bf16-mixed"},
            r"hw\.fallback: g4dn could not take the job\. hw\.precision=bf16-mixed",
        ),
        (("g55",), {}, r"hw\.fallback: g55 is no cloud instance"),
        (("docker",), {}, r"hw\.fallback: docker is no cloud instance"),
        (("ml.g7.2xlarge",), {}, r"ml\.g7\.2xlarge is not in machines\.yaml"),
        (("ml.g5.xlarge",), {}, r"ml\.g5\.xlarge is ml\.g5\.xlarge once more"),
        (("g4dn", "g4dn"), {}, r"g4dn is ml\.g4dn\.xlarge once more"),
    ],
)
def test_a_fallback_that_could_not_take_the_job_is_refused_before_anything_is_sent(
    hw_files: Any, fallback: tuple[str, ...], typed: dict[str, Any], told: str
) -> None:
    with pytest.raises(UnfitFallback, match=told):
        tried(hw_files, *fallback, **typed)


def test_the_jobs_own_machine_is_held_against_the_table_too(hw_files: Any) -> None:
    with pytest.raises(UnfitMachine, match=r"hw\.devices=4"):
        tried(hw_files, "g6_12x", devices=4)
