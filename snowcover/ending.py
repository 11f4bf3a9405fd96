"""The end of a run: its best network tested, all of it kept on this disk, and only then told to MLflow.

Whatever moment it is broken off at, the same command with checkpoint.resume=auto does what is left of it.
"""

import contextlib
import json
import logging
import math
from collections.abc import Iterator
from threading import Event
from typing import Any

import lightning
import numpy as np

from snowcover import calibration, checkpoints, machine, outcome, records, report, storage
from snowcover.baselines import kept
from snowcover.baselines.fitting import NAMES, baseline_scores
from snowcover.config import Config
from snowcover.data.gather import Tiles
from snowcover.epochs import Telling, rows_to_tell
from snowcover.errors import UserError, first_line
from snowcover.finite import NotFinite
from snowcover.metrics import Counts, best_epoch, epoch_number, scores
from snowcover.runs import Beginning
from snowcover.stopping import uninterrupted
from snowcover.task import SnowTask, TestTotals
from snowcover.tracking import Recorder

log = logging.getLogger(__name__)

RESULT = "result.json"
EXAMPLE_PX = 260  # largest side of the MLflow model's input example, which is stored as text


class NotRecorded(UserError):
    """The run is trained and tested, but MLflow did not take the last of it."""


def load_best(task: SnowTask, start: Beginning) -> None:
    """Put the best weights into the network, and into their checkpoint all that there is to say of the run."""
    best = checkpoints.load(str(start.best))
    checkpoints.load_network(task.mapper.network, best, str(start.best))
    task.mapper.temperature.fill_(calibration.temperature(task.about["history"]))
    if machine.rank() == 0 and any(best["snowcover"][key] != task.about[key] for key in ("history", "run_id")):
        with uninterrupted():
            checkpoints.save(checkpoints.weights_of(best) | {"snowcover": task.about}, start.best)


def test(trainer: lightning.Trainer, task: SnowTask, data: lightning.LightningDataModule) -> TestTotals:
    """What the network makes of the test tiles, over all processes.

    Raises:
        NotFinite: of some pixel the network's answer is no number.
    """
    trainer.test(task, datamodule=data, verbose=False)
    totals = task.test_totals()
    if totals.not_finite:
        raise NotFinite(
            f"The network's answer is not a number in {totals.not_finite} observed pixels of the test tiles, which "
            "leaves no score: compute in full precision with hw.precision=32-true, or train with a lower optimizer.lr."
        )
    return totals


def keep_outcome(config: Config, start: Beginning, tiles: Tiles, task: SnowTask, totals: TestTotals) -> dict[str, Any]:
    """Pictures, and then result.json, whose being there says that all else of the test is: no second one is needed."""
    history = task.about["history"]
    report.draw_outcome(start.folder, history, totals, tiles, task.mapper.cpu().eval(), config.data.bands)
    loss = {"loss": totals.loss} if math.isfinite(totals.loss) else {}
    own = loss | scores(totals.counts) | _errors(totals, task)
    threshold = task.about[kept.THRESHOLD]
    result = {
        "objective": objective(task), "best_epoch": epoch_number(best_epoch(history) or 0),
        "val": _val_scores(task, tiles),
        "test": own | baseline_scores(threshold, tiles.survey, "test", totals.forest),
        "brightness_threshold": threshold, "run_id": task.about["run_id"],
        "checkpoint": str(start.best), "max_epochs": config.trainer.max_epochs,
    }  # fmt: skip
    storage.write(str(start.folder / RESULT), json.dumps(result, indent=2).encode())
    return result


def _errors(totals: TestTotals, task: SnowTask) -> dict[str, float]:
    """How far off the probabilities are, calibrated and as they were."""
    temperatures = {"ece": float(task.mapper.temperature), "ece_uncalibrated": 1.0}
    errors = {name: calibration.calibration_error(totals.logits, value) for name, value in temperatures.items()}
    return {name: error for name, error in errors.items() if error is not None}


