"""Which earlier jobs a command reuses: by what they read, their config, and their results."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snowcover_launch.job import Job, State
from snowcover_launch.jobs_file import JobsFile, complete_jobs
from tests.launcher.launching import Done, Launching, completes


def newest(folder: Path) -> Mapping[str, Any]:
    """The only job of the newest sweep."""
    (job,) = json.loads(max(folder.glob("outputs/*/*/jobs.json")).read_text())["jobs"]
    found: Mapping[str, Any] = job
    return found


def test_the_same_command_trains_again_on_changed_tiles_and_after_a_result_was_deleted(launching: Launching) -> None:
    bucket = launching.sagemaker.bucket
    for folder in ("imagery/20180528_a", "masks/ASO_20180528"):
        bucket.put(f"{folder}/15/1/1.tif", b"one")
    sources = f'data.sources=[{{scenes: "{bucket.uri}/imagery/2018*", collect: "{bucket.uri}/masks/ASO_20180528"}}]'

    def train() -> Done:
        with launching.ending_jobs(completes()):
            done = launching.train("hw=g5", "data=tiles", sources)
        assert done.status == 0, done.err
        return done

    train()
    first = newest(launching.folder)["name"]
    assert first.endswith("-1")
    assert len(launching.sagemaker.requests) == 1

    bucket.put("imagery/20180528_a/15/1/1.tif", b"two")
    assert "is complete" not in train().out
    assert newest(launching.folder)["name"].split("-")[-2] != first.split("-")[-2]
    bucket.put("imagery/20180528_a/15/1/1.tif", b"one")
    assert "is complete" in train().out  # the first one's again

    left = [key for key in list(bucket.keys()) if first in key]
    for key in left:
        bucket.server.client.delete_object(Bucket=bucket.name, Key=key)
    assert "is complete" not in train().out
    # AWS never frees the name of an ended job
    assert newest(launching.folder)["name"] == f"{first.removesuffix('-1')}-2"
    assert len(launching.sagemaker.requests) == 3

    bucket.server.client.delete_object(Bucket=bucket.name, Key="masks/ASO_20180528/15/1/1.tif")
    message = launching.error_message("-m", "hw=g5", "data=tiles", sources, "seed=0,1")
    assert message.startswith("Job 0 (")
    assert "so none was started: data.sources names" in message
    assert len(launching.sagemaker.requests) == 3


def test_a_spot_job_stays_one_whichever_command_waits_for_it(launching: Launching) -> None:
    leave = ("hw=g5", "launch.wait=false")
    assert launching.train(*leave, "hw.spot=true").status == 0
    assert launching.train(*leave, "hw.data_workers=2", "tracking.tags={basin: Tuolumne}").status == 0
    found = newest(launching.folder)
    assert (found["adopted"], found["spot"], found["machine"]) == (True, True, "ml.g5.xlarge")
    assert len(launching.sagemaker.requests) == 1


def test_complete_jobs_are_read_from_the_records_of_this_machine(tmp_path: Path) -> None:
    def job(number: int, **more: Any) -> Job:
        common = {"title": "", "backend": "sagemaker", "experiment": "x", "folder": "0", "tracking_uri": "sqlite:///m"}
        return Job(number=number, name=f"job-{number}", **common, **more)

    complete = job(0, state=State.COMPLETED, run_id="r", objective=0.0)
    not_imported = job(1, state=State.COMPLETED, objective=0.5)
    running = job(2, state=State.RUNNING)
    JobsFile(sweep="aaaaaa", jobs=[complete, not_imported, running], folder=tmp_path / "first").save()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/jobs.json").write_text("half of a")
    assert [*complete_jobs(tmp_path / "second")] == ["job-0"]
