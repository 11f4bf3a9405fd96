"""What every job leaves, wherever it ran: its result, model and output, and possibly its own MLflow store."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snowcover.staged import BEST, LAST
from snowcover_launch.job import Job, Report, State

__all__ = ["BEST", "KINDS", "LAST", "STORE", "import_store", "parse_result", "test_iou"]

KINDS = ("model", "output")
STORE = "mlflow"  # in a job's output: its own MLflow store


def parse_result(content: bytes | None) -> Mapping[str, Any] | None:
    """A job's result.json with its objective as a number; None if it is missing or cannot be read."""
    try:
        result = json.loads(content or b"null")
        return {**result, "objective": float(result["objective"])}
    except (ValueError, TypeError, KeyError):
        return None


def test_iou(result: Mapping[str, Any] | None) -> float | None:
    """The network's IoU on its test tiles, which result.json holds next to the objective; None if it has none."""
    try:
        iou = float((result or {})["test"]["iou"])
    except (KeyError, TypeError, ValueError):
        return None
    return iou if math.isfinite(iou) else None


def import_store(job: Job, report: Report, store: Path, uri: str) -> str | None:
    """Import the run of a job's own store into the user's store at `uri`, once.

    Returns:
        The run's id there; None if the job ended before its run started.

    Raises:
        RunImportError: a job that has completed left no readable run.
        CannotRecord: the user's store cannot be written.
    """
    from snowcover import tracking

    try:
        return tracking.import_run(store, uri, job.experiment, job.tags)
    except tracking.RunImportError:
        if report.state is State.COMPLETED:
            raise
        return None
