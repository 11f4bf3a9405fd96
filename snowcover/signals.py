"""Signals that end a command in order, and what the processes of one run learn from each other's end."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from snowcover.errors import LostProcess, Stopped

SIGNALS = (signal.SIGINT, signal.SIGTERM)
REPEAT_S = 0.05
LAST_STEP_S = 10  # for the first process to end the step in hand, which takes all of them


class _Stops:
    """The stop that was asked for, and whether something is not to be interrupted."""

    held = False
    asked: Stopped | LostProcess | None = None
    handler: Any = None


@contextlib.contextmanager
def stopping_on_signals(repeatedly: bool = False) -> Iterator[None]:
    """Ctrl-C and SIGTERM raise Stopped once; while the command then ends in order, further ones are ignored.

    Args:
        repeatedly: each of them raises Stopped, for a command that asks what to do next, and may be stopped then.

    Of several processes only the first, which saves and records, is stopped so; the others stay long enough for it to
    end the step that it cannot leave without them.
    """
    _Stops.asked = None

    def stop(number: int, _: FrameType | None) -> None:
        if not repeatedly:
            _ignore_more()
        _Stops.asked = _meaning(number)
        if not _is_first():
            leave = threading.Timer(LAST_STEP_S, os._exit, [128 + number])
            leave.daemon = True
            leave.start()
        elif not _Stops.held:
            raise _Stops.asked

    _Stops.handler = stop
    before = {each: signal.signal(each, stop) for each in SIGNALS}
    hook, sys.unraisablehook = sys.unraisablehook, _repeat_ignored(sys.unraisablehook)
    try:
        yield
    finally:
        _Stops.handler = None
        sys.unraisablehook = hook
        for each, handler in before.items():
            signal.signal(each, handler)


def _repeat_ignored(hook: Callable[[Any], object]) -> Callable[[Any], None]:
    """A hook for what Python ignores, such as an error in a generator that it closes: a stop there comes again."""

    def repeat_ignored(ignored: Any) -> None:
        if ignored.exc_value is None or ignored.exc_value is not _Stops.asked:
            hook(ignored)
            return
        _handle_signals()
        number = getattr(ignored.exc_value, "signal_number", signal.SIGTERM)
        again = threading.Timer(REPEAT_S, os.kill, [os.getpid(), number])  # not now: it would be ignored in here, too
        again.daemon = True
        again.start()

    return repeat_ignored


def _handle_signals() -> None:
    for each in SIGNALS:
        signal.signal(each, _Stops.handler)


def restore_signal_handlers() -> None:
    """Put our handlers back: Lightning's own waits for the other processes in the middle of a step."""
    if _Stops.handler is not None and _Stops.asked is None:
        _handle_signals()


def _ignore_more() -> None:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)


def _meaning(number: int) -> Stopped | LostProcess:
    # torchrun passes a stop on as the signal that it got, and sends SIGTERM to the others when one has failed: so who
    # stops a run under torchrun, as container/train does, sends it SIGINT.
    if number == signal.SIGTERM and "TORCHELASTIC_RUN_ID" in os.environ:  # as torch itself checks
        return LostProcess()
    return Stopped(f"Stopped by {signal.Signals(number).name}.", number)


def _is_first() -> bool:
    """Whether no process of this run comes before this one. Torch is not loaded to ask: commands stop without it."""
    if "torch" not in sys.modules:
        return True
    from snowcover.machine import rank

    return rank() == 0


@contextlib.contextmanager
def process_group_errors(processes: int) -> Iterator[None]:
    """Within the block, what fails because another process of the group has ended is a LostProcess, and what fails
    after a stop is that stop."""
    from snowcover.compat import DistError, destroy_process_group

    try:
        yield
        if processes > 1:  # else a thread of theirs that still holds a tensor while Python ends aborts the process
            destroy_process_group()
    except RuntimeError as error:
        if _Stops.asked is not None:
            raise _Stops.asked from error
        lost = isinstance(error, DistError) or "gloo" in str(error) or "NCCL" in str(error)
        if processes > 1 and lost:
            _ignore_more()  # torchrun is about to say the same
            raise LostProcess() from error
        raise


@contextlib.contextmanager
def defer_signals() -> Iterator[None]:
    """A stop within the block is raised at its end: torch would take one while it saves for a failure of the disk."""
    _Stops.held = True
    try:
        yield
    finally:
        _Stops.held = False
    if _Stops.asked is not None and _is_first():
        raise _Stops.asked
