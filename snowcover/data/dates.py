"""Dates and times in the names of scenes and collects. Pure."""

import re
from datetime import UTC, date, datetime


def date_in(name: str) -> str:
    """The first date in a scene's or collect's name, YYYYMMDD, or nothing."""
    match = re.search(r"(?<!\d)(19|20)\d{6}(?!\d)", name)
    return match.group() if match else ""


def instant_in(name: str) -> datetime | None:
    """The date and time of day in a scene's name, 20180528_181110, in UTC; None where there is none."""
    day = date_in(name)
    clock = name.partition(f"{day}_")[2][:6] if day else ""
    if len(clock) != 6 or not clock.isdigit():
        return None
    try:
        return datetime.strptime(day + clock, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def days_apart(one: str, other: str) -> int | None:
    """Days between two dates written YYYYMMDD; None where one is no date."""
    try:
        return abs((date.fromisoformat(one) - date.fromisoformat(other)).days)
    except ValueError:
        return None
