"""`python -m snowcover.staged`: trains a config that was composed elsewhere. Nothing heavy before it is right."""

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from pydantic import Field
from yaml import YAMLError

from snowcover import __version__
from snowcover.checking import ConfigError, Section, checked
from snowcover.command import ending_in_a_sentence
from snowcover.config import Config
from snowcover.errors import UserError, first_line

BEST, LAST = "best.ckpt", "last.ckpt"  # as in snowcover.checkpoints, which loads torch
USAGE = "usage: python -m snowcover.staged CONFIG RUN_FOLDER CHECKPOINT_DIR FAILURE_FILE"


class OtherVersion(UserError):
    """The config was composed by another version of this package."""


class Job(Section):
    """What a staged config says of the job that trains it, beside the config itself."""

    version: str
    """version of snowcover that composed the config"""
    name: str
    """name of the job"""
    result: str | None = None
    """s3:// or path where the job writes its result.json; null: nowhere"""
    overrides: list[str] = Field(default_factory=list)
    """what the user changed, as key=value: names the run and tags it"""


class _Extra(Section):
    job: Job


def staged(path: Path) -> tuple[Config, Job]:
    """The config and job of a staged file.

    Raises:
        OtherVersion: another version of snowcover wrote it.
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
    return checked(Config, values), job


def _values(path: Path) -> dict[str, Any]:
    try:
        # OmegaConf's reading of numbers: YAML itself takes 1e-3 for text. Values are resolved already.
        values = OmegaConf.to_container(OmegaConf.create(path.read_text(encoding="utf-8")), resolve=False)
    except (OSError, UnicodeError, YAMLError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as a config ({first_line(error)}): stage it again.") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds a list and no config: stage it again.")
    return {str(key): value for key, value in values.items()}


def train(config_file: Path, folder: Path, checkpoint_dir: Path) -> float:
    """Begins the run of a staged file, or goes on with it where its checkpoint directory holds a checkpoint.

    Of a run that was trained to its end that is best.ckpt alone: there is nothing to train then, only to hand over.
    """
    config, job = staged(config_file)
    there = (str(path) for path in (checkpoint_dir / LAST, checkpoint_dir / BEST) if path.is_file())
    place = {"dir": str(checkpoint_dir), "resume": next(there, config.checkpoint.resume)}
    config = config.model_copy(update={"checkpoint": config.checkpoint.model_copy(update=place)})

    from snowcover.train import fit

    return fit(config, folder, job.overrides)


def main() -> None:
    if len(sys.argv) != 5:
        sys.exit(USAGE)
    config_file, folder, checkpoint_dir, failure_file = map(Path, sys.argv[1:])
    # The other processes of one run have nothing to tell that the first does not.
    level = logging.INFO if int(os.environ.get("RANK", "0")) == 0 else logging.WARNING
    logging.basicConfig(stream=sys.stdout, format="%(message)s", level=level)
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # tells of each cache that a new machine has not got
    with ending_in_a_sentence("config", failure_file):
        train(config_file, folder, checkpoint_dir)


if __name__ == "__main__":
    main()
