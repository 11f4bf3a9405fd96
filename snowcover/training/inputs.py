"""What a run is made from: shown and recorded as it begins."""

import logging
from collections.abc import Sequence
from pathlib import Path

import yaml

from snowcover import storage
from snowcover.baselines import stored
from snowcover.nested import flat
from snowcover.tracking import Recorder
from snowcover.training import resume, summary
from snowcover.training.context import TrainingRun
from snowcover.training.finish import RESULT
from snowcover.training.plots.outcome import draw_split

log = logging.getLogger(__name__)


def record_inputs(run: TrainingRun, recorder: Recorder) -> None:
    """Show what will run, and write it to the run's folder and to MLflow."""
    start, metadata = run.start, run.metadata
    log.info(summary.plan(run.config, run.dataset, run.module.mapper, run.device, run.name))
    for note in run.dataset.notes:
        log.warning(note)
    metadata.run_id = recorder.run_id
    resume.write_record(start, run.config, recorder.run_id)
    if start.training_left(run.config.trainer):
        (start.folder / RESULT).unlink(missing_ok=True)  # of when it was shorter
    recorder.tags(summary.tags(run.overrides, run.device) | summary.grid_tags(run.dataset))
    if start.resumed_from:
        log.info("Resuming from %s after %d epochs.", start.resumed_from, len(metadata.history))
        recorder.tags({"resumed_from": start.resumed_from})
    files = _write(run)  # also of a run that is resumed: its folder may be a new one
    if recorder.run_id != start.run_id:  # else MLflow has them
        _log(run, recorder, files)


def _log(run: TrainingRun, recorder: Recorder, files: Sequence[Path]) -> None:
    values = flat(resume.public(run.config))
    recorder.params({key: value for key, value in values if not key.startswith("tracking.tags")})
    collects = sorted({pair.collect for pair in run.dataset.manifest.pairs})
    recorder.dataset(", ".join(collects), run.dataset.digest)
    for path in files:
        recorder.artifact(path, "pictures" if path.suffix == ".png" else None)


def _write(run: TrainingRun) -> list[Path]:
    """The folder of a run that is resumed may have these files already."""
    texts = {
        "config.yaml": yaml.safe_dump(resume.public(run.config), sort_keys=False),
        "manifest.csv": run.dataset.manifest.to_csv(),
        "split.csv": run.dataset.split_csv(),
    }
    contents = {name: text.encode() for name, text in texts.items()} | {stored.FILE: stored.to_npz(run.metadata)}
    paths = [run.start.folder / name for name in (*contents, "split.png")]
    for path in paths:
        if run.start.resumed_from and path.is_file() and path.name != stored.FILE:  # which may have got a forest
            continue
        if path.name in contents:
            storage.write(str(path), contents[path.name])
        else:
            draw_split(run.start.folder, run.dataset)
    return paths
