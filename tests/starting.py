"""A command of ours, started in this process as a user starts it."""

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from snowcover.command import Command, run

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Ended:
    """What a command ended with and printed."""

    status: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one line that a failed command ends in."""
        assert self.status == 1, self.out + self.err
        (line,) = self.err.strip().splitlines()
        return line


def start(command: Command, folder: Path, *arguments: str) -> Ended:
    """The command in `folder`, which it must not leave."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    os.environ.pop("HYDRA_FULL_ERROR", None)
    with _in(folder, arguments), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            run(command)
        except SystemExit as end:
            status = int(end.code or 0)
        assert Path.cwd() == folder.resolve()
    return Ended(status, out.getvalue(), err.getvalue())


def start_process(module: str, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """`python -m module` in a process of its own, in `folder`."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish_process(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Its status, output and errors."""
    output, errors = process.communicate(timeout=120)
    return process.returncode, output, errors


@contextlib.contextmanager
def _in(folder: Path, arguments: tuple[str, ...]) -> Iterator[None]:
    before, argv = Path.cwd(), sys.argv
    os.chdir(folder)
    sys.argv = ["command", *arguments]
    try:
        yield
    finally:
        os.chdir(before)
        sys.argv = argv


def everything_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
