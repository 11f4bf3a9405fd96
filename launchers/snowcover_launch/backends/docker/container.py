"""One container by its name, through Docker's own command: started, looked at, read, stopped, removed."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from snowcover_launch.errors import NotFound, Unreachable
from snowcover_launch.images.engine import DockerFailed, asked

STOP_S = 120  # as SageMaker gives a job to save what it has
MISSING = "no such"  # object, container
TAKEN = "is already in use"


@dataclass(frozen=True)
class ContainerState:
    """What `docker inspect` says of a container."""

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
    """Options that make what a container writes ours; root's containers run as root anyway."""
    return ["--user", f"{os.getuid()}:{os.getgid()}"] if os.getuid() else []


def start(name: str, image: str, ml: Path, places: Sequence[Path], settings: Mapping[str, str], gpus: bool) -> None:
    """Start the image's `train` on an /opt/ml, and leave it; one of that name that is there already is left as it is.

    Args:
        places: folders of this machine that it may read, under their own names.
        settings: its environment.

    Raises:
        DockerFailed: it was not started, and nothing is left of it.
    """
    mounts = [f"{ml}:/opt/ml", *(f"{place}:{place}:ro" for place in places)]
    words = [
        "run", "--detach", "--name", name, "--network", "host",  # the host's: S3 may be on it
        *own_user(), *(["--gpus", "all"] if gpus else []),
        *(word for mount in mounts for word in ("--volume", mount)),
        # Names alone: Docker takes the values from its environment, so that none is on a command line.
        *(word for variable in settings for word in ("--env", variable)),
        image, "train",
    ]  # fmt: skip
    try:
        asked(*words, environment=settings)
    except DockerFailed as error:
        if TAKEN in str(error):
            return
        remove(name)  # of a container that was made and could not be started
        raise


def inspect(name: str) -> ContainerState:
    """Raises: NotFound, Unreachable."""
    found = json.loads(_asked_of(name, "inspect", "--type", "container", "--format", "{{json .}}", name))
    state = found["State"]
    return ContainerState(found["Id"], state["Status"], state["ExitCode"], state["OOMKilled"], state["StartedAt"])


def stop(name: str) -> None:
    """Let a container save what it has, and wait until it has ended.

    Raises: NotFound, Unreachable
    """
    _asked_of(name, "stop", "--time", str(STOP_S), name)


def remove(name: str) -> None:
    """Remove a container that has ended; done twice, it is gone once."""
    subprocess.run(["docker", "rm", name], capture_output=True, check=False)


class ContainerLog:
    """What a container prints, told once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._last = ""
        """time of the last line that was told; Docker's times have equal lengths, so that they compare as text"""

    def new_lines(self) -> list[str]:
        """Raises: NotFound, Unreachable."""
        since = ["--since", self._last] if self._last else []
        stamped = _asked_of(self._name, "logs", "--timestamps", *since, self._name, both=True).splitlines()
        # Docker tells the lines of the last moment again, and those of its two streams each for itself.
        new = sorted((line for line in stamped if line.partition(" ")[0] > self._last), key=_time)
        if new:
            self._last = _time(new[-1])
        return [line.partition(" ")[2] for line in new]


def _time(line: str) -> str:
    return line.partition(" ")[0]


def _asked_of(name: str, *words: str, both: bool = False) -> str:
    try:
        return asked(*words, both=both)
    except DockerFailed as error:
        if MISSING in str(error).lower():
            raise NotFound(f"There is no container {name} on this machine.") from error
        raise Unreachable(str(error)) from error
