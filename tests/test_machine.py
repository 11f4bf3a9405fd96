"""What a run is told of the machine that it runs on."""

import subprocess
import sys

import numpy as np
import pytest

from snowcover.machine import peak_memory_gb, reset_peak_memory

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="the high-water mark of memory is Linux's"),
]
PEAK = "from snowcover.machine import peak_memory_gb; print(peak_memory_gb())"


def test_the_highest_memory_is_that_of_this_run_and_of_no_earlier_one() -> None:
    reset_peak_memory()
    before = peak_memory_gb()
    much = np.ones(100_000_000)  # 0.8 GB
    assert peak_memory_gb() > before + 0.7
    del much
    assert peak_memory_gb() > before + 0.7  # it was that high, and is no more
    reset_peak_memory()
    assert peak_memory_gb() < before + 0.2


def test_nor_is_it_that_of_the_process_which_started_it() -> None:
    much = np.ones(200_000_000)  # 1.6 GB
    started = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    assert float(started.stdout) < 1.4 < much.nbytes / 1e9
