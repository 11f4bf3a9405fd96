"""Progress bar over the windows of one map, with the area mapped per second."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from snowcover.predict.area import pixel_size_m
from snowcover.predict.mapping import OutputGrid

UNKNOWN = "?"


@contextmanager
def progress(name: str, windows: int, grid: OutputGrid) -> Iterator[Callable[[int], None]]:
    """A function to call with the number of windows just finished."""
    width_m, height_m = pixel_size_m(grid)
    window_km2 = width_m * height_m * grid.width * grid.height / 1e6 / max(windows, 1)
    started = time.monotonic()
    # disable=None: no bar if the output is not a terminal
    with tqdm(desc=name, total=windows, unit="window", disable=None, leave=False, dynamic_ncols=True) as bar:

        def advance(more: int) -> None:
            bar.set_postfix_str(_speed(window_km2 * (bar.n + more), time.monotonic() - started), refresh=False)
            bar.update(more)

        yield advance


def _speed(km2: float, seconds: float) -> str:
    return f"{km2 / seconds:.3g} km²/s" if seconds > 0 and km2 == km2 else UNKNOWN
