"""The machines of a job, and how their processes train one run together."""

import json
import os
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from snowcover.errors import UserError

PORT = 29500  # of the first host, for the rendezvous
NAMES_TIMEOUT_S = 120


@dataclass(frozen=True)
class Hosts:
    """The machines in the order of their numbers, and the processes on each."""

    names: list[str]
    current: str
    interface: str | None
    """name of the network interface between them"""
    processes: int

    @property
    def number(self) -> int:
        return self.names.index(self.current)

    @property
    def is_single_process(self) -> bool:
        """Whether a single process trains the run."""
        return len(self.names) * self.processes == 1


def read_hosts(resources: Path, instance_count: int, processes: int) -> Hosts:
    """The hosts in SageMaker's resourceconfig.json.

    Raises:
        UserError: it does not list them, or their number differs from the config.
    """
    try:
        config = json.loads(resources.read_text())
        hosts = Hosts(sorted(config["hosts"]), config["current_host"], config.get("network_interface_name"), processes)
        names = f"{len(hosts.names)} hosts ({', '.join(hosts.names)}) and this is number {hosts.number + 1}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}"
        raise UserError(f"{resources} does not name the hosts ({why}): start the image as SageMaker does.") from error
    if len(hosts.names) != instance_count:
        raise UserError(f"hw.instance_count={instance_count}, but the job has {names}: make both the same.")
    return hosts


def wait_for_first(hosts: Hosts) -> None:
    """Wait until the first host has an address: in the first seconds of a job it may have none.

    Raises:
        UserError: it has none after NAMES_TIMEOUT_S.
    """
    end = time.monotonic() + NAMES_TIMEOUT_S
    first = hosts.names[0]
    while len(hosts.names) > 1:
        try:
            socket.getaddrinfo(first, PORT)
            return
        except OSError as error:
            if time.monotonic() > end:
                raise UserError(f"{first}, the first host, has no address ({error}): start the job again.") from error
            time.sleep(1)


def train_command(hosts: Hosts, module: list[str]) -> list[str]:
    """The command that runs a module with its arguments in each process.

    Uses torchrun only for several processes: it is another process that loads torch, taking seconds and 300 MB, and
    that must forward a stop.
    """
    if hosts.is_single_process:
        return [sys.executable, "-m", *module]
    torchrun = [str(Path(__file__).with_name("torchrun.py")), f"--nproc-per-node={hosts.processes}"]
    torchrun += ["--monitor-interval=0.5"]  # old torch defaults to 5 s
    if len(hosts.names) == 1:  # at a free port: that of --standalone is fixed in old torch
        rendezvous = ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
    else:
        rendezvous = [f"--nnodes={len(hosts.names)}", f"--node-rank={hosts.number}"]
        rendezvous += [f"--master-addr={hosts.names[0]}", f"--master-port={PORT}"]
    return [sys.executable, *torchrun, *rendezvous, "-m", *module]


def train_environment(hosts: Hosts) -> dict[str, str]:
    """Environment variables for several processes; those of the job take precedence."""
    settings = {}
    if hosts.processes > 1:  # torchrun would set one thread for each
        settings["OMP_NUM_THREADS"] = str(max(1, len(os.sched_getaffinity(0)) // hosts.processes))
    if len(hosts.names) > 1 and hosts.interface:
        settings |= {"NCCL_SOCKET_IFNAME": hosts.interface, "GLOO_SOCKET_IFNAME": hosts.interface}
    return settings | os.environ
