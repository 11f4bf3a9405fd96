"""Peak memory of training ternausv2 on 512-px tiles on a CPU, as a whole process, beside the original's 9.7 GB."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.making import sources, write_site

ORIGINAL_GB = 9.7  # measured on two cores with the original's code: batch 7 x 512 px
RUN = (
    "experiment=published",
    "data=tiles",
    "hw=cpu",
    "hw.data_workers=2",
    "trainer.max_epochs=1",
    "tracking.system_metrics=false",
)
CASES = {
    "batch 7": ["trainer.batch_size=7"],
    "batch 1, 7 accumulated": ["trainer.batch_size=1", "trainer.accumulate_batches=7"],
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        site = write_site(Path(folder) / "site", side=4, scenes=("20180528_a",), size=512)
        print(f"{'':24} {'peak':>8} {'of the original':>16}")
        for name, overrides in CASES.items():
            peak_gb = _peak_gb([*RUN, sources(site), *overrides], folder)
            print(f"{name:24} {peak_gb:6.2f}GB {peak_gb / ORIGINAL_GB:16.2f}")


def _peak_gb(overrides: list[str], folder: str) -> float:
    command = [sys.executable, "-m", "snowcover.train", *overrides]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"training ended with status {status}")
    return used.ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()
