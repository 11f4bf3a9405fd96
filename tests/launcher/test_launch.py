"""The command against a strict fake of AWS, whose jobs end when the test says so."""

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from snowcover import jobs as jobs_command
from tests.aws import logs
from tests.launcher.launching import SMALL, Launching, completes
from tests.sagemaker import SageMaker
from tests.starting import Process


def record(folder: Path) -> dict[str, Any]:
    """jobs.json of the only sweep."""
    (path,) = folder.glob("outputs/*/*/jobs.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_one_job_goes_to_the_machine_that_hw_names_and_its_objective_comes_back(launching: Launching) -> None:
    with launching.ending_jobs(completes(lambda staged: staged["optimizer"]["lr"] * 100)):
        done = launching.train("hw=g5", "optimizer.lr=5e-3", "experiment_name=tuolumne")
    assert done.status == 0, done.err
    (request,) = launching.sagemaker.requests
    name = request["TrainingJobName"]
    key = f"snowcover/tuolumne/{name}/config/config.yaml"
    assert launching.sagemaker.bucket.keys().count(key) == 1
    staged = yaml.safe_load(launching.sagemaker.bucket.get(key))
    assert staged["optimizer"]["lr"] == 5e-3
    assert not {"hydra", "aws", "launch"} & set(staged)
    assert "val_iou 0.5000" in done.out
    (job,) = record(launching.folder)["jobs"]
    assert (job["name"], job["status"], job["objective"]) == (name, "Completed", 0.5)
    assert len(list(launching.folder.glob("outputs/tuolumne/*/0/config.yaml"))) == 1


@pytest.mark.parametrize(("name", "jobs"), [("seeds", 5), ("recipe", 8)])
def test_a_named_sweep_has_the_expected_number_of_jobs(launching: Launching, name: str, jobs: int) -> None:
    done = launching(f"+sweep={name}", "launch.dry_run=true", "hw=local")
    assert done.status == 0, done.err
    assert sum(line.startswith("seed: ") for line in done.out.splitlines()) == jobs


def test_a_dry_run_prints_request_and_config_and_sends_nothing(launching: Launching) -> None:
    done = launching.train("hw=g5", "launch.dry_run=true")
    assert done.status == 0, done.err
    assert '"InstanceType": "ml.g5.xlarge"' in done.out
    assert "encoder_name: resnet18" in done.out
    assert "Nothing was sent" in done.out
    assert not launching.sagemaker.calls
    assert launching.sagemaker.bucket.keys() == []


def test_one_bad_job_stops_the_sweep_before_anything_is_sent(launching: Launching) -> None:
    message = launching.error_message("-m", "hw=g5", "optimizer.lr=1e-3,-1,1e-4")
    assert message.startswith("Job 1 (optimizer.lr=-1), so none was started: optimizer: Invalid learning rate: -1")
    assert not launching.sagemaker.requests
    assert launching.sagemaker.bucket.keys() == []


def test_the_cost_is_shown_and_limited(launching: Launching) -> None:
    (launching.folder / "prices.yaml").write_text(
        "as_of: '2026-11-01'\nusd_per_hour: {us-west-2: {ml.g5.xlarge: 1.5}}\n"
    )
    sweep = ("-m", "hw=g5", "optimizer.lr=1e-3,1e-4", "hw.max_hours=4", "launch.prices=prices.yaml")
    message = launching.error_message(*sweep, "launch.max_cost_usd=11")
    assert message.startswith("These 2 jobs may cost up to 12.00 USD, more than launch.max_cost_usd=11")
    assert not launching.sagemaker.requests
    assert "launch.max_cost_usd=50 cannot be checked: the price table lacks ml.g4dn.xlarge" in launching.error_message(
        "hw=g4dn", "launch.prices=prices.yaml", "launch.max_cost_usd=50"
    )
    with launching.ending_jobs(completes()):
        done = launching.train(*sweep, "launch.max_cost_usd=12")
    assert done.status == 0, done.err
    assert "6.00 USD" in done.out
    assert "at most 12.00 USD in all (prices of 2026-11-01, without storage)" in done.out


def test_the_same_sweep_again_starts_only_what_is_not_complete(launching: Launching) -> None:
    def half(sagemaker: SageMaker, name: str, staged: Mapping[str, Any]) -> None:
        if staged["optimizer"]["lr"] > 5e-4:
            sagemaker.finish(name, result={"objective": 0.6, "run_id": "r"})
        else:
            sagemaker.finish(name, status="Failed", failure_reason="AlgorithmError: the tile 15/1/2 is broken")

    sweep = ("-m", "hw=g5", "optimizer.lr=1e-3,1e-4")
    with launching.ending_jobs(half):
        first = launching.train(*sweep)
    assert first.status == 1
    assert "the tile 15/1/2 is broken" in first.err
    with launching.ending_jobs(completes(lambda _: 0.7)):
        again = launching.train(*sweep)
    assert again.status == 0, again.err
    assert len(launching.sagemaker.requests) == 3
    assert "is complete" in again.out
    assert "val_iou 0.6000" in again.out
    assert "val_iou 0.7000" in again.out
    with launching.ending_jobs(completes(lambda _: 0.8)):
        launching.train(*sweep, "launch.reuse=false")
    assert len(launching.sagemaker.requests) == 5


def test_a_failed_job_does_not_discard_the_others(launching: Launching) -> None:
    def second_fails(sagemaker: SageMaker, name: str, staged: Mapping[str, Any]) -> None:
        if staged["seed"] == 1:
            sagemaker.finish(name, status="Failed", failure_reason="AlgorithmError: out of memory")
        else:
            completes()(sagemaker, name, staged)

    sweep = ("-m", "hw=g5", "seed=0,1,2", "launch.max_parallel=1")
    with launching.ending_jobs(second_fails):
        done = launching.train(*sweep)
    assert len(launching.sagemaker.requests) == 3
    assert "out of memory" in done.error_message
    with launching.ending_jobs(second_fails):
        done = launching.train(*sweep, "launch.on_failure=continue", "launch.reuse=false")
    assert done.status == 0, done.err
    assert "out of memory" in done.out


def test_max_parallel_keeps_that_many_running(launching: Launching) -> None:
    most = 0

    def end(sagemaker: SageMaker, name: str, staged: Mapping[str, Any]) -> None:
        nonlocal most
        if len(sagemaker.jobs) % 2:
            sagemaker.wait(lambda: len(sagemaker.jobs) % 2 == 0 or len(sagemaker.jobs) == 5)
        most = max(most, sum(job.status == "InProgress" for job in sagemaker.jobs))
        completes()(sagemaker, name, staged)

    with launching.ending_jobs(end):
        done = launching.train("-m", "hw=g5", "seed=range(0,5)", "launch.max_parallel=2")
    assert done.status == 0, done.err
    assert most == 2


def test_without_waiting_all_jobs_start_and_can_be_attached_to(launching: Launching) -> None:
    done = launching.train("-m", "hw=g5", "seed=0,1", "launch.wait=false")
    assert done.status == 0, done.err
    assert [job["state"] for job in record(launching.folder)["jobs"]] == ["running", "running"]
    (folder,) = launching.folder.glob("outputs/snowcover/*")
    with launching.ending_jobs(completes()):
        attached = launching("attach", str(folder.relative_to(launching.folder)), main=jobs_command.main)
    assert attached.status == 0, attached.err
    assert [job["objective"] for job in record(launching.folder)["jobs"]] == [0.5, 0.5]


def test_fifty_jobs_start_exactly_once_under_throttling_and_after_a_kill(
    launching: Launching, monkeypatch: pytest.MonkeyPatch
) -> None:
    sagemaker = launching.sagemaker
    # Our own mode, adaptive, slows down to one call in two seconds, and this test to five minutes.
    monkeypatch.setenv("AWS_RETRY_MODE", "standard")
    sagemaker.faults.throttle(every=7)
    first = Process("snowcover.train", launching.folder, "-m", *SMALL, "hw=g5", "seed=range(0,50)")
    sagemaker.faults.when("CreateTrainingJob", 20, lambda: os.kill(first.pid, signal.SIGKILL), after=True)
    output = first.communicate()
    assert first.returncode == -signal.SIGKILL, output
    killed_with = len(sagemaker.requests)
    assert killed_with in (20, 21)
    with launching.ending_jobs(completes()):
        again = launching.train("-m", "hw=g5", "seed=range(0,50)")
    assert again.status == 0, again.err
    seeds = [sagemaker.staged(request["TrainingJobName"])["seed"] for request in sagemaker.requests]
    assert sorted(seeds) == list(range(50))


def test_a_lost_response_does_not_start_a_job_twice(launching: Launching) -> None:
    launching.sagemaker.faults.lose_answers("CreateTrainingJob", times=1)
    with launching.ending_jobs(completes()):
        done = launching.train("hw=g5")
    assert done.status == 0, done.err
    assert len(launching.sagemaker.requests) == 1
    (job,) = record(launching.folder)["jobs"]
    assert not job["adopted"]  # it was ours all the time


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_detaches_with_a_hint_to_attach_or_stops_the_jobs(
    launching: Launching, signal_number: signal.Signals
) -> None:
    def interrupted(wanted: str) -> tuple[int | None, str]:
        given = (*SMALL, "hw=g5", f"launch.on_interrupt={wanted}", f"experiment_name={wanted}")
        process = Process("snowcover.train", launching.folder, *given)
        before = launching.sagemaker.calls["DescribeTrainingJob"]
        launching.sagemaker.wait(lambda: launching.sagemaker.calls["DescribeTrainingJob"] > before + 1)
        process.send_signal(signal_number)
        _, err = process.communicate(timeout=60)
        return process.returncode, err

    status, left = interrupted("detach")
    assert status == 128 + signal_number, left
    assert "still running, and costing money, until they end: 1 job;" in left
    assert "snowcover.jobs attach outputs/detach/" in left
    assert [job.status for job in launching.sagemaker.jobs] == ["InProgress"]
    status, stopped = interrupted("stop")
    assert status == 128 + signal_number
    assert "1 job asked to stop" in stopped
    assert launching.sagemaker.jobs[1].status in ("Stopping", "Stopped")


def test_a_temporary_network_loss_is_waited_out_and_reported_once(launching: Launching) -> None:
    sagemaker = launching.sagemaker

    def end(_: SageMaker, name: str, staged: Mapping[str, Any]) -> None:
        sagemaker.wait(lambda: sagemaker.calls["DescribeTrainingJob"] > 2)
        sagemaker.lose_network(seconds=25)
        completes()(sagemaker, name, staged)

    with launching.ending_jobs(end):
        done = launching.train("hw=g5")
    assert done.status == 0, done.err
    assert done.out.count("retrying until it answers") == 1
    assert "Polling works again." in done.out


def test_expired_credentials_while_waiting_are_requested_and_waited_for(launching: Launching) -> None:
    sagemaker = launching.sagemaker

    def end(_: SageMaker, name: str, staged: Mapping[str, Any]) -> None:
        sagemaker.wait(lambda: sagemaker.calls["DescribeTrainingJob"] > 2)
        sagemaker.expire_credentials(calls=3)
        completes()(sagemaker, name, staged)

    with launching.ending_jobs(end):
        done = launching.train("hw=g5")
    assert done.status == 0, done.err
    assert "aws sso login" in done.out


def test_mistakes_about_the_account_end_in_one_message_each(
    launching: Launching, monkeypatch: pytest.MonkeyPatch
) -> None:
    sagemaker = launching.sagemaker
    assert "could not" not in launching.error_message("hw=g5", "aws.image_uri=null").lower()
    assert "experiment_name='nnn" in launching.error_message("hw=g5", f"experiment_name={'n' * 101}")
    sagemaker.account.add_image("snowcover", "0.1.0-kepler")
    sagemaker.quota("ml.p2.xlarge", 0)
    quota = launching.error_message("hw=p2")
    assert "ml.p2.xlarge for training job usage" in quota
    assert "Service Quotas" in quota
    elsewhere = sagemaker.add_bucket("eu-west-1")
    region = launching.error_message("hw=g5", f"aws.bucket={elsewhere}")
    assert f"The bucket {elsewhere} is in eu-west-1 and the jobs would run in us-west-2" in region
    assert "no-such-bucket" in launching.error_message("hw=g5", "aws.bucket=no-such-bucket")
    role = launching.error_message("hw=g5", "aws.role_arn=arn:aws:iam::123456789012:role/nobody")
    assert "role" in role.lower()
    profile = launching.error_message("hw=g5", "aws.profile=nobody")
    assert "aws.profile=nobody: ~/.aws/config has no such profile" in profile
    assert not sagemaker.requests
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "There are no valid AWS credentials" in launching.error_message("hw=g5")


def test_a_job_that_fails_at_once_is_reported_with_its_last_lines(launching: Launching) -> None:
    def end(sagemaker: SageMaker, name: str, staged: Mapping[str, Any]) -> None:
        account = sagemaker.account.id
        stream = logs.begin(account, sagemaker.region, name, sagemaker.job(name).created)
        for line in ("reading tiles", "scenes/a/15/1/2.tif is truncated"):
            logs.write(account, sagemaker.region, stream, line)
        sagemaker.finish(name, status="Failed", failure_reason="AlgorithmError: scenes/a/15/1/2.tif is truncated")

    with launching.ending_jobs(end):
        message = launching.error_message("hw=g5")
    assert "ended Failed: AlgorithmError: scenes/a/15/1/2.tif is truncated" in message
    assert "last lines: reading tiles | scenes/a/15/1/2.tif is truncated" in message


def test_conflicting_keys_are_refused(launching: Launching) -> None:
    optuna = ("-m", "hw=g5", "hydra/sweeper=optuna", "optimizer.lr=interval(1e-5,1e-3)")
    assert "An optimizing sweeper needs each job's result" in launching.error_message(*optuna, "launch.wait=false")
    assert "launch.max_parallel starts the next job" in launching.error_message(
        "-m", "hw=g5", "seed=0,1", "launch.wait=false", "launch.max_parallel=1"
    )
    assert "do not sweep keys of launch" in launching.error_message("-m", "hw=g5", "launch.reuse=true,false")
    assert not launching.sagemaker.requests


def test_optuna_maximizes_the_objective_over_jobs(launching: Launching) -> None:
    def objective(staged: Mapping[str, Any]) -> float:
        return 1 - abs(staged["optimizer"]["lr"] - 5e-4) * 1000

    with launching.ending_jobs(completes(objective)):
        done = launching.train(
            "-m", "hw=g5", "hydra/sweeper=optuna", "optimizer.lr=interval(1e-5,1e-3)",
            "hydra.sweeper.n_trials=6", "hydra.sweeper.n_jobs=2", "+hydra.sweeper.sampler.seed=1",
        )  # fmt: skip
    assert done.status == 0, done.err
    assert len(launching.sagemaker.requests) == 6
    (best,) = launching.folder.glob("outputs/*/*/optimization_results.yaml")
    lrs = [launching.sagemaker.staged(r["TrainingJobName"])["optimizer"]["lr"] for r in launching.sagemaker.requests]
    found = yaml.safe_load(best.read_text())
    assert found["best_value"] == pytest.approx(max(objective({"optimizer": {"lr": lr}}) for lr in lrs))


def test_an_image_that_does_not_fit_the_machine_is_refused_before_anything_is_sent(launching: Launching) -> None:
    account = launching.sagemaker.account
    message = launching.error_message("hw=p2")  # the current image's kepler sister was never pushed
    assert "There is no image" in message
    assert ":0.1.0-kepler: push it" in message
    mislabelled = account.add_image("snowcover", "mine", {"snowcover.variant": "kepler"})
    assert "is the kepler variant, but ml.g5.xlarge needs current" in launching.error_message(
        "hw=g5", f"aws.image_uri={mislabelled}"
    )
    foreign = account.add_image("snowcover", "other", {})
    assert "is not an image of this project" in launching.error_message("hw=g5", f"aws.image_uri={foreign}")
    old = account.add_image(
        "snowcover", "old", {"snowcover.variant": "current", "org.opencontainers.image.version": "0.0.1"}
    )
    assert "holds snowcover 0.0.1 but this is" in launching.error_message("hw=g5", f"aws.image_uri={old}")
    assert not launching.sagemaker.requests


def test_credentials_that_end_just_after_a_job_was_created_do_not_hide_it(launching: Launching) -> None:
    faults = launching.sagemaker.faults
    faults.when("CreateTrainingJob", 1, lambda: launching.sagemaker.expire_credentials(calls=2), after=True)
    with launching.ending_jobs(completes()):
        done = launching.train("hw=g5")
    assert done.status == 0, done.err
    assert len(launching.sagemaker.requests) == 1


def test_a_sweep_over_this_machine_and_others_respects_their_limits(launching: Launching) -> None:
    done = launching.train("-m", "hw=local,g5", "hw.max_hours=2", "hw.spot=true", "launch.dry_run=true")
    assert done.status == 0, done.err
    assert '"MaxRuntimeInSeconds": 7200' in done.out
    assert "runs on this machine" in done.out
