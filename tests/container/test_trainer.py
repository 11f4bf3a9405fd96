"""The process that container/train keeps, as process 1 keeps it."""

import signal
from pathlib import Path

import pytest

from tests.aws.namespaces import PROGRAM, Namespaces

pytestmark = pytest.mark.process

KEEPER = """
import os, pathlib, signal, sys
sys.path.insert(0, {container!r})
from trainer import Trainer

trainer = Trainer()
{before}
folder = pathlib.Path({folder!r})
trainer.start(["sh", "-c", {script!r}], folder, folder / "log", os.environ, signal.SIGTERM)
status = trainer.wait(lambda: None)
print("status", status, "stopped", trainer.stopped, flush=True)
print(trainer.failure_reason(status), flush=True)
"""


@pytest.fixture(autouse=True, scope="module")
def _can_run() -> None:
    if (obstacle := Namespaces().obstacle()) is not None:
        pytest.skip(obstacle)


def kept(folder: Path, script: str, before: str = "", stop_at: str | None = None) -> str:
    """What process 1 says that keeps a shell script as its trainer; sent SIGTERM once it has said `stop_at`."""
    program = folder / "program.py"
    container = str(PROGRAM.parent)
    program.write_text(KEEPER.format(container=container, script=script, before=before, folder=str(folder)))
    process = Namespaces(program).start(folder, {"PATH": "/usr/bin:/bin"}, folder)
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line.decode()
        if stop_at is not None and stop_at in said:
            Namespaces().terminate(process)
            stop_at = None
    process.wait(timeout=60)
    return said


def test_what_it_says_goes_on_and_is_kept(tmp_path: Path) -> None:
    said = kept(tmp_path, "echo one; echo two >&2; exit 3")
    assert {"one", "two"} <= set(said.splitlines())
    assert sorted((tmp_path / "log").read_text().splitlines()) == ["one", "two"]
    assert "status 3 stopped False" in said
    assert "The training ended with status 3; the last that it said, of which its log has more, is: two" in said


def test_a_stop_reaches_it_and_is_waited_for(tmp_path: Path) -> None:
    script = "trap 'echo saving; sleep 1; echo saved; exit 7' TERM; echo ready; while :; do sleep 0.1; done"
    said = kept(tmp_path, script, stop_at="ready")
    assert said.index("saving") < said.index("saved") < said.index("status 7 stopped True")


def test_a_stop_before_there_is_anything_to_stop_ends_process_1(tmp_path: Path) -> None:
    said = kept(tmp_path, "echo begun", before="print('up', flush=True); import time; time.sleep(60)", stop_at="up")
    assert said == "up\n"


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (signal.SIGKILL, "killed by the machine's kernel (SIGKILL), most likely for want of memory: lower trainer."),
        (signal.SIGSEGV, "The training ended by SIGSEGV; the last that it said, of which its log has more, is: two"),
    ],
)
def test_one_that_a_signal_killed_is_told_so(tmp_path: Path, sent: signal.Signals, told: str) -> None:
    said = kept(tmp_path, f"echo two >&2; kill -{sent} $$")
    assert f"status {128 + sent} " in said
    assert told in said


def test_processes_that_lost_their_parent_leave_no_zombies(tmp_path: Path) -> None:
    orphans = "for i in 1 2 3; do (sh -c 'sleep 0.1 & exit' &); done; sleep 2"
    said = kept(tmp_path, f"{orphans}; grep -l '^State:.Z' /proc/[0-9]*/status | wc -l")
    assert said.startswith("0\n")
