"""Cases that could cost a user money or results, against the fake AWS."""

import json
import math
from collections.abc import Mapping
from typing import Any

import yaml

from snowcover import jobs as jobs_command
from tests.launcher.launching import Launching, completes
from tests.sagemaker import SageMaker


def test_identical_jobs_are_paid_for_once_and_a_damaged_result_does_not_hang(launching: Launching) -> None:
    def end(sagemaker: SageMaker, name: str, staged: Mapping[str, Any]) -> None:
        if staged["seed"] == 6:
            sagemaker.bucket.put(staged["job"]["result"].split("/", 3)[3], b'{"objective": 0.')
            sagemaker.finish(name)
        else:
            completes()(sagemaker, name, staged)

    with launching.ending_jobs(end):
        done = launching.train("-m", "hw=g5", "seed=5,5,6")
    assert sorted(launching.sagemaker.staged(r["TrainingJobName"])["seed"] for r in launching.sagemaker.requests) == [
        5,
        6,
    ]
    assert done.out.count("val_iou 0.5000") == 2
    assert "identical to job 0" in done.out
    assert "it left no readable result in s3://" in done.error_message


def test_an_optuna_study_outlives_failed_trials_and_its_cost_is_limited_as_a_whole(launching: Launching) -> None:
    (launching.folder / "prices.yaml").write_text("{as_of: x, usd_per_hour: {us-west-2: {ml.g5.xlarge: 1}}}")
    ended: list[str] = []

    def end(sagemaker: SageMaker, name: str, staged: Mapping[str, Any]) -> None:
        ended.append(name)
        if len(ended) == 1:
            sagemaker.finish(name, status="Failed", failure_reason="AlgorithmError: out of memory")
        else:
            completes(lambda _: math.nan if len(ended) == 2 else 0.25)(sagemaker, name, staged)

    study = ("-m", "hw=g5", "hydra/sweeper=optuna", "optimizer.lr=interval(1e-5,1e-3)", "hydra.sweeper.n_jobs=1",
             "launch.prices=prices.yaml", "hw.max_hours=1")  # fmt: skip
    with launching.ending_jobs(end):
        done = launching.train(*study, "hydra.sweeper.n_trials=3", "launch.max_cost_usd=30")
    assert done.status == 0, done.err
    assert len(ended) == 3
    (best,) = launching.folder.glob("outputs/*/*/optimization_results.yaml")
    assert yaml.safe_load(best.read_text())["best_value"] == 0.25
    with launching.ending_jobs(completes()):  # each trial may cost 1 USD, and costs 0.03
        done = launching.train(*study, "hydra.sweeper.n_trials=5", "launch.max_cost_usd=1.05", "experiment_name=dear")
    assert "earlier jobs, may cost up to" in done.error_message
    assert len(launching.sagemaker.requests) == 5


def test_the_same_command_resumes_a_stopped_job(launching: Launching) -> None:
    def stopped(sagemaker: SageMaker, name: str, staged: Mapping[str, Any]) -> None:
        sagemaker.finish(name, status="Stopped")

    with launching.ending_jobs(stopped):
        first = launching.train("hw=g5", "hw.max_hours=1")
    assert "ended Stopped" in first.error_message
    with launching.ending_jobs(completes()):
        again = launching.train("hw=g5", "hw.max_hours=2")
    assert again.status == 0, again.err
    one, two = launching.sagemaker.requests
    assert one["TrainingJobName"] != two["TrainingJobName"]
    assert one["CheckpointConfig"]["S3Uri"] == two["CheckpointConfig"]["S3Uri"]
    with launching.ending_jobs(completes()):
        launching.train("hw=g5", "launch.reuse=false")
    assert launching.sagemaker.requests[2]["CheckpointConfig"]["S3Uri"] != one["CheckpointConfig"]["S3Uri"]


def test_a_bad_entry_does_not_prevent_stopping_the_other_jobs(launching: Launching) -> None:
    done = launching.train("-m", "hw=g5", "seed=0,1,2", "launch.wait=false")
    assert done.status == 0, done.err
    (path,) = launching.folder.glob("outputs/*/*/jobs.json")
    sweep = json.loads(path.read_text())
    sweep["jobs"][0]["name"] = "snowcover-that-never-was-0a1b2c3d4e5f-1"
    path.write_text(json.dumps(sweep))
    (launching.folder / "outputs" / "other").mkdir()
    (launching.folder / "outputs" / "other" / "jobs.json").write_text("{")
    stopped = launching("stop", main=jobs_command.main)
    assert stopped.status == 1
    assert "outputs/other/jobs.json is damaged" in stopped.out + stopped.err
    assert "snowcover-that-never-was" in stopped.error_message
    statuses = [job.status for job in launching.sagemaker.jobs]
    assert sorted(statuses) == ["InProgress", "Stopping", "Stopping"], stopped.out
