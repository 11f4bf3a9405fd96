"""The training process under the supervision of process 1, as in container/train."""

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


def trainer_output(folder: Path, script: str, before: str = "", stop_at: str | None = None) -> str:
    """Output of process 1 with a shell script as trainer; it gets SIGTERM after printing `stop_at`."""
    program = folder / "program.py"
    container = str(PROGRAM.parent)
    program.write_text(KEEPER.format(container=container, script=script, before=before, folder=str(folder)))
    process = Namespaces(program).start(folder, {"PATH": "/usr/bin:/bin"}, folder)
    output = ""
    assert process.stdout is not None
    for line in process.stdout:
        output += line.decode()
        if stop_at is not None and stop_at in output:
            Namespaces().terminate(process)
            stop_at = None
    process.wait(timeout=60)
    return output


def test_its_output_is_forwarded_and_logged(tmp_path: Path) -> None:
    output = trainer_output(tmp_path, "echo one; echo two >&2; exit 3")
    assert {"one", "two"} <= set(output.splitlines())
    assert sorted((tmp_path / "log").read_text().splitlines()) == ["one", "two"]
    assert "status 3 stopped False" in output
    assert "The training ended with status 3; its last line on stderr, with more in its log: two" in output


def test_a_stop_is_forwarded_and_waited_for(tmp_path: Path) -> None:
    script = "trap 'echo saving; sleep 1; echo saved; exit 7' TERM; echo ready; while :; do sleep 0.1; done"
    output = trainer_output(tmp_path, script, stop_at="ready")
    assert output.index("saving") < output.index("saved") < output.index("status 7 stopped True")


def test_a_stop_before_there_is_anything_to_stop_ends_process_1(tmp_path: Path) -> None:
    output = trainer_output(
        tmp_path, "echo started", "print('up', flush=True); import time; time.sleep(60)", stop_at="up"
    )
    assert output == "up\n"


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (signal.SIGKILL, "killed by the machine's kernel (SIGKILL), most likely because memory ran out: lower"),
        (signal.SIGSEGV, "The training ended by SIGSEGV; its last line on stderr, with more in its log: two"),
    ],
)
def test_a_trainer_killed_by_a_signal_is_reported(tmp_path: Path, sent: signal.Signals, message: str) -> None:
    output = trainer_output(tmp_path, f"echo two >&2; kill -{sent} $$")
    assert f"status {128 + sent} " in output
    assert message in output


def test_processes_that_lost_their_parent_leave_no_zombies(tmp_path: Path) -> None:
    orphans = "for i in 1 2 3; do (sh -c 'sleep 0.1 & exit' &); done; sleep 2"
    output = trainer_output(tmp_path, f"{orphans}; grep -l '^State:.Z' /proc/[0-9]*/status | wc -l")
    assert output.startswith("0\n")
