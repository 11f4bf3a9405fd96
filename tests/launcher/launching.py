"""Runs the command in this process against the fake AWS, and ends its jobs."""

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from snowcover import train
from snowcover_launch import poller, tracked_job
from tests.sagemaker import SageMaker

FAST_POLLING = (  # the fake answers at once, and nobody shares its account
    (tracked_job, "MIN_POLL_INTERVAL_S", 0.1), (tracked_job, "MAX_POLL_INTERVAL_S", 2.0),
    (poller, "MIN_POLL_INTERVAL_S", 0.1), (poller, "MAX_POLL_INTERVAL_S", 2.0), (poller, "POLLS_PER_S", 50.0),
    (poller, "LOOP_PAUSE_S", 0.05),
)  # fmt: skip
SMALL = ("model=unet", "model.encoder_name=resnet18", "trainer.max_epochs=2")


@dataclass(frozen=True)
class Done:
    """Exit status and output of a command."""

    status: int
    out: str
    err: str

    @property
    def error_message(self) -> str:
        """The last line of a failed command, its error message."""
        assert self.status == 1, self.out + self.err
        assert "Traceback" not in self.err, self.err
        lines = [line for line in self.err.splitlines() if line.strip()]
        return lines[-1]


class Launching:
    """`python -m snowcover.train` in an empty folder."""

    def __init__(
        self, sagemaker: SageMaker, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str], folder: Path
    ) -> None:
        self.sagemaker, self._patch, self._capture, self.folder = sagemaker, patch, capture, folder
        patch.chdir(folder)
        for name, value in {
            "SNOWCOVER_ROLE_ARN": sagemaker.role_arn,
            "SNOWCOVER_BUCKET": sagemaker.bucket.name,
            "SNOWCOVER_IMAGE_URI": sagemaker.image_uri,
            # Absolute, since MLflow caches a connection for each address.
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        }.items():
            patch.setenv(name, value)

    def __call__(self, *overrides: str, main: Callable[[], None] = train.main) -> Done:
        self._patch.delenv("HYDRA_FULL_ERROR", raising=False)
        flags = [override for override in overrides if override in ("-m", "--multirun")]  # argparse wants them first
        given = [override for override in overrides if override not in flags]
        self._patch.setattr(sys, "argv", ["train", *flags, *given])
        self._capture.readouterr()
        status: Any = 0
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
        out, err = self._capture.readouterr()
        return Done(int(status), out, err)

    def train(self, *overrides: str) -> Done:
        """With a small network."""
        return self(*SMALL, *overrides)

    def error_message(self, *overrides: str) -> str:
        """The error message of a command that must fail."""
        return self.train(*overrides).error_message

    @contextmanager
    def ending_jobs(self, end: Callable[[SageMaker, str, Mapping[str, Any]], None]) -> Iterator[None]:
        """Ends each job soon after it was created, with `end(sagemaker, name, staged config)`."""
        over = threading.Event()
        faults: list[Exception] = []

        def watch() -> None:
            done: set[str] = set()
            while not over.wait(0.05):
                for job in self.sagemaker.jobs:
                    if job.name not in done and job.status == "InProgress":
                        done.add(job.name)
                        try:
                            end(self.sagemaker, job.name, self.sagemaker.staged(job.name))
                        except Exception as error:  # else the command would wait for the job for ever
                            faults.append(error)
                            self.sagemaker.finish(job.name, status="Failed", failure_reason=f"the test: {error!r}")

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
        if faults:
            raise faults[0]

    @contextmanager
    def alongside(self, action: Callable[[], None]) -> Iterator[None]:
        """Runs an action in a thread as soon as there is a job."""
        faults: list[BaseException] = []

        def act() -> None:
            try:
                self.sagemaker.wait(lambda: self.sagemaker.jobs)
                action()
            except BaseException as error:
                faults.append(error)

        thread = threading.Thread(target=act)
        thread.start()
        yield
        thread.join()
        if faults:
            raise faults[0]


def completes(objective: Callable[[Mapping[str, Any]], float] = lambda _: 0.5) -> Callable[..., None]:
    """Returns a function that ends a job with a result."""

    def end(sagemaker: SageMaker, name: str, staged: Mapping[str, Any]) -> None:
        sagemaker.finish(name, result={"objective": objective(staged), "run_id": "none"})

    return end


@pytest.fixture
def launching(
    sagemaker: SageMaker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    empty_database: Path,
) -> Launching:  # fmt: skip
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    for module, name, value in FAST_POLLING:
        monkeypatch.setattr(module, name, value)
    return Launching(sagemaker, monkeypatch, capsys, tmp_path)
