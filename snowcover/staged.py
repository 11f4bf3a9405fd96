"""`python -m snowcover.staged`: runs a command on a config that was composed elsewhere. Nothing heavy before it is
right."""

import logging
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from pydantic import Field
from yaml import YAMLError

from snowcover import __version__
from snowcover.cli import cli_error_handler, nearest
from snowcover.config import Config
from snowcover.errors import UserError, first_line
from snowcover.terminal import log_to_terminal
from snowcover.validation import ConfigError, Section, checked

BEST, LAST = "best.ckpt", "last.ckpt"  # as in snowcover.checkpoints, which loads torch
USAGE = "usage: python -m snowcover.staged CONFIG RUN_FOLDER CHECKPOINT_DIR FAILURE_FILE"


class OtherVersion(UserError):
    """The config was composed by another version of this package."""


class UnknownCommand(UserError):
    """The config is for a command that this package does not run as a job."""


class Job(Section):
    """What a staged config says of the job that runs it, next to the config itself."""

    version: str
    """version of snowcover that composed the config"""
    command: str = "train"
    """what runs, as in `python -m snowcover.train`"""
    name: str
    """name of the job"""
    result: str | None = None
    """s3:// or path where the job writes its result.json; null: nowhere"""
    overrides: list[str] = Field(default_factory=list)
    """what the user changed, as key=value: names the run and tags it"""


@dataclass(frozen=True)
class StagedCommand:
    """A command that can be a job."""

    schema: type[Section]
    """which keys its config has"""
    run: Callable[[Any, Job, Path, Path], Any]
    """runs a config of that schema, with the job's folders for the run and for checkpoints"""


class _Extra(Section):
    job: Job


def staged(path: Path) -> tuple[Any, Job]:
    """The config, by the schema of its command, and the job of a staged file.

    Raises:
        OtherVersion: another version of snowcover wrote it.
        UnknownCommand: no job runs its command.
        ConfigError: it is no YAML, or a key of it is unknown, missing, of the wrong type or out of range.
    """
    values = _values(path)
    node = values.pop("job", None)
    version = node.get("version") if isinstance(node, Mapping) else None
    # First of all: the keys of another version may well be others.
    if version is not None and version != __version__:
        raise OtherVersion(
            f"{path.name} was composed by snowcover {version} and this is snowcover {__version__}: rebuild the image "
            "from the checkout that launches, or launch with that version."
        )
    job = checked(_Extra, {} if node is None else {"job": node}).job
    return checked(_command(job.command, path).schema, values), job


def _command(name: str, path: Path) -> StagedCommand:
    if name not in COMMANDS:
        raise UnknownCommand(
            f"{path.name} asks for the command {name}{nearest(name, COMMANDS)}, which is none of those that run as "
            f"jobs ({', '.join(COMMANDS)}): set job.command to one of them."
        )
    return COMMANDS[name]


def _values(path: Path) -> dict[str, Any]:
    try:
        # OmegaConf's reading of numbers: YAML itself takes 1e-3 for text. Values are resolved already.
        values = OmegaConf.to_container(OmegaConf.create(path.read_text(encoding="utf-8")), resolve=False)
    except (OSError, UnicodeError, YAMLError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as a config ({first_line(error)}): stage it again.") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds a list and no config: stage it again.")
    return {str(key): value for key, value in values.items()}


def run(config_file: Path, folder: Path, checkpoint_dir: Path) -> Any:
    """Run the command of a staged file.

    Args:
        folder: where the run keeps its files.
        checkpoint_dir: where it keeps what it needs to resume if it is started again.
    """
    config, job = staged(config_file)
    return _command(job.command, config_file).run(config, job, folder, checkpoint_dir)


def _train(config: Config, job: Job, folder: Path, checkpoint_dir: Path) -> float:
    """Start a run, or resume the one whose checkpoint is in the job's folder, or else the given one.

    Of a run that was trained to its end best.ckpt alone is there: it has nothing to train then, only to be handed over.
    """
    given, last, best = config.checkpoint.resume, checkpoint_dir / LAST, checkpoint_dir / BEST
    # Beside a given checkpoint, best.ckpt alone is what a start on that one, broken off since, had copied.
    there = (str(path) for path in ((last,) if given else (last, best)) if path.is_file())
    place = {"dir": str(checkpoint_dir), "resume": next(there, given)}
    config = config.model_copy(update={"checkpoint": config.checkpoint.model_copy(update=place)})

    from snowcover.train import fit

    # A database of this machine holds what this job's own earlier starts recorded, or nothing at all.
    return fit(config, folder, job.overrides, own_store=config.tracking.uri.startswith("sqlite:"))


COMMANDS = {"train": StagedCommand(Config, _train)}


def main() -> None:
    """What container/train starts: arguments are the config file, folder, checkpoint folder and failure file."""
    if len(sys.argv) != 5:
        sys.exit(USAGE)
    config_file, folder, checkpoint_dir, failure_file = map(Path, sys.argv[1:])
    # The other processes of one run have nothing to log that the first does not.
    level = logging.INFO if int(os.environ.get("RANK", "0")) == 0 else logging.WARNING
    log_to_terminal(level)
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # logs each cache that a new machine lacks
    with cli_error_handler("config", failure_file):
        run(config_file, folder, checkpoint_dir)


if __name__ == "__main__":
    main()