def _val_scores(task: SnowTask, tiles: Tiles) -> dict[str, float]:
    """Of the best epoch and of the baselines."""
    history, forest = task.about["history"], task.about.get("forest_val")
    best = history[best_epoch(history) or 0]
    own = {name.removeprefix("val_"): value for name, value in best.items() if name.startswith("val_")}
    return own | baseline_scores(task.about[kept.THRESHOLD], tiles.survey, "val", forest and Counts(*forest))


def kept_outcome(start: Beginning) -> dict[str, Any] | None:
    """result.json of this run, if the test was made; one that cannot be read is made again."""
    try:
        result: dict[str, Any] = json.loads((start.folder / RESULT).read_text(encoding="utf-8"))
        whole = bool(result["val"]) and result["run_id"] == start.run_id
        return result if start.resumed_from and whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def record_outcome(
    config: Config, start: Beginning, result: dict[str, Any], tiles: Tiles, task: SnowTask, recorder: Recorder
) -> None:
    """Tell MLflow all that it may not have yet; done twice, it is there once.

    The weights are there once, too: as a model, or as the checkpoint where none is to be or can be exported.
    """
    recorder.expect_store()
    test_row = {f"test_{name}": value for name, value in result["test"].items()}
    of_baselines = {f"val_{name}": value for name, value in result["val"].items() if name.startswith(NAMES)}
    last_row = (best_epoch(task.about["history"]) or 0, test_row | of_baselines)
    Telling(recorder, resumed=True)([*rows_to_tell(task.about), last_row])
    for picture in sorted(start.folder.glob("*.png")):
        recorder.artifact(picture, "pictures")
    recorder.describe(lambda before: outcome.description(result, before))
    for name in (RESULT, kept.FILE):
        recorder.artifact(start.folder / name)
    export = config.tracking.export_model
    if not (export and recorder.model(task.mapper.cpu().eval(), _example(tiles), list(test_row))):
        recorder.artifact(start.best, "checkpoints")


def _example(tiles: Tiles) -> np.ndarray[Any, Any]:
    """Two raw tiles [2, C + L, h, w], cut small; 0 where a layer has no data, for JSON has no NaN.

    Exporting takes what is special about an example for the rule: one tile, or a size that needs no padding.
    """
    pairs = (tiles.of("test") * 2)[:2]
    side = min(EXAMPLE_PX, *(size - 4 for size in tiles.survey.shape[1:]))
    raw = np.stack([tiles.read(pair).network_input[:, :side, :side] for pair in pairs])
    return raw if tiles.read.layers is None else np.nan_to_num(raw)


def objective(task: SnowTask) -> float:
    """The best epoch's val_iou, which a sweeper raises; NaN if no epoch has one."""
    history = task.about["history"]
    best = best_epoch(history)
    return math.nan if best is None else float(history[best]["val_iou"])


@contextlib.contextmanager
def safe_without_mlflow(start: Beginning) -> Iterator[Event]:
    """Once the event is set, which says that the outcome is kept, whatever fails in the block is of the record alone.

    Raises:
        NotRecorded
    """
    kept = Event()
    try:
        yield kept
    except Exception as error:
        if not kept.is_set():
            raise
        why = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {first_line(error)}"
        raise NotRecorded(
            f"The run is trained and tested, and safe in {start.folder / RESULT} and {start.best}, but not all of it "
            f"is in MLflow, which the same command with checkpoint.resume=auto makes good without training ({why})."
        ) from error


def finish(config: Config, start: Beginning, result: dict[str, Any], experiment_id: str) -> None:
    """Say what came of it, and leave no more than is of use: the run is complete, and MLflow has it."""
    if not config.checkpoint.keep_last:
        start.last.unlink(missing_ok=True)
    records.mark_recorded(start.folder)
    uri = config.tracking.uri
    log.info(report.outcome(result, uri, experiment_id, start.folder))
    if (said := outcome.verdict(result)) is not None:
        log.warning(said)


def finished(start: Beginning) -> float | None:
    """The objective of a run that has nothing left to do and is in MLflow; None for any other."""
    record, result = records.read(start.folder), kept_outcome(start)
    if record is None or not record.recorded or result is None:
        return None
    log.info("Nothing to do: the run in %s is complete.", start.folder)
    return float(result["objective"])
