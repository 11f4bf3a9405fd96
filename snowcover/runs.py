"""Where a run begins: anew, from another run's weights, or where it stopped."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from snowcover import checkpoints, machine, storage
from snowcover.addresses import without_password
from snowcover.checking import flat
from snowcover.config import Config
from snowcover.errors import UserError
from snowcover.metrics import ends_with_best

RECORD = "run.json"
# What may change between a stop and going on: where and how long, not what is learned from what.
MAY_CHANGE = {
    "run_name": None,
    "tracking": None,
    "hw": None,
    "checkpoint": {"dir", "resume"},
    "data": {"cache", "manifest", "images", "masks"},
    "trainer": {"max_epochs", "patience_epochs"},
}


class CannotResume(UserError):
    """There is nothing to go on with, or it belongs to another config or other tiles."""


@dataclass(frozen=True)
class Record:
    """The run.json of a run's folder: enough to find the run again."""

    identity: str
    run_id: str
    tracking_uri: str
    started: str


@dataclass(frozen=True)
class Beginning:
    """A run's folder and what it starts from."""

    folder: Path
    checkpoint_dir: Path
    resumed_from: str | None = None
    """uri of the last.ckpt that is gone on from"""
    about: Mapping[str, Any] | None = None
    """what that checkpoint says of its run"""

    @property
    def run_id(self) -> str | None:
        return self.about["run_id"] if self.about else None


def beginning(config: Config, folder: Path) -> Beginning:
    """Where this run starts; `folder` is used unless an earlier run's folder is gone on with.

    Raises:
        CannotResume, BadCheckpoint, StorageError
    """
    given_dir = Path(config.checkpoint.dir) if config.checkpoint.dir else None
    new = Beginning(folder, given_dir or folder / "checkpoints")
    resume = config.checkpoint.resume
    if resume is None:
        if (new.checkpoint_dir / checkpoints.LAST).exists():
            raise CannotResume(
                f"{new.checkpoint_dir} holds another run's {checkpoints.LAST}: go on with checkpoint.resume=auto, "
                "or give another checkpoint.dir."
            )
        return new
    last = _last_of_this(config, folder) if resume == "auto" else resume
    about = checkpoints.load(last).get("snowcover")
    if about is None:
        raise CannotResume(f"{last} is not one of our checkpoints: start a new run with checkpoint.init_from={last}.")
    _refuse_other(config, about, last)
    own = Path(last).parent.parent
    if not storage.is_remote(last) and (own / RECORD).is_file():
        new = Beginning(own, Path(last).parent)
    if machine.rank() == 0:  # which alone reads it, and beside which no other process is to write
        _fetch_best(last, new.checkpoint_dir, about)
    return replace(new, resumed_from=last, about=about)


def write_record(start: Beginning, config: Config, run_id: str) -> None:
    record = Record(
        identity(config),
        run_id,
        without_password(config.tracking.uri),
        datetime.now(UTC).isoformat(),
    )
    storage.write(str(start.folder / RECORD), json.dumps(asdict(record), indent=2).encode())


def identity(config: Config) -> str:
    """SHA-256 of what decides the outcome of a run: equal for a run and its continuation."""
    return hashlib.sha256(json.dumps(_deciding(config.model_dump()), sort_keys=True).encode()).hexdigest()


def public(config: Config) -> dict[str, Any]:
    """The config as plain values to show and keep: a password in the tracking URI stays out of it."""
    values = config.model_dump()
    values["tracking"]["uri"] = without_password(values["tracking"]["uri"])
    return values


def _deciding(config: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in config.items() if MAY_CHANGE.get(key, ()) is not None}
    for section, keys in MAY_CHANGE.items():
        if keys:
            kept[section] = {key: value for key, value in kept[section].items() if key not in keys}
    return kept


def _last_of_this(config: Config, folder: Path) -> str:
    """last.ckpt of the run of this config that started last."""
    if config.checkpoint.dir:
        last = Path(config.checkpoint.dir) / checkpoints.LAST
        if last.is_file():
            return str(last)
        raise CannotResume(f"checkpoint.resume=auto: there is no {last} to go on from; start without resume.")
    root = next((parent for parent in folder.parents if parent.name == config.experiment_name), folder.parent)
    wanted = identity(config)
    found = ((_record(path), path.parent) for path in root.rglob(RECORD))
    same = (
        (record.started, folder / "checkpoints" / checkpoints.LAST)
        for record, folder in found
        if record.identity == wanted
    )
    for _, last in sorted(same, reverse=True):
        if last.is_file():
            return str(last)
    raise CannotResume(
        f"checkpoint.resume=auto: no run of exactly this config has a {checkpoints.LAST} under {root}; "
        "start it without resume, or give the path of a checkpoint."
    )


def _record(path: Path) -> Record:
    return Record(**json.loads(path.read_text()))


def _refuse_other(config: Config, about: Mapping[str, Any], last: str) -> None:
    now, then = dict(flat(_deciding(config.model_dump()))), dict(flat(_deciding(about["config"])))
    changed = [key for key in sorted(now.keys() | then.keys()) if now.get(key) != then.get(key)]
    if changed:
        shown = ", ".join(f"{key} was {then.get(key)} and is now {now.get(key)}" for key in changed[:4])
        raise CannotResume(
            f"{last} belongs to another config ({shown}): go on with the same config, or start a new run from "
            f"its weights with checkpoint.init_from={last}."
        )


def _fetch_best(last: str, folder: Path, about: Mapping[str, Any]) -> None:
    """Bring the best checkpoint so far to where this run will look for it."""
    best = folder / checkpoints.BEST
    beside = last.removesuffix(checkpoints.LAST) + checkpoints.BEST
    history = about["history"]
    if not history:
        return
    if ends_with_best(history):
        checkpoints.save(checkpoints.load(last), best)  # a stop may have come between saving the two
        return
    if best == Path(beside) and best.is_file():
        return
    try:
        storage.download(beside, str(best))
    except storage.MissingFile as error:
        raise CannotResume(f"{last} has no {checkpoints.BEST} beside it, which going on needs: copy both.") from error
