"""What reaches the terminal and the log files: without secrets, and without what would steer the terminal.

Imported at every start, so nothing heavy may be imported here.
"""

import contextlib
import logging
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

from snowcover.secrets import masked

_ESCAPES = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC: titles, links, the clipboard
    r"|[\x1b\x9b]\[?[0-?]*[ -/]*[@-~]"  # CSI: colours, the cursor; and what is shorter
)
_REWRITTEN = re.compile(r"[^\n\r]*\r(?=[^\n\r])")  # a progress bar: what came last on a line counts
# Control characters, those that turn the direction of writing, and halves of characters, which cannot be printed.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Text of another program or machine that can do no more on a terminal than be read; lines and tabs stay."""
    plain = _REWRITTEN.sub("", _ESCAPES.sub("", text)).replace("\r", "")
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], plain)


def safe(text: str) -> str:
    """Text as it may be shown to whoever looks: printable, and without secrets."""
    return masked(printable(text))


def say(*words: object, sep: str = " ") -> None:
    """`print`, of what may be another's."""
    print(safe(sep.join(map(str, words))))


class SafeFormatter(logging.Formatter):
    """Lines of a log, for the terminal and for files."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without control characters and secrets."""
        return safe(super().format(record))


def log_to_terminal(level: int = logging.INFO) -> None:
    """Plain lines on the terminal, of a process in which Hydra does not see to that."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(SafeFormatter("%(message)s"))
    logging.basicConfig(handlers=[handler], level=level)


class _Masked:
    """A stream that lets no secret through, whoever writes: Hydra, Python's warnings, a traceback.

    When whoever reads it goes away (`| head`), what is written goes nowhere: a run is not lost for that.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            self._stream.write(masked(text))
        except BrokenPipeError:
            self._write_nowhere()
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._write_nowhere()

    def _write_nowhere(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def without_secrets() -> Iterator[None]:
    """Within the block standard output and error are masked."""
    with contextlib.redirect_stdout(_Masked(sys.stdout)), contextlib.redirect_stderr(_Masked(sys.stderr)):
        yield
