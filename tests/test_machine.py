"""What a run is told of the machine that it runs on."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from snowcover import machine
from snowcover.config import HwConfig

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="flags and high-water marks are read as Linux has them")
PEAK = "from snowcover.machine import peak_memory_gb; print(peak_memory_gb())"


def test_the_highest_memory_is_that_of_this_run_and_of_no_earlier_one() -> None:
    machine.reset_peak_memory()
    before = machine.peak_memory_gb()
    much = np.ones(100_000_000)  # 0.8 GB
    assert machine.peak_memory_gb() > before + 0.7
    del much
    assert machine.peak_memory_gb() > before + 0.7  # it was that high, and is no more
    machine.reset_peak_memory()
    assert machine.peak_memory_gb() < before + 0.2


@pytest.mark.process
def test_nor_is_it_that_of_the_process_which_started_it() -> None:
    much = np.ones(200_000_000)  # 1.6 GB
    started = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    assert float(started.stdout) < 1.4 < much.nbytes / 1e9


@pytest.mark.parametrize(
    ("flags", "wanted", "precision", "channels_last"),
    [
        ("fpu avx512_bf16 amx_bf16 amx_tile", "auto", "bf16-mixed", True),
        ("fpu avx512_bf16", "auto", "32-true", False),
        ("fpu amx_bf16", "32-true", "32-true", False),
        ("fpu", "bf16-mixed", "bf16-mixed", True),
    ],
)
def test_a_cpu_computes_in_bfloat16_where_it_has_a_unit_for_it_or_is_told_to(
    flags: str, wanted: str, precision: str, channels_last: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t:\n")
    monkeypatch.setattr(machine, "CPU_INFO", info)
    found = machine.device(HwConfig(accelerator="cpu", devices=1, precision=wanted, data_workers=1))
    assert (found.precision, found.prefers_channels_last) == (precision, channels_last)
    several = machine.device(HwConfig(accelerator="cpu", devices=2, precision=wanted, data_workers=1))
    assert several.precision == (wanted if wanted != "auto" else "32-true")
    assert not several.prefers_channels_last
