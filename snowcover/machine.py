"""The machine that trains: its processor, memory and manners."""

import contextlib
import ctypes
import gc
import logging
import os
import platform
import resource
import signal
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from lightning.pytorch.utilities import rank_zero_only

from snowcover.config import HwConfig
from snowcover.errors import UserError

# mallopt's parameters, from glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
PR_SET_PDEATHSIG = 1  # from Linux's prctl.h
CPU_INFO = Path("/proc/cpuinfo")


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
    machines: int = 1
    """of this kind, that train one run together"""

    @property
    def processes(self) -> int:
        """On all machines."""
        return self.count * self.machines

    @property
    def prefers_channels_last(self) -> bool:
        """Whether convolutions are quicker where the channels of a pixel lie together, as a CPU's in bfloat16 are.

        Not in several processes, which exchange gradients in the other order.
        """
        return (self.accelerator, self.precision, self.processes) == ("cpu", "bf16-mixed", 1)


def device(hw: HwConfig) -> Device:
    """The device that the config means on this machine.

    Raises:
        NoSuchDevice
    """
    kind = _kind(hw.accelerator)
    if kind == "gpu":
        count = torch.cuda.device_count() if hw.devices == "auto" else hw.devices
        if count > torch.cuda.device_count():
            raise NoSuchDevice(f"hw.devices={count}: this machine has {torch.cuda.device_count()} GPUs.")
        own = int(os.environ.get("LOCAL_RANK", "0"))  # to ask for another process's would take memory there
        memory, _ = torch.cuda.mem_get_info(own)
        name = torch.cuda.get_device_name(own)
    else:
        count = 1 if hw.devices == "auto" else hw.devices
        name = "Apple GPU" if kind == "mps" else f"{platform.machine()}, {torch.get_num_threads()} threads"
        memory = _free_bytes() // count
    precision = _precision(hw.precision, kind, count * hw.instance_count)
    return Device(kind, count, precision, name, memory, hw.instance_count)


def rank() -> int:
    """Number of this process among those that train together; 0 logs, saves and records."""
    return int(getattr(rank_zero_only, "rank", 0) or 0)


def configure_process() -> None:
    """Keep freed memory for the next step, and keep the libraries' chatter off the terminal."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        # The tensors of a step, or of a window, are as large as the last one's: giving them back and faulting them in
        # again takes longer than much of the arithmetic.
        libc.mallopt(M_ARENA_MAX, 1)  # of another thread's own arena, whatever is large would be mapped all the same
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        if rank() > 0:  # else it might wait for ever, and keep its GPU, for a first process that was killed
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision("high")  # TF32 where full precision is asked for
    # MLflow imports the second package of that code, which then speaks for the first: in the second run of a sweep.
    for name in ("lightning.pytorch", "lightning.fabric", "pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*|torch\.optim\.lr_scheduler|torch\._?utils.*|mlflow\..*")


def reset_peak_memory() -> None:
    """Let the highest memory count from now on: of several runs in one process, each has its own."""
    gc.collect()
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():  # as of a run before this one
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # what an earlier run has left is not this one's
        Path("/proc/self/clear_refs").write_text("5")  # Linux's way to reset its high-water mark


def peak_memory_gb() -> float:
    """Highest memory since it was forgotten: of the GPU where one is used, else of this process."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 1e9
    with contextlib.suppress(OSError, ValueError, IndexError):
        # Not ru_maxrss, which begins with that of the process that started this one, and cannot be forgotten.
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


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


def _precision(wanted: str, kind: str, processes: int) -> str:
    if wanted != "auto":
        return wanted
    if kind == "gpu":  # bfloat16 in hardware begins with Ampere; emulated it is slower than float16
        return "bf16-mixed" if torch.cuda.get_device_capability() >= (8, 0) else "16-mixed"
    # A CPU is only quicker in it with channels last, which several processes do not have.
    return "bf16-mixed" if kind == "cpu" and processes == 1 and _has_amx() else "32-true"


def _has_amx() -> bool:
    """Whether this CPU has Intel's matrix unit for bfloat16, with which a step takes half the time."""
    try:
        return "amx_bf16" in CPU_INFO.read_text(encoding="ascii", errors="replace").split()
    except OSError:  # another system than Linux
        return False
