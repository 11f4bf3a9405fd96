"""Dates in the names of scenes and collects. Pure."""

import re
from datetime import date


def date_in(name: str) -> str:
    """The first date in a scene's or collect's name, YYYYMMDD, or nothing."""
    match = re.search(r"(?<!\d)(19|20)\d{6}(?!\d)", name)
    return match.group() if match else ""


def days_apart(one: str, other: str) -> int | None:
    """Days between two dates written YYYYMMDD; None where one is no date."""
    try:
        return abs((date.fromisoformat(one) - date.fromisoformat(other)).days)
    except ValueError:
        return None
