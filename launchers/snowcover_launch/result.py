"""What came of a job."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """An objective, or why there is none."""

    objective: float = math.nan
    error: Exception | None = None
