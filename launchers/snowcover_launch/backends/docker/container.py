"""Containers by name, through the `docker` command: start, inspect, read logs, stop, remove."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from snowcover_launch.errors import NotFound, Unreachable
from snowcover_launch.images.engine import DockerFailed, docker_output

STOP_S = 120  # as long as SageMaker gives a job to save its state
MISSING = "no such"  # object, container
NAME_IN_USE = "is already in use"


@dataclass(frozen=True)
class ContainerState:
    """The state of a container, from `docker inspect`."""

    id: str
    status: str
    """created, running, paused, restarting, exited or dead"""
    exit_code: int
    out_of_memory: bool
    started: str

    @property
    def has_ended(self) -> bool:
        return self.status in ("exited", "dead")


def own_user() -> list[str]:
    """Options that make us the owner of the files a container writes; root's containers run as root anyway."""
    return ["--user", f"{os.getuid()}:{os.getgid()}"] if os.getuid() else []


def start(name: str, image: str, ml: Path, folders: Sequence[Path], environment: Mapping[str, str], gpus: bool) -> None:
    """Start the image's `train` in the background; has no effect if a container of this name exists.

    Args:
        ml: folder that is mounted as /opt/ml.
        folders: folders of this machine that it may read, mounted under the same paths.
        environment: its environment variables.

    Raises:
        DockerFailed: it was not started; nothing is left of it.
    """
    mounts = [f"{ml}:/opt/ml", *(f"{folder}:{folder}:ro" for folder in folders)]
    arguments = [
        "run", "--detach", "--name", name, "--network", "host",  # the host's: S3 may be on it
        *own_user(), *(["--gpus", "all"] if gpus else []),
        *(argument for mount in mounts for argument in ("--volume", mount)),
        # Names only: Docker takes the values from its environment, so that none appears on a command line.
        *(argument for variable in environment for argument in ("--env", variable)),
        image, "train",
    ]  # fmt: skip
    try:
        docker_output(*arguments, environment=environment)
    except DockerFailed as error:
        if NAME_IN_USE in str(error):
            return
        remove(name)  # the container was created but could not be started
        raise


def inspect(name: str) -> ContainerState:
    """Raises: NotFound, Unreachable."""
    found = json.loads(_docker_output_of(name, "inspect", "--type", "container", "--format", "{{json .}}", name))
    state = found["State"]
    return ContainerState(found["Id"], state["Status"], state["ExitCode"], state["OOMKilled"], state["StartedAt"])


def stop(name: str) -> None:
    """Ask a container to save its state and stop; returns when it has ended.

    Raises: NotFound, Unreachable
    """
    _docker_output_of(name, "stop", "--time", str(STOP_S), name)


def remove(name: str) -> None:
    """Remove a container that has ended, if it still exists."""
    subprocess.run(["docker", "rm", name], capture_output=True, check=False)


class ContainerLog:
    """The output of a container; each line is returned once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._last = ""
        """time of the last line returned; Docker's timestamps have equal lengths, so they compare as text"""

    def new_lines(self) -> list[str]:
        """Raises: NotFound, Unreachable."""
        since = ["--since", self._last] if self._last else []
        output = _docker_output_of(self._name, "logs", "--timestamps", *since, self._name, include_stderr=True)
        # Docker repeats lines of the last timestamp, and lists the lines of its two streams separately.
        new = sorted((line for line in output.splitlines() if line.partition(" ")[0] > self._last), key=_time)
        if new:
            self._last = _time(new[-1])
        return [line.partition(" ")[2] for line in new]


def _time(line: str) -> str:
    return line.partition(" ")[0]


def _docker_output_of(name: str, *arguments: str, include_stderr: bool = False) -> str:
    try:
        return docker_output(*arguments, include_stderr=include_stderr)
    except DockerFailed as error:
        if MISSING in str(error).lower():
            raise NotFound(f"There is no container {name} on this machine.") from error
        raise Unreachable(str(error)) from error
