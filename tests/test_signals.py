"""A stop by a signal is never lost, and how the processes of one run part."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import torch

from snowcover.errors import Stopped
from snowcover.signals import process_group_errors, stopping_on_signals

GROUPS_THAT_END = """
import torch
from torch import distributed
from snowcover.compat import destroy_process_group

for _ in range(300):
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    for _ in range(6):
        distributed.all_reduce(torch.ones(1))
    destroy_process_group()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_that_python_ignores_while_it_closes_a_generator_comes_again(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    def batches() -> Iterator[int]:
        try:
            yield 1
        finally:
            os.kill(os.getpid(), number)
            time.sleep(0.01)

    started = batches()
    next(started)
    reached = []
    with pytest.raises(Stopped) as error, stopping_on_signals():
        del started
        reached.append("the stop was ignored")
        time.sleep(30)
    assert (reached, error.value.signal_number) == (["the stop was ignored"], number)
    assert "Traceback" not in capsys.readouterr().err


def test_what_fails_while_a_stop_is_cleaned_up_after_is_told_as_that_stop() -> None:
    with pytest.raises(Stopped, match="SIGTERM"), stopping_on_signals(), process_group_errors(1):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(30)
        finally:
            raise RuntimeError("another fault")


@pytest.fixture
def group() -> None:
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)


@pytest.mark.usefixtures("group")
def test_a_group_that_is_done_leaves_no_thread_to_meet_the_end_of_python() -> None:
    with process_group_errors(2):
        torch.distributed.all_reduce(torch.ones(1))
    assert not torch.distributed.is_initialized()


@pytest.mark.process
def test_a_group_ends_however_late_its_threads_let_go_of_a_tensor() -> None:
    subprocess.run([sys.executable, "-c", GROUPS_THAT_END], check=True, timeout=120)
