"""Counts the requests of a sweep of many jobs to S3 and SageMaker, which cost money and time."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from snowcover import tracking
from tests.launcher.launching import SMALL, Launching, completes
from tests.sagemaker import SageMaker
from tests.starting import Process


def test_a_new_job_is_one_request_to_s3_and_one_that_is_reused_none(launching: Launching) -> None:
    store = f"sqlite:///{launching.folder}/mlflow.db"

    def end(sagemaker: SageMaker, name: str, staged: Mapping[str, Any]) -> None:
        with tracking.recorded(store, staged["experiment_name"], name, False, tags={"job": name}):
            pass
        completes()(sagemaker, name, staged)

    def asked(*overrides: str) -> tuple[int, Counter[str]]:
        """Requests to S3 and calls of SageMaker."""
        s3, calls = len(launching.sagemaker.s3_requests), launching.sagemaker.calls.copy()
        done = launching.train("-m", "hw=g5", *overrides)
        assert done.status == 0, done.err
        return len(launching.sagemaker.s3_requests) - s3, launching.sagemaker.calls - calls

    found = []
    for jobs in (2, 6):
        sweep = (f"seed=range(0,{jobs})", f"experiment_name=of-{jobs}")
        new, _ = asked(*sweep, "launch.wait=false")
        for job in launching.sagemaker.jobs:
            if job.status == "InProgress":
                end(launching.sagemaker, job.name, launching.sagemaker.staged(job.name))
        assert asked(*sweep)[1]["CreateTrainingJob"] == 0  # imports the complete ones
        reused, calls = asked(*sweep)
        found.append((new, reused, calls["DescribeTrainingJob"]))
    (few_new, few_reused, few_described), (many_new, many_reused, many_described) = found
    assert many_new - few_new <= 4
    assert (many_reused, many_described) == (few_reused, few_described)
    assert few_described == 0


def test_of_two_commands_at_once_one_pays_and_both_know_the_job(launching: Launching) -> None:
    commands = []
    for name in ("one", "two"):
        folder = launching.folder / name
        folder.mkdir()
        words = (*SMALL, "hw=g5", "seed=1,2", "launch.wait=false")
        commands.append(Process("snowcover.train", folder, "-m", *words))
    for command in commands:
        output = command.communicate()
        assert command.returncode == 0, output
    assert len(launching.sagemaker.requests) == 2
    files = [json.loads(file.read_text())["jobs"] for file in launching.folder.glob("*/outputs/*/*/jobs.json")]
    names = [{job["name"] for job in jobs} for jobs in files]
    assert names[0] == names[1] == {request["TrainingJobName"] for request in launching.sagemaker.requests}
    assert sorted(job["adopted"] for jobs in files for job in jobs) == [False, False, True, True]
