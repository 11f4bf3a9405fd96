"""The command as a user gives it, run in this process or in one of its own."""

from pathlib import Path

import hydra
from omegaconf import DictConfig

from snowcover.config_root import conf_dir
from tests.starting import Process, finish_process


def composed(*overrides: str) -> DictConfig:
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return hydra.compose("prepare", list(overrides))


def prepare(*overrides: str) -> None:
    """Runs the command's task here, so that its errors can be caught."""
    from snowcover.prepare.__main__ import COMMAND

    COMMAND.task(composed(*overrides))


def start(folder: Path, *arguments: str) -> Process:
    """Starts the command in a process of its own, in `folder`."""
    return Process("snowcover.prepare", folder, *arguments)


def finish(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Status, output and errors of the command."""
    return finish_process(start(folder, *arguments))
