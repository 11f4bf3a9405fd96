"""One machine of a SageMaker job: its /opt/ml, and container/train on it as process 1 of a container."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock

from snowcover import __version__
from snowcover.config import Config
from tests.aws.namespaces import Namespaces

TIMEOUT_S = 600
# Only what SageMaker sets: no HOME, no virtual environment.
NOTHING_INHERITED = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TRAINING_JOB_NAME": "job"}


class Host:
    """Starts the program any number of times and collects its output."""

    def __init__(
        self,
        root: Path,
        name: str = "algo-1",
        names: Sequence[str] = ("algo-1",),
        container: Namespaces | None = None,
    ) -> None:
        self.container = container or Namespaces()
        self.ml = root / "ml"
        self.output = ""
        self._process: subprocess.Popen[bytes] | None = None
        for folder in ("input/config", "input/data/config", "model", "output/data"):
            (self.ml / folder).mkdir(parents=True)
        resources = {"current_host": name, "hosts": list(names), "network_interface_name": "lo"}
        (self.ml / "input/config/resourceconfig.json").write_text(json.dumps(resources))

    def stage(self, config: Config, name: str = "config.yaml", **job: Any) -> None:
        """Puts a config into the input channel, as the launcher would."""
        values = config.model_dump() | {"job": {"version": __version__, "name": "job"} | job}
        (self.ml / "input/data/config" / name).write_text(yaml.safe_dump(values, sort_keys=False))

    def start(self, **environment: str) -> None:
        self._process = self.container.start(self.ml, NOTHING_INHERITED | environment, self.ml)

    def wait_for(self, text: str) -> None:
        """Waits until the program prints `text`."""
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output += line.decode()
            if text in line.decode():
                return
        raise AssertionError(f"ended before {text!r}: {self.output[-3000:]}")

    def stop(self) -> None:
        assert self._process is not None
        self.container.terminate(self._process)

    def kill(self) -> None:
        """As when the machine is interrupted."""
        assert self._process is not None
        self.container.kill(self._process)

    def kill_process(self, rank: int) -> None:
        """Kills one training process, as the kernel does when memory runs out."""
        assert self._process is not None
        (found,) = (pid for pid in _below(self._process.pid) if f"RANK={rank}".encode() in _environment(pid))
        os.kill(found, signal.SIGKILL)

    def end(self, timeout_s: float = TIMEOUT_S) -> int:
        """Waits for the program's exit status."""
        assert self._process is not None
        rest, _ = self._process.communicate(timeout=timeout_s)
        self.output += rest.decode()
        return self._process.returncode

    def run(self, **environment: str) -> int:
        self.start(**environment)
        return self.end()

    @property
    def failure(self) -> str | None:
        path = self.ml / "output/failure"
        return path.read_text() if path.exists() else None

    def replace(self, root: Path) -> "Host":
        """Another machine for the same job: only the input and the checkpoints, with SageMaker's upload markers."""
        other = Host(root, container=self.container)
        for kept in ("input", "checkpoints"):
            shutil.copytree(self.ml / kept, other.ml / kept, dirs_exist_ok=True)
        for mark in ("last.ckpt.sagemaker-uploading", "mlflow/mlflow.db.sagemaker-uploading"):
            (other.ml / "checkpoints" / mark).touch()
        return other


def run_together(hosts: Sequence[Host]) -> list[int]:
    """Runs the machines of one job; returns their exit statuses.

    They meet at the port that is fixed for a job, in this machine's network: only one such job can run at a time.
    """
    with FileLock(Path(tempfile.gettempdir()) / "snowcover-test-hosts.lock"):
        for host in hosts:
            host.start()
        return [host.end() for host in hosts]


def _below(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*children, *(other for child in children for other in _below(child))]


def _environment(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
