"""Starts the container's program on this machine as SageMaker would: nothing is inherited, nothing remains."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[2] / "container" / "train"
PLACE = Path("/opt/ml")
ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # in each of the processes that share this machine's cores


class Namespaces:
    """Separate mounts, so that each job has its own /opt/ml, and separate processes: the program is process 1.

    As in a container, process 1 gets only the signals it asked for, and when it ends, all of its processes end.
    What runs a job otherwise (an image, say) has the same four methods.
    """

    def __init__(self, program: Path = PROGRAM) -> None:
        self.program = program

    def obstacle(self) -> str | None:
        """Why no job can run here, if so."""
        if os.geteuid() != 0:
            return "only root can mount a job's own /opt/ml"
        if shutil.which("unshare") is None:
            return "no `unshare` here to give a job its own /opt/ml"
        tried = subprocess.run([*_unshare(), "true"], capture_output=True, text=True)
        return f"no namespaces here: {tried.stderr.strip()}" if tried.returncode else None

    def command(self, tree: Path, environment: Mapping[str, str]) -> list[str]:
        """The command that starts a job whose /opt/ml is `tree`, for a process with only `environment`."""
        script = 'mount --bind "$1" /opt/ml && exec "$2" "$3" train'
        return [*_unshare(), "sh", "-c", script, "sh", str(tree), sys.executable, str(self.program)]

    def start(self, tree: Path, environment: Mapping[str, str], folder: Path) -> subprocess.Popen[bytes]:
        """Starts the job; its output is the process's stdout. `folder` holds the container's own files."""
        PLACE.mkdir(parents=True, exist_ok=True)  # remains: other tests may be using it
        whole = _own(folder) | ONE_THREAD | dict(environment)
        return subprocess.Popen(
            self.command(tree, whole),
            env=whole,
            cwd=folder / "home",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # it must not get Ctrl-C of the terminal
        )

    def terminate(self, process: subprocess.Popen[bytes]) -> None:
        """Asks process 1 to end."""
        _send(process, signal.SIGTERM)

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """Ends process 1, and with it all others."""
        _send(process, signal.SIGKILL)


def _own(folder: Path) -> dict[str, str]:
    """Variables that an image sets."""
    homes = {"HOME": folder / "home", "TMPDIR": folder / "tmp"}
    for place in homes.values():
        place.mkdir()
    path = f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path} | {name: str(place) for name, place in homes.items()}


def _unshare() -> list[str]:
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


def _send(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signals the child of `unshare`, which is process 1 to those inside."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None:
        try:
            found = children.read_text().split()
            if found:
                os.kill(int(found[0]), number)
                return
        except (FileNotFoundError, ProcessLookupError):
            pass  # it ended meanwhile
        time.sleep(0.01)
