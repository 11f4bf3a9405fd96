"""Where a run starts: at its beginning, from another run's weights, or where it stopped."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from snowcover import checkpoints, machine, storage
from snowcover.config import Config, TrainerConfig
from snowcover.errors import UserError
from snowcover.identity import changed_keys, run_digest
from snowcover.run_metadata import RunMetadata
from snowcover.scoring.objective import ends_with_best, patience_over
from snowcover.secrets import masked_values
from snowcover.training import run_record
from snowcover.training.run_record import Record

log = logging.getLogger(__name__)


class CannotResume(UserError):
    """There is nothing to resume, or it belongs to another config or other tiles."""


@dataclass(frozen=True)
class ResumePoint:
    """A run's folder and what it starts from."""

    folder: Path
    checkpoint_dir: Path
    resumed_from: str | None = None
    """uri of the last.ckpt that is resumed, or of the best.ckpt of a run that was trained to its end"""
    metadata: RunMetadata | None = None
    """what that checkpoint says of its run"""

    @property
    def run_id(self) -> str | None:
        return self.metadata.run_id if self.metadata else None

    @property
    def last(self) -> Path:
        return self.checkpoint_dir / checkpoints.LAST

    @property
    def best(self) -> Path:
        return self.checkpoint_dir / checkpoints.BEST

    def training_left(self, trainer: TrainerConfig) -> bool:
        """Whether there are epochs to train."""
        return self.metadata is None or training_left(trainer, self.metadata.history)


def resume_point(config: Config, folder: Path) -> ResumePoint:
    """Where this run starts; `folder` is used unless an earlier run is resumed in its own. Writes nothing.

    Raises:
        CannotResume, BadCheckpoint, StorageError
    """
    given_dir = Path(config.checkpoint.dir) if config.checkpoint.dir else None
    new = ResumePoint(folder, given_dir or folder / "checkpoints")
    resume = config.checkpoint.resume
    wanted = _checkpoint_of_this(config, folder) if resume == "auto" else resume
    if wanted is None:
        _refuse_other_run(new)
        if resume == "auto":
            log.info("checkpoint.resume=auto: there is no run of exactly this config yet, so a new one starts.")
        return new
    found, checkpoint = _loaded(wanted)
    metadata = RunMetadata.of(checkpoint, found)
    if metadata is None:
        raise CannotResume(f"{found} is not one of our checkpoints: start a new run with checkpoint.init_from={found}.")
    _refuse_other(config, metadata, found)
    if training_left(config.trainer, metadata.history) and not checkpoints.can_resume(checkpoint):
        raise CannotResume(
            f"{found} holds weights alone, so the run, which ended after {len(metadata.history)} epochs, cannot be "
            f"trained to trainer.max_epochs={config.trainer.max_epochs}: start a new run from them with "
            f"checkpoint.init_from={found}, and give checkpoint.keep_last=true to a run that may be made longer."
        )
    start = replace(_place(new, config, found, metadata.run_id), resumed_from=found, metadata=metadata)
    if storage.is_remote(found) or Path(found).resolve().parent != start.checkpoint_dir.resolve():
        _refuse_other_run(start)
    return start


def training_left(trainer: TrainerConfig, history: Sequence[Mapping[str, float]]) -> bool:
    """Whether a run of this history has epochs to go."""
    return len(history) < trainer.max_epochs and not patience_over(history, trainer.patience_epochs)


def fetch_best(start: ResumePoint) -> None:
    """Copy the best checkpoint so far to where a resumed run will look for it.

    Raises:
        CannotResume: it is not next to the last one.
    """
    if start.resumed_from is None or start.metadata is None or not start.metadata.history:
        return
    found = start.resumed_from
    if not storage.is_remote(found) and Path(found).resolve() == start.best.resolve():
        return
    if ends_with_best(start.metadata.history):  # a stop may have come between saving the two
        checkpoints.save(checkpoints.weights_of(checkpoints.load(found)), start.best)
        return
    best = _best_next_to(found)
    if not storage.is_remote(best) and Path(best).resolve() == start.best.resolve() and start.best.is_file():
        return
    try:
        storage.download(best, str(start.best))
    except storage.MissingFile as error:
        raise CannotResume(f"{found} has no {checkpoints.BEST} next to it, which resuming needs: copy both.") from error


