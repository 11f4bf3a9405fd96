"""The training process, or torchrun for several of them, supervised as process 1 of a container must."""

import collections
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import IO

POLL_S = 0.5
LINES = 60  # of stderr, kept for the failure reason
DRAIN_S = 5  # for the last output of an ended process


class Trainer:
    """A training process: started once; stops are forwarded to it."""

    def __init__(self) -> None:
        self.stopped = False
        self._starting = False
        self._process: subprocess.Popen[bytes] | None = None
        self._status: int | None = None
        self._stop_signal = signal.SIGTERM
        self._errors: collections.deque[str] = collections.deque(maxlen=LINES)
        self._pumps: list[threading.Thread] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def start(
        self, command: list[str], folder: Path, log: Path, environment: Mapping[str, str], stop: signal.Signals
    ) -> None:
        """Start it. Its output is copied to ours and to `log`; `stop` is the signal that stops it."""
        self._stop_signal, self._starting = stop, True
        self._process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        if self.stopped:  # while it was being started
            self._forward_stop()
        out, err = self._process.stdout, self._process.stderr
        assert out is not None
        assert err is not None
        lines = log.open("ab")
        for source, sink, keep in ((out, sys.stdout.buffer, None), (err, sys.stderr.buffer, self._errors)):
            pump = threading.Thread(target=_pump, args=(source, sink, lines, keep), daemon=True)
            pump.start()
            self._pumps.append(pump)

    def wait(self, on_poll: Callable[[], None]) -> int:
        """Wait for its exit status, 128 + number for a signal; calls `on_poll` regularly."""
        while self._reap() is None:
            on_poll()
            time.sleep(POLL_S)
        for pump in self._pumps:
            pump.join(DRAIN_S)
        assert self._status is not None
        return self._status

    def failure_reason(self, status: int) -> str:
        """Why it ended, if it did not write a message itself."""
        if status == 128 + signal.SIGKILL:
            return (
                "The training was killed by the machine's kernel (SIGKILL), most likely because memory ran out: lower "
                "trainer.batch_size and raise trainer.accumulate_batches accordingly, or use a larger machine."
            )
        last_line = next((line.strip() for line in reversed(self._errors) if line.strip()), "nothing")
        how = f"by {signal.Signals(status - 128).name}" if status > 128 else f"with status {status}"
        return f"The training ended {how}; its last line on stderr, with more in its log: {last_line}"

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if not self._starting:
            sys.exit(0)  # nothing was started
        self.stopped = True
        self._forward_stop()

    def _forward_stop(self) -> None:
        if self._process is not None and self._status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, self._stop_signal)

    def _reap(self) -> int | None:
        """Reap all ended processes: process 1 inherits those without a parent. Returns the trainer's status."""
        with contextlib.suppress(ChildProcessError):
            while self._status is None:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                if self._process is not None and pid == self._process.pid:
                    self._process.returncode = code = os.waitstatus_to_exitcode(status)
                    self._status = code if code >= 0 else 128 - code
        return self._status


def _pump(source: IO[bytes], sink: IO[bytes], log: IO[bytes], keep: collections.deque[str] | None) -> None:
    for line in source:
        for target in (sink, log):
            target.write(line)
            target.flush()
        if keep is not None:
            keep.append(line.decode(errors="replace"))
