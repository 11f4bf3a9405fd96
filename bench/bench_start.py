"""How long the command takes to say what it would run, beside an empty Hydra application."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EMPTY = """
import hydra

@hydra.main(version_base="1.3", config_path=None)
def main(config):
    pass

main()
"""
ROUNDS = 11


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "empty.py"
        script.write_text(EMPTY)
        print(f"{'':10} {'ours':>8} {'empty':>8} {'ratio':>6}")
        for option in (["--cfg", "job"], ["--help"]):
            pairs = [
                (_seconds(["-m", "snowcover.train", *option], folder), _seconds([str(script), *option], folder))
                for _ in range(ROUNDS)
            ]
            ours, empty = (statistics.median(column) for column in zip(*pairs, strict=True))
            ratio = statistics.median(a / b for a, b in pairs)
            print(f"{' '.join(option):10} {ours:7.2f}s {empty:7.2f}s {ratio:6.2f}")


def _seconds(arguments: list[str], folder: str) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
