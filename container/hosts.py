"""The machines of a job, and how the processes on them come to train one run."""

import json
import os
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from snowcover.errors import UserError

PORT = 29500  # of the first host, where all meet
NAMES_TIMEOUT_S = 120


@dataclass(frozen=True)
class Hosts:
    """The machines in the order by which they are numbered, and the processes on each."""

    names: list[str]
    current: str
    interface: str | None
    """name of the network interface between them"""
    processes: int

    @property
    def number(self) -> int:
        return self.names.index(self.current)

    @property
    def alone(self) -> bool:
        """Whether a single process trains the run."""
        return len(self.names) * self.processes == 1


def hosts(resources: Path, instance_count: int, processes: int) -> Hosts:
    """The hosts that SageMaker's resourceconfig.json names.

    Raises:
        UserError: it does not name them, or not as many as the config trains on.
    """
    try:
        told = json.loads(resources.read_text())
        found = Hosts(sorted(told["hosts"]), told["current_host"], told.get("network_interface_name"), processes)
        names = f"{len(found.names)} hosts ({', '.join(found.names)}), of which this is number {found.number + 1}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}"
        raise UserError(f"{resources} does not name the hosts ({why}): start the image as SageMaker does.") from error
    if len(found.names) != instance_count:
        raise UserError(f"hw.instance_count={instance_count}, but the job has {names}: make both the same.")
    return found


def wait_for_first(found: Hosts) -> None:
    """In the first seconds of a job the other hosts may have no address.

    Raises:
        UserError: the first one has none after NAMES_TIMEOUT_S.
    """
    end = time.monotonic() + NAMES_TIMEOUT_S
    first = found.names[0]
    while len(found.names) > 1:
        try:
            socket.getaddrinfo(first, PORT)
            return
        except OSError as error:
            if time.monotonic() > end:
                raise UserError(f"{first}, the first host, has no address ({error}): start the job again.") from error
            time.sleep(1)


def command(found: Hosts, module: list[str]) -> list[str]:
    """Runs a module with its arguments in each process.

    By torchrun only where there are several: it is one more process that loads torch, for seconds and 300 MB, and that
    a stop has to go through.
    """
    if found.alone:
        return [sys.executable, "-m", *module]
    torchrun = [str(Path(__file__).with_name("torchrun.py")), f"--nproc-per-node={found.processes}"]
    torchrun += ["--monitor-interval=0.5"]  # old torch waits for 5 s
    if len(found.names) == 1:
        return [sys.executable, *torchrun, "--standalone", "-m", *module]  # on a free port
    meeting = [f"--nnodes={len(found.names)}", f"--node-rank={found.number}"]
    meeting += [f"--master-addr={found.names[0]}", f"--master-port={PORT}"]
    return [sys.executable, *torchrun, *meeting, "-m", *module]


def environment(found: Hosts) -> dict[str, str]:
    """Settings for several processes; what the job was given comes first."""
    settings = {}
    if found.processes > 1:  # torchrun would give each one thread
        settings["OMP_NUM_THREADS"] = str(max(1, len(os.sched_getaffinity(0)) // found.processes))
    if len(found.names) > 1 and found.interface:
        settings |= {"NCCL_SOCKET_IFNAME": found.interface, "GLOO_SOCKET_IFNAME": found.interface}
    return settings | os.environ
