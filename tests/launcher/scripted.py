"""A backend with scripted responses: for testing the code that is independent of backends."""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snowcover_launch.backends.base import ExistingJob
from snowcover_launch.job import Job, Report, State
from snowcover_launch.jobs_file import JobsFile

RUNNING = Report(state=State.RUNNING, status="InProgress", detail="Training", works=True, id="arn:job")


def completed(objective: float = 0.5) -> Report:
    return Report(state=State.COMPLETED, status="Completed", objective=objective, id="arn:job")


class ScriptedBackend:
    """Answers by job number; an exception is raised, the last answer is repeated."""

    in_process = False
    slots: int | None = None
    outlives_us = True

    def __init__(self, submits: Mapping[int, Sequence[Any]] = {}, polls: Mapping[int, Sequence[Any]] = {}) -> None:
        self._submits = {number: deque(answers) for number, answers in submits.items()}
        self._polls = {number: deque(answers) for number, answers in polls.items()}
        self.submitted: list[int] = []
        self.stopped: list[int] = []
        self.collected: list[int] = []
        self.lines: dict[int, list[str]] = defaultdict(list)
        self.retry_pause_s: float | None = None
        self.saved_when_submitted: list[str] = []
        self.file: JobsFile | None = None

    def check(self, job: Job) -> None: ...
    def validate(self, jobs: Sequence[Job]) -> None: ...

    def find(self, jobs: Sequence[Job]) -> Mapping[Job, ExistingJob]:
        return {}

    def describe(self, job: Job) -> str:
        return "nothing"

    def submit(self, job: Job) -> Report:
        self.submitted.append(job.number)
        if self.file is not None:
            self.saved_when_submitted.append((self.file.folder / "jobs.json").read_text())
        return _answer(self._submits.get(job.number, deque([RUNNING])))

    def poll(self, job: Job) -> Report:
        return _answer(self._polls.get(job.number, deque([completed()])))

    def logs(self, job: Job) -> list[str]:
        lines, self.lines[job.number] = self.lines[job.number], []
        return lines

    def stop(self, job: Job) -> None:
        self.stopped.append(job.number)
        self._polls[job.number] = deque([Report(state=State.STOPPED, status="Stopped")])

    def retry(self, job: Job) -> float | None:
        return self.retry_pause_s

    def collect(self, job: Job, report: Report) -> str | None:
        self.collected.append(job.number)
        return f"run-{job.number}"

    def fetch(self, job: Job) -> list[Path]:
        return []


def _answer(script: deque[Any]) -> Report:
    answer = script.popleft() if len(script) > 1 else script[0]
    if isinstance(answer, Exception):
        raise answer
    assert isinstance(answer, Report)
    return answer


def job(number: int = 0, **fields: Any) -> Job:
    values = {
        "number": number, "name": f"job-{number}", "title": f"seed={number}", "backend": "scripted",
        "experiment": "snow", "folder": str(number), "tracking_uri": "sqlite:///mlflow.db", "digest": f"d{number}",
    }  # fmt: skip
    return Job(**(values | fields))
