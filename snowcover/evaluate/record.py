"""Records an evaluation in MLflow: on the training run that it belongs to, else as a run of kind "evaluation".

Failures of MLflow never cost the report.
"""

import logging
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snowcover.errors import first_line
from snowcover.evaluate.config import Config
from snowcover.evaluate.results import Evaluation, Row
from snowcover.evaluate.selection import ANY, select
from snowcover.nested import flat
from snowcover.tracking import CannotRecord, Recorder, append_to_run, recorded

log = logging.getLogger(__name__)

EXPERIMENT = "snowcover"
FOLDER = "evaluation"  # of the run's artifacts
MAIN = "iou"  # the score that is logged with all its differences and intervals
NOT_ALLOWED = re.compile(r"[^\w.\- :/]")  # in the name of a metric


def record(
    config: Config, evaluation: Evaluation, files: Mapping[str, bytes], training_runs: Mapping[str, str]
) -> None:
    """Record an evaluation; failures are logged as a warning.

    Args:
        files: path within the report's folder -> content.
        training_runs: product -> id of the run that its network was trained in.
    """
    try:
        if not _record_on_training_runs(config, evaluation, files, training_runs):
            _record_as_own_run(config, evaluation, files, training_runs)
    except CannotRecord as error:
        log.warning("MLflow's record of this evaluation is incomplete; the report is complete: %s", first_line(error))


def _record_on_training_runs(
    config: Config, evaluation: Evaluation, files: Mapping[str, bytes], training_runs: Mapping[str, str]
) -> bool:
    """Record on the training runs; returns whether the store has any of them."""
    found = False
    for run_id in dict.fromkeys(training_runs.values()):
        own = next(product for product in evaluation.products if training_runs.get(product) == run_id)
        with append_to_run(config.tracking.uri, run_id) as recorder:
            if recorder is not None:
                found = True
                recorder.tags(_tags(config, evaluation))
                _log(recorder, metrics(evaluation, own), files, _name(config))
    return found


def _record_as_own_run(
    config: Config, evaluation: Evaluation, files: Mapping[str, bytes], training_runs: Mapping[str, str]
) -> None:
    tags = {
        **config.tracking.tags, "kind": "evaluation", **_tags(config, evaluation),
        "training_run_id": ", ".join(dict.fromkeys(training_runs.values())),
    }  # fmt: skip
    with recorded(
        config.tracking.uri, config.experiment_name or EXPERIMENT, f"evaluation in {config.out}", False, tags=tags
    ) as recorder:
        recorder.params(dict(flat(config.model_dump(exclude={"tracking"}))))
        own = evaluation.products[0] if len(evaluation.products) == 1 else None
        _log(recorder, metrics(evaluation, own), files, _name(config))


def _log(recorder: Recorder, values: Mapping[str, float], files: Mapping[str, bytes], name: str) -> None:
    recorder.metrics([(0, values)])
    with tempfile.TemporaryDirectory() as scratch:
        for path, content in files.items():
            file = Path(scratch) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            folder = str(Path(FOLDER, name, path).parent)
            recorder.artifact(file, folder)


def metrics(evaluation: Evaluation, own: str | None) -> dict[str, float]:
    """The main metrics by name, few enough for a run's page; evaluation.csv has all numbers.

    `eval_iou` with its interval `eval_iou_low`, `eval_iou_high` for the run's own product, `eval_iou/forest` for
    another one, and `eval_iou/forest-minus-network` with its interval for differences.
    """
    found: dict[str, float] = {}
    for row in select(evaluation).rows(cell_m=ANY, versus=ANY):
        if row.versus is not None and row.quantity != MAIN:
            continue
        name = "eval_" + row.quantity + (f"_{row.cell_m:g}m" if row.cell_m is not None else "")
        parts = {"": row.value}
        if row.quantity == MAIN or row.product == own:
            parts |= {"_low": row.low, "_high": row.high}
        found |= {f"{name}{part}{_suffix(row, own)}": value for part, value in parts.items() if value is not None}
    return found


def _suffix(row: Row, own: str | None) -> str:
    if row.versus is None:
        return "" if row.product == own else f"/{_allowed(row.product)}"
    return f"/{_allowed(row.product)}-minus-{_allowed(row.versus)}"


def _allowed(product: str) -> str:
    """A name that MLflow accepts; it reads `..` and `//` as paths."""
    return NOT_ALLOWED.sub("_", product).replace("/", "_").replace("..", "_")


def _tags(config: Config, evaluation: Evaluation) -> dict[str, Any]:
    against = config.reference if config.reference is not None else f"{config.split} tiles"
    return {
        "evaluation.reference": against,
        "evaluation.ground": select(evaluation).ground,
        "evaluation.products": ", ".join(evaluation.products),
        "evaluation.out": config.out,
    }


def _name(config: Config) -> str:
    """Name of the report's folder, which distinguishes evaluations of one run."""
    return config.out.rstrip("/").rpartition("/")[2] or "report"
