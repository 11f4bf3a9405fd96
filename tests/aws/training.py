"""One job on its machine: prepared, started, watched, stopped, interrupted, its results uploaded."""

import re
import shutil
import subprocess
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.aws import logs
from tests.aws.job import Job, now
from tests.aws.tree import Tree

if TYPE_CHECKING:
    from tests.aws.machine import Machine

TICK_S = 0.05
SYNC_EVERY_S = 0.2


class Training:
    """One job on its machine, over all attempts."""

    def __init__(self, job: Job, machine: "Machine") -> None:
        self.job, self.machine = job, machine
        self.interrupted = threading.Event()
        self.notice = True
        self.thread = threading.Thread(target=self._run, name=job.name, daemon=True)
        self._lines: list[str] = []

    def _run(self) -> None:
        try:
            self._wait_and_train()
        except Exception:
            self.machine.broken.append(f"{self.job.name}: {traceback.format_exc()}")
            self.job.end("Failed", failure_reason="InternalServerError: We encountered an internal error.")

    def _wait_and_train(self) -> None:
        while not self.machine.slots.acquire(timeout=TICK_S):
            if self.job.stop.is_set() or self._over("MaxWaitTimeInSeconds", self._waited_s()):
                self.job.end("Stopped", None if self.job.stop.is_set() else "MaxWaitTimeExceeded")
                return
            if self.machine.closing.is_set():
                return
        try:
            number = 1
            while self._attempt(number):
                number += 1
        finally:
            self.machine.slots.release()

    def _attempt(self, number: int) -> bool:
        """Trains once, from the checkpoints in S3; returns whether another machine is needed."""
        self.job.step("Starting", "Preparing the instances for training")
        folder = self.machine.folder / f"{self.job.name}-{number}"
        tree = Tree(folder / "ml", self.job, self.machine.account)
        if self.job.stop.is_set():
            self.job.end("Stopped")
            return False
        began = time.monotonic()
        self.job.step("Downloading")
        tree.lay_out()
        self.job.step("Training")
        code, ending = self._train(tree, folder, began)
        if ending == "Interrupted":
            return self._is_worth_another(folder, began)
        if ending != "closed":
            self._upload_and_end(tree, code, ending, began)
        return False

    def _is_worth_another(self, folder: Path, began: float) -> bool:
        """The machine and all its files are gone; returns whether the job may wait for the next one."""
        self.job.training_s += time.monotonic() - began
        self.job.step("Interrupted")
        shutil.rmtree(folder)
        self.interrupted.clear()
        if self._over("MaxWaitTimeInSeconds", self._waited_s()):
            self.job.end("Stopped", "MaxWaitTimeExceeded")
            return False
        return True

    def _train(self, tree: Tree, folder: Path, began: float) -> tuple[int, str | None]:
        """Runs the program until it ends; returns its exit code, and why it was stopped, if it was."""
        stream = logs.begin(self.machine.account.id, self.job.region, self.job.name, now())
        process = self.machine.container.start(tree.root, self._environment(), folder)
        reader = threading.Thread(target=self._read, args=(process, stream), daemon=True)
        reader.start()
        ending, killed_at, synced = None, float("inf"), time.monotonic()
        with ThreadPoolExecutor(1) as copying:  # so that a stop does not wait for a copy
            copy = copying.submit(tree.sync)
            while process.poll() is None:
                if ending is None and (ending := self._reason_to_end(began)):
                    killed_at = time.monotonic() + self._grace_s(ending)
                    self.machine.container.terminate(process)
                if time.monotonic() >= killed_at:
                    self.machine.container.kill(process)
                if copy.done() and time.monotonic() - synced > SYNC_EVERY_S and ending != "closed":
                    copy.result()
                    copy, synced = copying.submit(tree.sync), time.monotonic()
                time.sleep(TICK_S)
        copy.result()
        reader.join()
        if ending != "closed" and (ending != "Interrupted" or self.notice):
            tree.sync()
        return process.returncode, ending

    def _reason_to_end(self, began: float) -> str | None:
        if self.machine.closing.is_set():
            return "closed"
        if self.job.stop.is_set():
            return "Stopped"
        if self.interrupted.is_set():
            return "Interrupted"
        if self._over("MaxRuntimeInSeconds", self.job.training_s + time.monotonic() - began):
            self.job.step("Stopping")
            return "MaxRuntimeExceeded"
        return None

    def _grace_s(self, ending: str) -> float:
        at_once = ending == "closed" or (ending == "Interrupted" and not self.notice)
        return 0 if at_once else self.machine.grace_s

    def _read(self, process: subprocess.Popen[bytes], stream: str) -> None:
        assert process.stdout is not None
        for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip("\r\n")
            self._lines.append(line)
            logs.write(self.machine.account.id, self.job.region, stream, line)
        process.stdout.close()

    def _upload_and_end(self, tree: Tree, code: int, ending: str | None, began: float) -> None:
        if ending is None:
            self.job.step("Uploading")
        self.job.metrics = self._metrics()
        reason = None
        try:
            tree.archive()
        except (PermissionError, self.machine.account.role_client.exceptions.NoSuchBucket) as error:
            reason = f"ClientError: Artifact upload failed:Unable to upload file to {error}"
        self.job.training_s += time.monotonic() - began
        if ending is not None:
            self.job.end("Stopped", ending)
        elif code or reason:
            code = 128 - code if code < 0 else code
            self.job.end("Failed", failure_reason=reason or f"AlgorithmError: {tree.failure()}, exit code: {code}")
        else:
            self.job.end("Completed")

    def _metrics(self) -> list[dict[str, Any]]:
        """The last value in the log of each metric, by its regular expression."""
        found = {}
        for definition in self._definitions():
            for line in self._lines:
                for match in re.finditer(definition["Regex"], line):
                    value = {"MetricName": definition["Name"], "Value": float(match[1]), "Timestamp": now()}
                    found[definition["Name"]] = value
        return list(found.values())

    def _definitions(self) -> list[dict[str, str]]:
        specification = self.job.request["AlgorithmSpecification"]
        account = self.machine.account
        if "AlgorithmName" in specification:
            algorithm = account.algorithms.get(specification["AlgorithmName"], self.job.region, account.id)
            return list(algorithm.request["TrainingSpecification"].get("MetricDefinitions", []))
        return list(specification.get("MetricDefinitions", []))

    def _environment(self) -> dict[str, str]:
        """SageMaker's variables, and those that replace AWS's network and the role's credentials."""
        from_aws = {
            "TRAINING_JOB_NAME": self.job.name,
            "TRAINING_JOB_ARN": self.job.arn,
            "AWS_REGION": self.job.region,
            "AWS_ACCESS_KEY_ID": self.machine.account.job_keys[0],
            "AWS_SECRET_ACCESS_KEY": self.machine.account.job_keys[1],
        }
        given: dict[str, str] = self.job.request.get("Environment", {})
        return from_aws | dict(self.machine.endpoints) | given

    def _over(self, limit: str, seconds: float) -> bool:
        """Whether a limit of the request is exceeded."""
        allowed: float = self.job.request["StoppingCondition"].get(limit, float("inf"))
        return seconds > allowed

    def _waited_s(self) -> float:
        return (now() - self.job.created).total_seconds()
