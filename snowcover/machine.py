"""The machine that trains: its processor, memory, signals and manners."""

import contextlib
import ctypes
import logging
import platform
import signal
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
import torch
from lightning.pytorch.utilities import rank_zero_only

from snowcover.config import HwConfig
from snowcover.errors import Stopped, UserError

# mallopt's parameters, from glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


class NoSuchDevice(UserError):
    """The config asks for a device that this machine does not have."""


@dataclass(frozen=True)
class Device:
    """What the run computes on."""

    accelerator: str
    count: int
    precision: Any
    name: str
    memory_bytes: int
    """free for the run"""


def device(hw: HwConfig) -> Device:
    """The device that the config means on this machine.

    Raises:
        NoSuchDevice
    """
    kind = _kind(hw.accelerator)
    if kind == "gpu":
        free, _ = torch.cuda.mem_get_info()
        count = torch.cuda.device_count() if hw.devices == "auto" else hw.devices
        if count > torch.cuda.device_count():
            raise NoSuchDevice(f"hw.devices={count}: this machine has {torch.cuda.device_count()} GPUs.")
        name, memory = torch.cuda.get_device_name(), free
    else:
        count = 1 if hw.devices == "auto" else hw.devices
        name = "Apple GPU" if kind == "mps" else f"{platform.machine()}, {torch.get_num_threads()} threads"
        memory = _free_bytes() // count
    return Device(kind, count, _precision(hw.precision, kind), name, memory)


def rank() -> int:
    """Number of this process among those that train together; 0 tells, saves and records."""
    return int(getattr(rank_zero_only, "rank", 0) or 0)


def settle() -> None:
    """Keep freed memory for the next step, and keep the libraries' chatter off the terminal."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        # A step's tensors are as large as the last one's: giving them back and faulting them in again takes longer
        # than much of the arithmetic.
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision("high")  # TF32 where full precision is asked for
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*|torch\.optim\.lr_scheduler|torch\.utils.*|mlflow\..*")


class _Stops:
    """The stop that was asked for while something was not to be interrupted."""

    held = False
    asked: Stopped | None = None


@contextlib.contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Ctrl-C and SIGTERM raise Stopped once; while the run then ends in order, further ones are ignored."""
    signals = (signal.SIGINT, signal.SIGTERM)
    _Stops.asked = None

    def stop(number: int, _: FrameType | None) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        _Stops.asked = Stopped(f"Stopped by {signal.Signals(number).name}.", number)
        if not _Stops.held:
            raise _Stops.asked

    before = {each: signal.signal(each, stop) for each in signals}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """A stop within the block is raised at its end: torch would take one while it saves for a failure of the disk."""
    _Stops.held = True
    try:
        yield
    finally:
        _Stops.held = False
    if _Stops.asked is not None:
        raise _Stops.asked


def _free_bytes() -> int:
    """Memory that this process may still take, of the machine or of its container (cgroup v2)."""
    free = psutil.virtual_memory().available
    with contextlib.suppress(OSError, ValueError):  # no container, or one without a limit
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        return min(free, limit - used)
    return free


def _kind(accelerator: str) -> str:
    has = {"gpu": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if accelerator == "auto":
        return next(kind for kind, there in has.items() if there)
    if not has[accelerator]:
        raise NoSuchDevice(f"hw.accelerator={accelerator}: this machine has none that torch can use; try hw=local.")
    return accelerator


def _precision(wanted: str, kind: str) -> str:
    if wanted != "auto":
        return wanted
    if kind != "gpu":
        return "32-true"
    # bfloat16 in hardware begins with Ampere; emulated it is slower than float16.
    return "bf16-mixed" if torch.cuda.get_device_capability() >= (8, 0) else "16-mixed"
