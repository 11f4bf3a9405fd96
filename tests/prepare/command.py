"""The command as a user gives it, run in this process or in one of its own."""

import os
import subprocess
import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from snowcover.command import conf_dir

ROOT = Path(__file__).resolve().parents[2]


def composed(*overrides: str) -> DictConfig:
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return hydra.compose("prepare", list(overrides))


def prepare(*overrides: str) -> None:
    """Runs the command's task here, so that its errors can be caught."""
    from snowcover.prepare.__main__ import prepare as task

    task(composed(*overrides))


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Starts the command in a process of its own, in `folder`."""
    return subprocess.Popen(
        [sys.executable, "-m", "snowcover.prepare", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Status, output and errors of the command."""
    process = start(folder, *arguments)
    output, errors = process.communicate(timeout=120)
    return process.returncode, output, errors
