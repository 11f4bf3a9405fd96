"""Fake SageMaker machines: each job really trains, from its stored request alone."""

import shutil
import threading
from collections.abc import Mapping
from pathlib import Path

from tests.aws.account import Account
from tests.aws.job import Job
from tests.aws.namespaces import Namespaces
from tests.aws.training import Training


class Machine:
    """Runs jobs in threads, at most `slots` at once; a stopped one has `grace_s` between TERM and KILL."""

    def __init__(
        self,
        account: Account,
        folder: Path,
        endpoints: Mapping[str, str],
        container: Namespaces,
        slots: int = 2,
        grace_s: float = 120,
    ) -> None:
        self.account, self.folder, self.endpoints, self.container = account, folder, endpoints, container
        self.grace_s = grace_s
        self.broken: list[str] = []
        """Errors of the fake itself."""
        self.closing = threading.Event()
        self.slots = threading.Semaphore(slots)
        self._trainings: dict[str, Training] = {}

    def start(self, job: Job) -> None:
        """Starts a created job."""
        if job.instances != 1:
            self.broken.append(f"{job.name} wants {job.instances} machines: the stand-in is one")
            return
        self._trainings[job.name] = Training(job, self)
        self._trainings[job.name].thread.start()

    def interrupt(self, name: str, notice: bool) -> None:
        """Interrupts a spot machine: after a SIGTERM and the grace period, or at once."""
        training = self._trainings[name]
        assert training.job.is_spot, f"{name} does not run on spot instances"
        assert training.job.secondary == "Training", f"{name} is not training yet: {training.job.secondary}"
        training.notice = notice
        training.interrupted.set()

    def close(self) -> None:
        """Kills all jobs and waits until they have ended."""
        self.closing.set()
        for training in self._trainings.values():
            training.thread.join()
        shutil.rmtree(self.folder, ignore_errors=True)