def copy_last(start: ResumePoint, run_id: str | None) -> None:
    """Have the checkpoint that is resumed in the run's own folder, so that a stop in the next epoch loses nothing.

    Args:
        run_id: of the run in MLflow, which is another where the store of the first is out of reach.
    """
    if start.resumed_from is None or start.metadata is None or start.last.is_file():
        return
    metadata = replace(start.metadata, run_id=run_id).to_dict()
    checkpoints.save({**checkpoints.load(start.resumed_from), checkpoints.METADATA: metadata}, start.last)


def write_record(start: ResumePoint, config: Config, run_id: str) -> None:
    """Write run.json as a run starts or is resumed, so that it is found again."""
    now, uri = datetime.now(UTC).isoformat(), str(config.tracking.uri)
    run_record.write(start.folder, Record(run_digest(config.model_dump()), run_id, uri, now))


def public(config: Config) -> dict[str, Any]:
    """The config as plain values to show and keep, without secrets: another password makes no other run."""
    values: dict[str, Any] = masked_values(config.model_dump())
    return values


def _checkpoint_of_this(config: Config, folder: Path) -> str | None:
    """last.ckpt of the run of this config that started last, or its best.ckpt if that is all that it has left."""
    if config.checkpoint.dir:
        return _last_or_best(Path(config.checkpoint.dir))
    wanted = run_digest(config.model_dump())
    same = (its for its, record in run_record.below(_root(config, folder)) if record.identity == wanted)
    return next((found for its in same if (found := _last_or_best(its / "checkpoints"))), None)


def _root(config: Config, folder: Path) -> Path:
    """Where the runs of this experiment lie."""
    return next((parent for parent in folder.parents if parent.name == config.experiment_name), folder.parent)


def _last_or_best(folder: Path) -> str | None:
    paths = (folder / name for name in (checkpoints.LAST, checkpoints.BEST))
    return next((str(path) for path in paths if path.is_file()), None)


def _loaded(uri: str) -> tuple[str, dict[str, Any]]:
    """The checkpoint, or the best one next to it: a run that is complete keeps no last.ckpt."""
    missing = (checkpoints.NoCheckpoint, storage.MissingFile)
    try:
        return uri, checkpoints.load(uri)
    except missing as error:
        try:
            return _best_next_to(uri), checkpoints.load(_best_next_to(uri))
        except missing:
            raise error from None


def _best_next_to(uri: str) -> str:
    folder, slash, _ = uri.rpartition("/")
    return f"{folder}{slash}{checkpoints.BEST}"


def _place(new: ResumePoint, config: Config, found: str, run_id: str | None) -> ResumePoint:
    """The folders of the resumed run, where it has any on this machine."""
    if storage.is_remote(found):
        return new
    own = Path(found).parent.parent
    if (record := run_record.read(own)) is not None and record.run_id == run_id:
        return ResumePoint(own, Path(found).parent)
    if config.checkpoint.resume != "auto":
        return new
    its = (folder for folder, record in run_record.below(_root(config, new.folder)) if record.run_id == run_id)
    return replace(new, folder=next(its, new.folder))


def _refuse_other_run(start: ResumePoint) -> None:
    """Nothing that another run saved is written over."""
    if machine.rank() > 0:
        return  # the first process writes there, and may have started to
    if (taken := _last_or_best(start.checkpoint_dir)) is not None and not _is_copy_of_best(start, taken):
        raise CannotResume(
            f"{start.checkpoint_dir} holds another run's {Path(taken).name}: resume it with checkpoint.resume=auto, "
            "or give another checkpoint.dir."
        )


def _is_copy_of_best(start: ResumePoint, taken: str) -> bool:
    """Whether it is the best checkpoint of the same run, copied by a start that was interrupted: see fetch_best."""
    if start.metadata is None or Path(taken).name != checkpoints.BEST:
        return False
    metadata = RunMetadata.of(checkpoints.load(taken), taken)
    return metadata is not None and _identity(metadata) == _identity(start.metadata)


def _identity(metadata: RunMetadata) -> tuple[str, str | None]:
    return run_digest(metadata.config), metadata.run_id


def _refuse_other(config: Config, metadata: RunMetadata, last: str) -> None:
    changed = changed_keys(config.model_dump(), metadata.config)
    if changed:
        shown = ", ".join(f"{each.key} was {each.was} and is now {each.now}" for each in changed[:4])
        raise CannotResume(
            f"{last} belongs to another config ({shown}): resume with the same config, or start a new run from "
            f"its weights with checkpoint.init_from={last}."
        )
