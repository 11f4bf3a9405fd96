"""The end of a run: its best network tested, all of it saved on this disk, and only then recorded in MLflow.

Whatever moment it is interrupted at, the same command with checkpoint.resume=auto does what is left of it.
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

from snowcover import checkpoints, machine, storage
from snowcover.baselines import stored
from snowcover.baselines.fitting import NAMES, baseline_scores
from snowcover.data.dataset import TileDataset
from snowcover.epoch_line import epoch_number
from snowcover.errors import UserError, first_line
from snowcover.finite import NotFinite
from snowcover.run_metadata import RunMetadata
from snowcover.scoring import calibration
from snowcover.scoring.confusion import Counts, scores
from snowcover.scoring.objective import best_epoch, best_value
from snowcover.signals import defer_signals
from snowcover.tracking import Recorder
from snowcover.training import run_record, score_table, summary
from snowcover.training.context import TrainingRun
from snowcover.training.metric_logger import MetricLogger, metric_rows
from snowcover.training.module import SnowModule, TestTotals
from snowcover.training.plots.outcome import draw_outcome
from snowcover.training.resume import ResumePoint

log = logging.getLogger(__name__)

RESULT = "result.json"
EXAMPLE_PX = 260  # largest side of the MLflow model's input example, which is stored as text


class NotRecorded(UserError):
    """The run is trained and tested, but MLflow did not take the last of it."""


def load_best(run: TrainingRun) -> None:
    """Put the best weights into the network, and into their checkpoint all that there is to say of the run.

    Raises:
        BadCheckpoint
    """
    path, metadata = run.start.best, run.metadata
    best = checkpoints.load(str(path))
    checkpoints.load_network(run.module.mapper.network, best, str(path))
    run.module.mapper.temperature.fill_(calibration.temperature(metadata.history))
    saved = RunMetadata.of(best, str(path))
    is_current = saved is not None and (saved.history, saved.run_id) == (metadata.history, metadata.run_id)
    if machine.rank() == 0 and not is_current:
        with defer_signals():
            checkpoints.save(checkpoints.weights_of(best) | {checkpoints.METADATA: metadata.to_dict()}, path)


def test(trainer: lightning.Trainer, module: SnowModule, data: lightning.LightningDataModule) -> TestTotals:
    """What the network makes of the test tiles, over all processes.

    Raises:
        NotFinite: of some pixel the network's answer is no number.
    """
    trainer.test(module, datamodule=data, verbose=False)
    totals = module.test_totals()
    if totals.not_finite:
        raise NotFinite(
            f"The network's answer is not a number in {totals.not_finite} observed pixels of the test tiles, which "
            "leaves no score: compute in full precision with hw.precision=32-true, or train with a lower optimizer.lr."
        )
    return totals


def save_result(run: TrainingRun, totals: TestTotals) -> dict[str, Any]:
    """Pictures, and then result.json: where it is, all else of the test is, too, and no second test is needed."""
    metadata, mapper = run.metadata, run.module.mapper
    history, threshold = metadata.history, metadata.brightness_threshold
    assert threshold is not None
    bands = run.config.data.bands
    draw_outcome(run.start.folder, history, totals, run.dataset, mapper.cpu().eval(), bands)
    loss = {"loss": totals.loss} if math.isfinite(totals.loss) else {}
    own = loss | scores(totals.counts) | _calibration_errors(totals, float(mapper.temperature))
    result = {
        "objective": best_value(history), "best_epoch": epoch_number(best_epoch(history) or 0),
        "val": _val_scores(metadata, run.dataset),
        "test": own | baseline_scores(threshold, run.dataset.statistics, "test", totals.forest),
        "brightness_threshold": threshold, "run_id": metadata.run_id,
        "checkpoint": str(run.start.best), "max_epochs": run.config.trainer.max_epochs,
    }  # fmt: skip
    storage.write(str(run.start.folder / RESULT), json.dumps(result, indent=2).encode())
    return result


def _calibration_errors(totals: TestTotals, temperature: float) -> dict[str, float]:
    """How far off the probabilities are, calibrated and as they were."""
    temperatures = {"ece": temperature, "ece_uncalibrated": 1.0}
    errors = {name: calibration.calibration_error(totals.logits, value) for name, value in temperatures.items()}
    return {name: error for name, error in errors.items() if error is not None}


def _val_scores(metadata: RunMetadata, dataset: TileDataset) -> dict[str, float]:
    """Of the best epoch and of the baselines."""
    best = metadata.history[best_epoch(metadata.history) or 0]
    own = {name.removeprefix("val_"): value for name, value in best.items() if name.startswith("val_")}
    forest = None if metadata.forest_val is None else Counts(*metadata.forest_val)
    assert metadata.brightness_threshold is not None
    return own | baseline_scores(metadata.brightness_threshold, dataset.statistics, "val", forest)


def saved_result(start: ResumePoint) -> dict[str, Any] | None:
    """result.json of this run, if the test was made; one that cannot be read is made again."""
    try:
        result: dict[str, Any] = json.loads((start.folder / RESULT).read_text(encoding="utf-8"))
        is_whole = bool(result["val"]) and result["run_id"] == start.run_id
        return result if start.resumed_from and is_whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def record_result(run: TrainingRun, result: dict[str, Any], recorder: Recorder) -> None:
    """Give MLflow all that it may not have yet; done twice, it is there once.

    The weights are there once, too: as a model, or as the checkpoint where none is to be or can be exported.
    """
    recorder.expect_store()
    test_row = {f"test_{name}": value for name, value in result["test"].items()}
    of_baselines = {f"val_{name}": value for name, value in result["val"].items() if name.startswith(NAMES)}
    last_row = (best_epoch(run.metadata.history) or 0, test_row | of_baselines)
    MetricLogger(recorder, resumed=True).log([*metric_rows(run.metadata), last_row])
    for picture in sorted(run.start.folder.glob("*.png")):
        recorder.artifact(picture, "pictures")
    recorder.describe(lambda before: score_table.description(result, before))
    for name in (RESULT, stored.FILE):
        recorder.artifact(run.start.folder / name)
    export = run.config.tracking.export_model
    mapper = run.module.mapper.cpu().eval()
    if not (export and recorder.model(mapper, _example(run.dataset), list(test_row))):
        recorder.artifact(run.start.best, "checkpoints")


def _example(dataset: TileDataset) -> np.ndarray[Any, Any]:
    """Two raw tiles [2, C + L, h, w], cut small; 0 where a layer has no data, for JSON has no NaN.

    Exporting takes what is special about an example for the rule: one tile, or a size that needs no padding.
    """
    pairs = (dataset.of("test") * 2)[:2]
    side = min(EXAMPLE_PX, *(size - 4 for size in dataset.statistics.shape[1:]))
    raw = np.stack([dataset.read(pair).network_input[:, :side, :side] for pair in pairs])
    return raw if dataset.read.layers is None else np.nan_to_num(raw)


@contextlib.contextmanager
def not_recorded_errors(start: ResumePoint) -> Iterator[Event]:
    """Once the event is set, which says that the result is saved, whatever fails in the block is a NotRecorded.

    Raises:
        NotRecorded
    """
    is_saved = Event()
    try:
        yield is_saved
    except Exception as error:
        if not is_saved.is_set():
            raise
        why = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {first_line(error)}"
        raise NotRecorded(
            f"The run is trained and tested, and safe in {start.folder / RESULT} and {start.best}, but not all of it "
            f"is in MLflow, which the same command with checkpoint.resume=auto makes good without training ({why})."
        ) from error


def finish(run: TrainingRun, result: dict[str, Any], experiment_id: str) -> None:
    """Show what came of it, and leave no more than is of use: the run is complete, and MLflow has it."""
    if not run.config.checkpoint.keep_last:
        run.start.last.unlink(missing_ok=True)
    run_record.mark_recorded(run.start.folder)
    log.info(summary.outcome(result, run.config.tracking.uri, experiment_id, run.start.folder))
    if (verdict := score_table.verdict(result)) is not None:
        log.warning(verdict)


def complete_result(start: ResumePoint) -> dict[str, Any] | None:
    """The result of a run that has nothing left to do and is in MLflow; None of any other."""
    record, result = run_record.read(start.folder), saved_result(start)
    if record is None or not record.recorded or result is None:
        return None
    log.info("Nothing to do: the run in %s is complete.", start.folder)
    return result
