"""The highest cost of jobs, and their actual cost."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from snowcover.config import HwConfig
from snowcover_launch.aws.training_jobs import JobState
from snowcover_launch.backends import Backends
from snowcover_launch.backends.base import SweepContext
from snowcover_launch.backends.sagemaker.reports import facts_of_earlier, metrics_of
from snowcover_launch.cost import Cost, Prices, cost, most_expensive
from snowcover_launch.job import Job
from snowcover_launch.preflight import _format_total
from snowcover_launch.spending import Spending, TooExpensive


def hw(**changes: object) -> HwConfig:
    plain = {"accelerator": "gpu", "devices": 1, "precision": "auto", "data_workers": 4}
    machine = {"backend": "sagemaker", "instance_type": "ml.g5.xlarge", **plain, **changes}
    return HwConfig.model_validate(machine)


PRICES = Prices(as_of="2026-01-01", usd_per_hour={"us-west-2": {"ml.g5.xlarge": 1.5, "ml.g5.2xlarge": 2.0}})


def highest(**changes: object) -> float | None:
    return cost(hw(**changes), PRICES, "us-west-2").highest_usd


def test_the_highest_cost_counts_machines_and_keep_alive_time_but_no_retries() -> None:
    assert highest(max_hours=10) == 15
    assert highest(max_hours=10, instance_count=2) == 30
    assert highest(max_hours=10, keep_alive_minutes=60, instance_count=2) == 33
    assert highest(max_hours=10, retries=5) == 15  # AWS: MaxRuntimeInSeconds is for all attempts in total
    assert highest(max_hours=10, instance_type="ml.p5.4xlarge") is None


def test_billable_seconds_are_of_one_machine_and_billed_for_each() -> None:
    assert Cost(1.5, 1, 10).of_seconds(3600) == 1.5
    assert Cost(1.5, 3, 10).of_seconds(3600) == 4.5
    assert Cost(None, 3, 10).of_seconds(3600) is None


def test_the_cost_of_a_job_includes_the_time_its_machines_waited_for_the_next_one() -> None:
    record = Job(
        number=0, name="snowcover-x", title="x", backend="sagemaker", experiment="x", folder="0", tracking_uri="x",
        machine="ml.g5.xlarge", machines=2, usd_per_hour=1.5, spot=True,
    )  # fmt: skip
    state = JobState("snowcover-x", "", "Completed", "Completed", None, None, None, 4000, 3000, None)
    metrics = metrics_of(record, state, 1.5)
    assert metrics["job_billable_seconds"] == 6000
    assert metrics["job_cost_usd"] == pytest.approx(2 * 1.5 * 3000 / 3600)
    assert metrics["job_spot_saving"] == pytest.approx(0.25)  # of one machine, as DescribeTrainingJob's own formula
    metrics = metrics_of(record, replace(state, warm_pool_s=600), 1.5)
    assert metrics["job_warm_pool_seconds"] == 1200
    assert metrics["job_cost_usd"] == pytest.approx(2 * 1.5 * 3600 / 3600)


def test_a_job_that_ran_on_another_machine_has_the_cost_of_that_one() -> None:
    backend: Any = Backends(SweepContext("a1b2c3", Path("outputs"), PRICES), account=("us-west-2", None))["sagemaker"]
    asked = Job(
        number=0, name="snowcover-x", title="x", backend="sagemaker", experiment="x", folder="0", tracking_uri="x",
        machine="ml.g5.xlarge", usd_per_hour=1.5,
    )  # fmt: skip
    state = JobState("snowcover-x", "", "Stopped", "Stopped", None, None, None, 3600, 3600, None)
    other = replace(state, instance_type="ml.g5.2xlarge", instance_count=2, spot=True)
    assert facts_of_earlier(asked, other, "s3://b/x", "us-west-2", PRICES)["usd_per_hour"] == 2.0
    report = backend._report(asked, other, "s3://b/x")
    assert report.metrics["job_cost_usd"] == 4.0
    assert (report.tags["job.instance_type"], report.tags["job.spot"]) == ("ml.g5.2xlarge", "true")
    assert backend._report(asked, state, "s3://b/x").metrics["job_cost_usd"] == 1.5


def test_a_job_with_other_machines_to_fall_back_on_may_cost_as_much_as_the_dearest() -> None:
    cheap, dear, unknown = Cost(1.0, 1, 10), Cost(2.0, 1, 10), Cost(None, 1, 10)
    assert most_expensive([cheap, dear]) is dear
    assert most_expensive([cheap, unknown, dear]) is unknown
    assert pytest.approx(10) == most_expensive([cheap]).highest_usd


def test_an_unknown_price_is_shown_before_the_job_starts() -> None:
    def job(number: int, highest_usd: float | None, *unpriced: str) -> Job:
        return Job(
            number=number, title="x", backend="sagemaker", experiment="x", folder="0", tracking_uri="x",
            machine="ml.g5.xlarge", highest_usd=highest_usd, unpriced=list(unpriced),
        )  # fmt: skip

    assert _format_total([job(0, 15), job(1, 20)]) == "35.00 USD in all"
    message = _format_total([job(0, 15), job(1, None, "ml.p3.2xlarge"), job(2, 20)])
    assert message.startswith("35.00 USD for 2 of 3 jobs, and unknown for the others: there is no price for ml.p3.2x")
    assert _format_total([job(0, None, "ml.p5.4xlarge")]).startswith("unknown: there is no price for ml.p5.4xlarge")
    with pytest.raises(TooExpensive, match=r"cannot be checked: the price table lacks ml\.p3\.2xlarge in"):
        Spending().admit([job(0, None, "ml.p3.2xlarge")], 100)
