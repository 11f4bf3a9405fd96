"""Jobs are started, polled, retried and ended, independently of the backend."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from snowcover_launch import poller as poller_module
from snowcover_launch import tracked_job
from snowcover_launch.errors import BackendError, CredentialsRefused, NoCapacity, NotFound, Unreachable
from snowcover_launch.job import Job, Report, State
from snowcover_launch.jobs_file import JobsFile, read_jobs
from snowcover_launch.poller import JobPoller
from snowcover_launch.runner import JobRunner
from snowcover_launch.spending import Spending, TooExpensive
from snowcover_launch.tracked_job import TrackedJob
from tests.launcher.scripted import RUNNING, ScriptedBackend, completed, job


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for module, name, value in (
        (tracked_job, "MIN_POLL_INTERVAL_S", 0.0), (tracked_job, "MAX_POLL_INTERVAL_S", 0.0),
        (poller_module, "MIN_POLL_INTERVAL_S", 0.0), (poller_module, "MAX_POLL_INTERVAL_S", 0.0),
        (poller_module, "POLLS_PER_S", 1e9), (poller_module, "CAPACITY_PAUSE_S", 0.0),
        (poller_module, "LOOP_PAUSE_S", 0.0),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    yield


def run(backend: ScriptedBackend, jobs: list[Job], folder: Path, max_parallel: int | None = None) -> dict[int, str]:
    """Runs the jobs to their ends; returns the error of each job without a result."""
    file = JobsFile(sweep="a1b2c3", jobs=jobs, folder=folder)
    backend.file = file
    errors = JobRunner(file, jobs, {"scripted": backend}).run(max_parallel, "detach")
    return {number: str(error) for number, error in errors.items()}


def test_a_job_is_on_disk_as_submitting_before_its_backend_is_asked(tmp_path: Path) -> None:
    backend = ScriptedBackend()
    assert run(backend, [job()], tmp_path) == {}
    (kept,) = backend.saved_when_submitted
    assert json.loads(kept)["jobs"][0]["state"] == "submitting"
    (one,) = read_jobs(tmp_path).jobs
    assert (one.state, one.objective, one.run_id) == (State.COMPLETED, 0.5, "run-0")


def test_identical_jobs_run_once_and_all_have_the_result(tmp_path: Path) -> None:
    backend = ScriptedBackend()
    jobs = [job(0), job(1, twin_of=0), job(2, twin_of=0)]
    assert run(backend, jobs, tmp_path) == {}
    assert backend.submitted == [0]
    assert [one.objective for one in jobs] == [0.5, 0.5, 0.5]
    assert {one.name for one in jobs} == {"job-0"}


def test_a_job_without_an_available_machine_waits_and_starts_when_there_is_one(tmp_path: Path) -> None:
    backend = ScriptedBackend(submits={0: [NoCapacity("Two of two are in use."), NoCapacity("still"), RUNNING]})
    assert run(backend, [job(0), job(1)], tmp_path) == {}
    assert backend.submitted.count(0) == 3


def test_a_job_that_got_no_machine_after_its_start_is_retried_a_limited_number_of_times(tmp_path: Path) -> None:
    none = Report(state=State.FAILED, status="Failed", reason="CapacityError: none", no_capacity=True)
    backend = ScriptedBackend(polls={0: [none, none, completed()]})
    backend.retry_pause_s = 0.0
    assert run(backend, [job()], tmp_path / "again") == {}
    assert backend.submitted == [0, 0, 0]
    backend = ScriptedBackend(polls={0: [none]})
    assert "CapacityError: none" in run(backend, [job()], tmp_path / "never")[0]
    assert backend.submitted == [0]


def test_an_unreachable_backend_is_polled_again_and_loses_no_job(tmp_path: Path) -> None:
    backend = ScriptedBackend(
        submits={0: [Unreachable("no network."), RUNNING]},
        polls={0: [Unreachable("reset."), CredentialsRefused("expired."), BackendError("denied."), completed(0.25)]},
    )
    one = job()
    assert run(backend, [one], tmp_path) == {}
    assert one.objective == 0.25


def test_without_credentials_the_command_fails_at_once(tmp_path: Path) -> None:
    backend = ScriptedBackend(submits={0: [CredentialsRefused("Sign in.")]})
    with pytest.raises(CredentialsRefused, match="Sign in"):
        run(backend, [job()], tmp_path)


def test_a_job_that_was_never_created_ends_and_does_not_block_others(tmp_path: Path) -> None:
    backend = ScriptedBackend(polls={0: [NotFound("There is no job-0.")]})
    jobs = [job(0), job(1)]
    assert run(backend, jobs, tmp_path) == {0: "There is no job-0."}
    assert [one.state for one in jobs] == [State.NOT_STARTED, State.COMPLETED]


def test_a_silent_job_is_stopped_and_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    backend = ScriptedBackend(polls={0: [RUNNING]})
    errors = run(backend, [job(max_silent_minutes=1e-9)], tmp_path)
    assert backend.stopped == [0]
    assert "has printed nothing for" in caplog.text
    assert "ended Stopped" in errors[0]


def test_a_job_that_waits_for_its_machine_may_be_silent(tmp_path: Path) -> None:
    starting = Report(state=State.RUNNING, status="InProgress", detail="Starting")
    backend = ScriptedBackend(polls={0: [starting, starting, completed()]})
    assert run(backend, [job(max_silent_minutes=1e-9)], tmp_path) == {}
    assert backend.stopped == []


def test_at_most_max_parallel_jobs_run_at_a_time(tmp_path: Path) -> None:
    backend = ScriptedBackend(polls={0: [RUNNING, RUNNING, completed()]})
    assert run(backend, [job(0), job(1), job(2)], tmp_path, max_parallel=1) == {}
    assert backend.submitted == [0, 1, 2]


def test_without_waiting_the_reason_of_an_unstarted_job_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    backend = ScriptedBackend(submits={1: [NoCapacity("0 of 0 machines are yours.")]})
    jobs = [job(0), job(1)]
    file = JobsFile(sweep="a1b2c3", jobs=jobs, folder=tmp_path)
    errors = JobRunner(file, jobs, {"scripted": backend}).start()
    assert str(errors[1]) == "0 of 0 machines are yours."
    assert [one.state for one in jobs] == [State.RUNNING, State.NOT_STARTED]
    assert "0 of 0" in caplog.text


def test_an_interrupt_only_stops_what_this_command_started(tmp_path: Path) -> None:
    backend = ScriptedBackend()
    mine, others = job(0, state=State.RUNNING), job(1, state=State.RUNNING, adopted=True)
    file = JobsFile(sweep="a1b2c3", jobs=[mine, others], folder=tmp_path)
    runner = JobRunner(file, [mine, others], {"scripted": backend})
    tracked = [TrackedJob(one, tmp_path) for one in (mine, others)]
    watcher = type("Silent", (), dict.fromkeys(("changed", "printed", "polling_problem", "show"), lambda *_: None))()
    poller = JobPoller(file, tracked, {"scripted": backend}, watcher)
    from snowcover.errors import Stopped

    message = runner._interrupted(poller, Stopped("", 2), "stop")
    assert backend.stopped == [0]
    assert "1 job asked to stop" in str(message)
    assert "1 job of another command still runs" in str(message)


def test_the_cost_limit_covers_all_batches_of_a_sweep() -> None:
    spending = Spending()
    first = [job(0, machine="ml.g5.xlarge", highest_usd=10.0), job(1, machine="ml.g5.xlarge", highest_usd=10.0)]
    spending.admit(first, 30)
    with pytest.raises(TooExpensive, match=r"These 2 jobs, with 20\.00 USD .* may cost up to 40\.00 USD"):
        spending.admit([job(2, machine="x", highest_usd=10.0), job(3, machine="x", highest_usd=10.0)], 30)
    first[0].cost_usd = first[1].cost_usd = 2.5  # they ended early
    spending.admit([job(2, machine="x", highest_usd=10.0), job(3, machine="x", highest_usd=10.0)], 30)
    with pytest.raises(TooExpensive, match="the price table lacks ml.p5"):
        spending.admit([job(4, machine="ml.p5")], 30)
    spending.admit([job(5, machine="ml.p5", adopted=True), job(6, machine="ml.p5", twin_of=2)], 30)
