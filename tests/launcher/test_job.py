"""A job and its states, and the file that stores them."""

import itertools
import json
from pathlib import Path

import pytest

from snowcover_launch.job import ENDS, NEXT, Report, State
from snowcover_launch.jobs_file import JobsFile, NoJobs, all_jobs, read_jobs
from tests.launcher.scripted import RUNNING, completed, job


def test_an_end_is_an_end_and_every_other_state_has_a_way_to_one() -> None:
    assert {state for state in State if state.has_ended} == ENDS
    for state in set(State) - ENDS:
        assert NEXT[state] & ENDS


@pytest.mark.parametrize(("before", "after"), list(itertools.product(State, State)))
def test_a_job_moves_only_along_the_table(tmp_path: Path, before: State, after: State) -> None:
    one = job(state=before)
    file = JobsFile(sweep="a1b2c3", jobs=[one], folder=tmp_path)
    if after in NEXT[before]:
        file.move(one, after)
        assert read_jobs(tmp_path).jobs[0].state is after
    else:
        with pytest.raises(AssertionError):
            file.move(one, after)
        assert one.state is before


def test_each_transition_is_saved_with_the_report_of_the_backend(tmp_path: Path) -> None:
    one = job()
    file = JobsFile(sweep="a1b2c3", region="us-west-2", jobs=[one], folder=tmp_path)
    file.move(one, State.SUBMITTING)
    assert read_jobs(tmp_path).jobs[0].may_run
    file.move(one, State.RUNNING, RUNNING)
    file.move(one, State.COMPLETED, completed(0.75))
    (kept,) = read_jobs(tmp_path).jobs
    assert (kept.status, kept.objective, kept.id) == ("Completed", 0.75, "arn:job")
    assert not list(tmp_path.glob(".*"))


def test_a_job_of_the_launching_process_is_in_no_file(tmp_path: Path) -> None:
    JobsFile(sweep="a1b2c3", jobs=[job(name="")], folder=tmp_path / "sweep").save()
    assert not (tmp_path / "sweep").exists()


def test_the_jobs_file_of_earlier_versions_is_read_wherever_its_sweep_lies_now(tmp_path: Path) -> None:
    old = {
        "number": 3, "name": "snowcover-x", "title": "seed=3", "experiment": "tuolumne",
        "folder": "/home/ana/outputs/tuolumne/2026-10-01/some/3", "prefix": "s3://b/snowcover/tuolumne/snowcover-x",
        "instance_type": "ml.g5.xlarge", "machines": 2, "spot": True, "usd_per_hour": 1.4,
        "tracking_uri": "sqlite:///mlflow.db", "own_store": True, "tags": {"sweep": "a1b2c3"}, "arn": "arn:aws:x",
    }  # fmt: skip
    stages = [("planned", "", State.PLANNED), ("starting", "", State.SUBMITTING),
              ("running", "InProgress", State.RUNNING), ("ended", "Completed", State.COMPLETED),
              ("ended", "Stopped", State.STOPPED),
              ("ended", "NotStarted", State.NOT_STARTED)]  # fmt: skip
    jobs = [old | {"number": i, "stage": stage, "status": status} for i, (stage, status, _) in enumerate(stages)]
    folder = tmp_path / "elsewhere" / "2026-10-01"
    folder.mkdir(parents=True)
    (folder / "jobs.json").write_text(
        json.dumps({"version": 1, "sweep": "a1b2c3", "region": "us-west-2", "profile": None, "jobs": jobs})
    )
    file = read_jobs(folder)
    assert [one.state for one in file.jobs] == [state for *_, state in stages]
    assert file.folder_of(file.jobs[0]) == folder / "some" / "3"
    first = file.jobs[0]
    assert (first.backend, first.machine, first.machines, first.id) == ("sagemaker", "ml.g5.xlarge", 2, "arn:aws:x")
    assert first.checkpoints == "s3://b/snowcover/tuolumne/snowcover-x/checkpoints"
    file.save()
    assert json.loads((folder / "jobs.json").read_text())["version"] == 2


@pytest.mark.parametrize("text", ["", "[]", "{", '{"version": 1, "jobs": [{}]}', '{"version": 9}', "\x00\xff"])
def test_a_damaged_file_is_reported_and_hides_no_other(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "jobs.json").write_text(text)
    with pytest.raises(NoJobs, match=r"jobs\.json is damaged"):
        read_jobs(tmp_path / "bad")
    JobsFile(sweep="a1b2c3", jobs=[job()], folder=tmp_path / "good").save()
    assert [file.folder.name for file in all_jobs(tmp_path)] == ["good"]
    assert "bad" in caplog.text


def test_an_adopted_job_keeps_its_own_facts_and_not_those_of_the_adopting_config() -> None:
    one = job(machine="ml.g5.xlarge", spot=False, highest_usd=14.0)
    one.adopt("job-of-others", Report(state=State.RUNNING), {"spot": True, "machine": "ml.g4dn.xlarge"})
    assert (one.name, one.spot, one.machine) == ("job-of-others", True, "ml.g4dn.xlarge")
    assert not one.costs


@pytest.mark.parametrize(("objective", "counts"), [(0.0, True), (0.5, True), (None, False), (float("nan"), False)])
def test_an_objective_of_zero_is_a_result_and_none_that_cannot_be_compared(
    objective: float | None, counts: bool
) -> None:
    assert (job(objective=objective).result is not None) is counts


def test_a_changed_job_is_saved_in_its_current_state_and_without_secrets(tmp_path: Path) -> None:
    one = job(reason="postgresql://me:hunter22@db/x does not answer")
    file = JobsFile(sweep="a1b2c3", jobs=[one], folder=tmp_path)
    file.save()
    assert "hunter22" not in (tmp_path / "jobs.json").read_text()
    file.move(one, State.SUBMITTING, reason="token=abcdefgh12345")
    assert "abcdefgh12345" not in (tmp_path / "jobs.json").read_text()
    assert read_jobs(tmp_path).jobs[0].state is State.SUBMITTING
