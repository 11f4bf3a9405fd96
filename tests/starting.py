"""A command of ours, started in this process as a user starts it."""

import atexit
import contextlib
import gc
import io
import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from snowcover.cli import Command, run

ROOT = Path(__file__).resolve().parents[1]
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["snowcover.training.run", "snowcover.predict.pipeline", "snowcover.prepare.pipeline"])


@dataclass(frozen=True)
class Ended:
    """What a command ended with and printed."""

    status: int
    out: str
    err: str

    @property
    def error_message(self) -> str:
        """Of a failed command, which prints that one line."""
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


class Process:
    """`python -m module` in a process of its own, with what `subprocess.Popen` offers.

    It begins as the fork of one that has imported everything, which takes longer than most of what tests start.
    """

    def __init__(self, module: str, folder: Path, *arguments: str, **environment: str) -> None:
        self._said = tempfile.TemporaryDirectory()
        self._files = [Path(self._said.name, name) for name in ("out", "err")]
        for file in self._files:
            file.touch()
        given = (module, arguments, str(folder), {**os.environ, **environment}, *map(str, self._files))
        self._process = FORKED.Process(target=_become, args=given)
        self._process.start()
        self.pid = self._process.pid or 0

    @property
    def out(self) -> str:
        """What it has printed so far."""
        return self._files[0].read_text()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def wait_for(self, text: str, timeout_s: float = 300) -> None:
        """Until it has printed that."""
        end = time.monotonic() + timeout_s
        while text not in self.out:
            assert self.returncode is None, self.communicate()
            assert time.monotonic() < end, f"no {text!r} in {self.out!r}"
            time.sleep(0.02)

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """Its output and errors, when it has ended."""
        self._process.join(timeout)
        assert self.returncode is not None, "it does not end"
        out, err = (file.read_text() for file in self._files)
        return out, err


def _become(
    module: str, arguments: tuple[str, ...], folder: str, environment: dict[str, str], out: str, err: str
) -> None:
    """This process as Python would have started it for the module."""
    gc.freeze()  # what it was forked with stays
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), number)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    os.chdir(folder)
    sys.argv = [module, *arguments]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # which multiprocessing leaves out


def finish_process(process: Process) -> tuple[int | None, str, str]:
    """Its status, output and errors."""
    output, errors = process.communicate()
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
