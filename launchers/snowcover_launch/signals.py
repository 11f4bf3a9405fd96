"""Ctrl-C and SIGTERM while the launcher waits."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from snowcover.errors import Stopped


@contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Both raise Stopped within the block; Ctrl-C also where whoever started us had it ignored."""

    def stop(number: int, _: FrameType | None) -> None:
        raise Stopped(f"Stopped by {signal.Signals(number).name}.", number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
