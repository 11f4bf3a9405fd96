"""What jobs may cost at most, and what they did cost."""

import pytest

from snowcover.config import HwConfig
from snowcover_launch.config import JobConfig
from snowcover_launch.cost import Cost, Prices, cost, dearest


class Priced:
    """As much of a job as a price needs."""

    def __init__(self, **hw: object) -> None:
        plain = {"accelerator": "gpu", "devices": 1, "precision": "auto", "data_workers": 4}
        machine = {"backend": "sagemaker", "instance_type": "ml.g5.xlarge", **plain, **hw}
        self.config = JobConfig.model_construct(hw=HwConfig.model_validate(machine))


PRICES = Prices(as_of="2026-01-01", usd_per_hour={"us-west-2": {"ml.g5.xlarge": 1.5, "ml.g5.2xlarge": 2.0}})


def highest(**hw: object) -> float | None:
    return cost(Priced(**hw), PRICES, "us-west-2").highest_usd  # type: ignore[arg-type]


def test_the_highest_cost_counts_machines_and_the_time_that_they_are_kept_and_no_retries() -> None:
    assert highest(max_hours=10) == 15
    assert highest(max_hours=10, instance_count=2) == 30
    assert highest(max_hours=10, keep_alive_minutes=60, instance_count=2) == 33
    assert highest(max_hours=10, retries=5) == 15  # AWS: MaxRuntimeInSeconds is for all attempts in total
    assert highest(max_hours=10, instance_type="ml.p5.4xlarge") is None


def test_billable_seconds_are_of_one_machine_and_billed_for_each() -> None:
    assert Cost(1.5, 1, 10).of_seconds(3600) == 1.5
    assert Cost(1.5, 3, 10).of_seconds(3600) == 4.5
    assert Cost(None, 3, 10).of_seconds(3600) is None


def test_a_job_with_other_machines_to_fall_back_on_may_cost_as_much_as_the_dearest() -> None:
    cheap, dear, unknown = Cost(1.0, 1, 10), Cost(2.0, 1, 10), Cost(None, 1, 10)
    assert dearest([cheap, dear]) is dear
    assert dearest([cheap, unknown, dear]) is unknown
    assert pytest.approx(10) == dearest([cheap]).highest_usd
