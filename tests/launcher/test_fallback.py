"""The machines of hw.fallback: a job's config for each, in order."""

from collections.abc import Mapping
from typing import Any

import pytest

from snowcover.config import HwConfig
from snowcover_launch.backends.sagemaker.fallback import UnfitFallback, configs_to_try, typed_hw_keys
from snowcover_launch.backends.sagemaker.machine_check import UnfitMachine
from snowcover_launch.config import JobConfig
from tests.launcher.launching import Launching
from tests.making import compose
from tests.sagemaker import SageMaker


@pytest.fixture(scope="module")
def hw_files() -> dict[str, dict[str, Any]]:
    return {name: dict(compose(f"hw={name}").hw) for name in ("g5", "g6_12x", "g4dn", "p2", "docker")}


def tried(hw_files: Mapping[str, Mapping[str, Any]], *fallback: str, **typed: Any) -> list[HwConfig]:
    hw = HwConfig(**{**hw_files["g5"], "fallback": list(fallback), **typed})
    found = configs_to_try(JobConfig.model_construct(hw=hw), lambda name: hw_files.get(name, {}), set(typed))
    return [each.hw for each in found]


def test_each_fallback_machine_uses_its_own_hw_file_in_the_given_order(hw_files: Any) -> None:
    own, large, old, plain = tried(hw_files, "g6_12x", "p2", "ml.g4dn.2xlarge")
    assert (own.instance_type, own.fallback) == ("ml.g5.xlarge", ["g6_12x", "p2", "ml.g4dn.2xlarge"])
    assert (large.instance_type, large.devices, large.precision) == ("ml.g6.12xlarge", 4, "bf16-mixed")
    assert (old.instance_type, old.image, old.precision, old.volume_gb) == ("ml.p2.xlarge", "kepler", "32-true", 150)
    assert (plain.instance_type, plain.precision, plain.data_workers) == ("ml.g4dn.2xlarge", "16-mixed", 8)


def test_keys_given_by_the_user_apply_on_each_machine(hw_files: Any) -> None:
    given = {"precision": "32-true", "max_hours": 3, "spot": True, "instance_type": "ml.g5.2xlarge", "data_workers": 2}
    own, other = tried(hw_files, "g4dn", **given)
    assert own.instance_type == "ml.g5.2xlarge"
    assert other.instance_type == "ml.g4dn.xlarge"
    assert (other.precision, other.max_hours, other.spot, other.data_workers) == ("32-true", 3, True, 2)
    assert typed_hw_keys(["hw=g5", "hw.precision=32-true", "+hw.retries=2", "seed=1"]) == {"precision", "retries"}


@pytest.mark.parametrize(
    ("fallback", "typed", "message"),
    [
        (
            ("g4dn",),
            {"precision": "bf16-mixed"},
            r"hw\.fallback: g4dn cannot run the job\. hw\.precision=bf16-mixed",
        ),
        (("g55",), {}, r"hw\.fallback: g55 is not a cloud instance"),
        (("docker",), {}, r"hw\.fallback: docker is not a cloud instance"),
        (("ml.g7.2xlarge",), {}, r"ml\.g7\.2xlarge is not in machines\.yaml"),
        (("ml.g5.xlarge",), {}, r"ml\.g5\.xlarge is ml\.g5\.xlarge again"),
        (("g4dn", "g4dn"), {}, r"g4dn is ml\.g4dn\.xlarge again"),
    ],
)
def test_a_fallback_that_could_not_run_the_job_is_refused_before_anything_is_sent(
    hw_files: Any, fallback: tuple[str, ...], typed: dict[str, Any], message: str
) -> None:
    with pytest.raises(UnfitFallback, match=message):
        tried(hw_files, *fallback, **typed)


def test_the_jobs_own_machine_is_held_against_the_table_too(hw_files: Any) -> None:
    with pytest.raises(UnfitMachine, match=r"hw\.devices=4"):
        tried(hw_files, "g6_12x", devices=4)


def test_a_job_without_quota_or_machine_is_started_on_the_next_with_a_config_for_that(launching: Launching) -> None:
    def end(sagemaker: SageMaker, name: str, staged: Mapping[str, Any]) -> None:
        if staged["hw"]["instance_type"] == "ml.g5.2xlarge":
            sagemaker.finish(name, "Failed", failure_reason="CapacityError: Unable to provision requested ML compute")
        else:
            sagemaker.finish(name, result={"objective": 0.5, "run_id": "none"})

    launching.sagemaker.account.quotas["ml.g5.xlarge", False] = 0
    with launching.ending_jobs(end):
        done = launching.train("hw=g5", "hw.fallback=[ml.g5.2xlarge,ml.g4dn.xlarge]", "hw.keep_alive_minutes=30")
    assert done.status == 0, done.err
    assert "ml.g5.xlarge, else ml.g5.2xlarge, else ml.g4dn.xlarge" in done.out
    first, second = launching.sagemaker.requests
    assert first["ResourceConfig"]["InstanceType"] == "ml.g5.2xlarge"
    assert second["ResourceConfig"]["InstanceType"] == "ml.g4dn.xlarge"
    assert launching.sagemaker.staged(first["TrainingJobName"])["hw"]["data_workers"] == 8
    assert launching.sagemaker.staged(second["TrainingJobName"])["hw"]["precision"] == "16-mixed"
    assert second["ResourceConfig"]["KeepAlivePeriodInSeconds"] == 1800
    assert first["CheckpointConfig"] == second["CheckpointConfig"]


def test_a_machine_that_could_not_do_it_is_refused_before_anything_is_sent(launching: Launching) -> None:
    assert launching.error_message("hw=g5", "hw.devices=4").startswith("hw.devices=4: ml.g5.xlarge has 1 A10G GPU")
    assert "hw.fallback: g55 is not a cloud instance" in launching.error_message("hw=g5", "hw.fallback=[g6,g55]")
    assert not launching.sagemaker.requests
