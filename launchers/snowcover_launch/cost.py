"""The highest possible cost of a job, from a price table that the user can edit."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, ValidationError

from snowcover.config import HwConfig
from snowcover.errors import UserError
from snowcover.validation import Section

OURS = Path(__file__).with_name("prices.yaml")


class BadPrices(UserError):
    """The price table cannot be read."""


class Prices(Section):
    """On-demand prices of training machines."""

    as_of: str
    """date of the table, YYYY-MM-DD"""
    usd_per_hour: dict[str, dict[str, Annotated[float, Field(gt=0)]]]
    """region -> instance type -> US dollars an hour"""

    def of(self, region: str | None, instance_type: str | None) -> float | None:
        """US dollars an hour of one machine; None if it is not in the table."""
        return self.usd_per_hour.get(region or "", {}).get(instance_type or "")


def read_prices(path: str | None) -> Prices:
    """The user's table, or ours.

    Raises:
        BadPrices
    """
    file = Path(path) if path else OURS
    try:
        return Prices.model_validate(yaml.safe_load(file.read_text()))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        reason = error.errors()[0] if isinstance(error, ValidationError) else None
        problem = f"{'.'.join(map(str, reason['loc']))}: {reason['msg']}" if reason else str(error).splitlines()[0]
        raise BadPrices(
            f"launch.prices={file} is not a price table ({problem}): write it in the form of {OURS.name}."
        ) from error


@dataclass(frozen=True)
class Cost:
    """The highest possible cost of one job: on demand, to its time limit, plus the full keep-alive time.

    hw.retries add nothing: AWS counts all attempts together against the limit.
    """

    usd_per_hour: float | None
    """of one machine"""
    machines: int
    max_hours: float
    keep_alive_hours: float = 0
    """that the machines wait for the next job, at the same price"""

    @property
    def highest_usd(self) -> float | None:
        if self.usd_per_hour is None:
            return None
        return self.usd_per_hour * self.machines * (self.max_hours + self.keep_alive_hours)

    def of_seconds(self, billable_s: float) -> float | None:
        """US dollars for a job's BillableTimeInSeconds, which AWS reports for one machine and bills for each.

        For spot machines AWS has already reduced it by their lower price.
        """
        return None if self.usd_per_hour is None else self.usd_per_hour * self.machines * billable_s / 3600


def cost(hw: HwConfig, prices: Prices, region: str | None) -> Cost:
    """The most a job on `hw` can cost, in USD; unknown if its machine has no price in the region."""
    keep_alive_hours = (hw.keep_alive_minutes or 0) / 60
    return Cost(prices.of(region, hw.instance_type), hw.instance_count, hw.max_hours, keep_alive_hours)


def most_expensive(costs: Sequence[Cost]) -> Cost:
    """The highest cost of a job that may run on several instance types; an unknown cost counts as the highest."""
    return max(costs, key=lambda cost: float("inf") if cost.highest_usd is None else cost.highest_usd)
