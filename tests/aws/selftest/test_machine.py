"""The fake SageMaker machine fulfils SageMaker's contract with the jobs it runs."""

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.aws.api import client, request
from tests.aws.namespaces import ONE_THREAD, Namespaces
from tests.sagemaker import SageMaker

NAME = "snowcover-unet-001"
SPOT = {
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 600},
}
START = "import json, os, pathlib, signal, sys, time\nml = pathlib.Path('/opt/ml')\n"
COUNT = (
    START
    + """
kept = ml / "checkpoints" / "epoch"
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
epoch = int(kept.read_text()) if kept.exists() else 0
print("begins at", epoch, flush=True)
while epoch < 3 or not (ml / "checkpoints" / "may-end").exists():
    if epoch < 3:
        epoch += 1
        kept.write_text(str(epoch))
        print(f"epoch={epoch} val_iou=0.{epoch}", flush=True)
    time.sleep(0.01)
    if stopped:
        print("stopped", flush=True)
        sys.exit(0)
(ml / "model" / "best.ckpt").write_text("weights")
(ml / "output" / "data" / "result.json").write_text("{}")
"""
)


def run(sagemaker: SageMaker, folder: Path, program: str, grace_s: float = 120, **changes: Any) -> None:
    """Starts a job that runs this program."""
    script = folder / "train"
    script.write_text(program)
    sagemaker.use_machine(Namespaces(script), grace_s=grace_s)
    checkpoints = {"CheckpointConfig": {"S3Uri": f"{sagemaker.bucket.uri}/checkpoints/{NAME}"}}
    client().create_training_job(**request(sagemaker, NAME, **(checkpoints | changes)))


def archive(sagemaker: SageMaker, name: str) -> dict[str, bytes]:
    """Files in an archive that the job left."""
    content = sagemaker.bucket.get(f"snowcover/exp/{NAME}/output/{NAME}/output/{name}")
    with tarfile.open(fileobj=io.BytesIO(content)) as opened:
        return {member.name: opened.extractfile(member).read() for member in opened if member.isfile()}  # type: ignore[union-attr]


def test_a_job_gets_its_request_and_nothing_of_this_process(
    sagemaker: SageMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_DEVELOPER", "x")
    program = (
        START
        + """
seen = {str(file.relative_to(ml)): file.read_text() for file in ml.rglob("*") if file.is_file()}
record = {"files": seen, "environment": dict(os.environ), "arguments": sys.argv[1:], "pid": os.getpid()}
(ml / "output" / "data" / "record.json").write_text(json.dumps(record))
"""
    )
    sagemaker.bucket.put(f"checkpoints/{NAME}/deep/last.ckpt", b"before")
    run(sagemaker, tmp_path, program, Environment={"GIVEN": "y"}, HyperParameters={"lr": "0.1"})
    assert sagemaker.wait_for(NAME).status == "Completed", sagemaker.log(NAME)
    record = json.loads(archive(sagemaker, "output.tar.gz")["record.json"])
    assert (record["arguments"], record["pid"]) == (["train"], 1)
    assert json.loads(record["files"]["input/config/hyperparameters.json"]) == {"lr": "0.1"}
    assert json.loads(record["files"]["input/config/resourceconfig.json"])["hosts"] == ["algo-1"]
    assert json.loads(record["files"]["input/config/inputdataconfig.json"])["config"]["TrainingInputMode"] == "File"
    assert record["files"]["input/data/config/config.yaml"].startswith("job:")
    assert record["files"]["checkpoints/deep/last.ckpt"] == "before"
    assert record["environment"]["GIVEN"] == "y"
    assert record["environment"]["TRAINING_JOB_NAME"] == NAME
    own = {"PATH", "HOME", "TMPDIR", "PWD", "LC_CTYPE", *ONE_THREAD}  # PWD and LC_CTYPE are the shell's and Python's
    network = {"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"}
    named = {"TRAINING_JOB_NAME", "TRAINING_JOB_ARN"}
    assert set(record["environment"]) - own == {"GIVEN"} | named | network


def test_a_job_goes_through_every_status_and_leaves_its_archives(sagemaker: SageMaker, tmp_path: Path) -> None:
    sagemaker.bucket.put(f"checkpoints/{NAME}/may-end")
    metrics = [{"Name": "val_iou", "Regex": r"val_iou=([0-9.]+)"}]
    specification = {"TrainingImage": sagemaker.image_uri, "TrainingInputMode": "File", "MetricDefinitions": metrics}
    run(sagemaker, tmp_path, COUNT, AlgorithmSpecification=specification)
    sagemaker.wait_for(NAME)
    seen = client().describe_training_job(TrainingJobName=NAME)
    steps = [step["Status"] for step in seen["SecondaryStatusTransitions"]]
    assert steps == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert seen["ModelArtifacts"]["S3ModelArtifacts"].endswith(f"/output/{NAME}/output/model.tar.gz")
    assert archive(sagemaker, "model.tar.gz") == {"best.ckpt": b"weights"}
    assert seen["BillableTimeInSeconds"] == seen["TrainingTimeInSeconds"] >= 1
    (metric,) = seen["FinalMetricDataList"]
    assert (metric["MetricName"], round(metric["Value"], 6)) == ("val_iou", 0.3)
    assert sagemaker.bucket.get(f"checkpoints/{NAME}/epoch") == b"3"
    keys = sagemaker.bucket.keys()
    assert not [key for key in keys if "sagemaker-upload" in key]
    (stream,) = client("logs").describe_log_streams(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=f"{NAME}/"
    )["logStreams"]
    assert stream["logStreamName"].startswith(f"{NAME}/algo-1-")
    events = client("logs").get_log_events(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamName=stream["logStreamName"], startFromHead=True
    )["events"]
    assert [event["message"] for event in events] == sagemaker.log(NAME)
    assert sagemaker.log(NAME)[1] == "epoch=1 val_iou=0.1"


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (
            "(ml / 'output' / 'failure').write_text('no tiles in s3://x'); sys.exit(3)",
            "no tiles in s3://x, exit code: 3",
        ),
        ("sys.exit(1)", ", exit code: 1"),
        ("os.kill(os.getpid(), 9) or sys.exit(137)", ", exit code: 137"),
        ("(ml / 'output' / 'failure').write_text('x' * 2000); sys.exit(1)", "x" * (1024 - len("AlgorithmError: "))),
    ],
)
def test_a_failure_has_the_jobs_own_reason(sagemaker: SageMaker, tmp_path: Path, program: str, reason: str) -> None:
    run(sagemaker, tmp_path, START + program)
    job = sagemaker.wait_for(NAME)
    assert (job.status, job.failure_reason) == ("Failed", f"AlgorithmError: {reason}")


def test_a_stopped_job_may_end_by_itself(sagemaker: SageMaker, tmp_path: Path) -> None:
    run(sagemaker, tmp_path, COUNT)
    sagemaker.wait(lambda: any(line.startswith("epoch=3") for line in sagemaker.log(NAME)))
    client().stop_training_job(TrainingJobName=NAME)
    assert sagemaker.job(NAME).status == "Stopping"
    job = sagemaker.wait_for(NAME)
    assert (job.status, job.secondary, job.failure_reason) == ("Stopped", "Stopped", None)
    assert sagemaker.log(NAME)[-1] == "stopped"
    assert sagemaker.bucket.get(f"checkpoints/{NAME}/epoch") == b"3"


def object_or_empty(sagemaker: SageMaker, key: str) -> bytes:
    """An object that may not exist yet."""
    keys = sagemaker.bucket.keys()
    return sagemaker.bucket.get(key) if key in keys else b""


DEAF = START + "signal.signal(signal.SIGTERM, signal.SIG_IGN); os.fork(); print('deaf', flush=True); time.sleep(1000)"


def test_a_job_that_does_not_listen_is_killed_with_all_of_its_processes(sagemaker: SageMaker, tmp_path: Path) -> None:
    run(sagemaker, tmp_path, DEAF, grace_s=0.5)
    sagemaker.wait(lambda: "deaf" in sagemaker.log(NAME))
    client().stop_training_job(TrainingJobName=NAME)
    assert sagemaker.wait_for(NAME, seconds=20).status == "Stopped"
    assert not processes_of(tmp_path)


def processes_of(folder: Path) -> list[str]:
    """Command lines of processes that run a program of this folder."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(file.read_bytes().decode(errors="replace"))
        except OSError:
            continue
    return [line for line in lines if str(folder) in line]


def test_a_job_ends_at_its_time_limit(sagemaker: SageMaker, tmp_path: Path) -> None:
    run(sagemaker, tmp_path, COUNT, StoppingCondition={"MaxRuntimeInSeconds": 2})
    job = sagemaker.wait_for(NAME)
    assert (job.status, job.secondary) == ("Stopped", "MaxRuntimeExceeded")
    assert sagemaker.log(NAME)[-1] == "stopped"


@pytest.mark.parametrize("notice", [True, False])
def test_a_spot_job_resumes_from_its_checkpoints_on_a_fresh_machine(
    sagemaker: SageMaker, tmp_path: Path, notice: bool
) -> None:
    run(sagemaker, tmp_path, COUNT, **SPOT)
    sagemaker.wait(lambda: object_or_empty(sagemaker, f"checkpoints/{NAME}/epoch") == b"3")
    sagemaker.bucket.put(f"checkpoints/{NAME}/may-end")
    sagemaker.interrupt(NAME, notice=notice)
    job = sagemaker.wait_for(NAME)
    assert job.status == "Completed"
    steps = [step["Status"] for step in job.transitions]
    once = ["Starting", "Downloading", "Training"]
    assert steps == [*once, "Interrupted", *once, "Uploading", "Completed"]
    assert ("stopped" in sagemaker.log(NAME)) == notice
    assert sagemaker.log(NAME)[-1] == "begins at 3"
    record = job.describe()
    assert 1 <= record["BillableTimeInSeconds"] <= record["TrainingTimeInSeconds"]


def test_two_jobs_run_at_once_and_the_third_waits(sagemaker: SageMaker, tmp_path: Path) -> None:
    run(sagemaker, tmp_path, START + "print('on', flush=True); time.sleep(1000)", grace_s=0)
    for name in ("second", "third"):
        client().create_training_job(**request(sagemaker, name))
    sagemaker.wait(lambda: sum("on" in sagemaker.log(job.name) for job in sagemaker.jobs) == 2)
    (waiting,) = [job for job in sagemaker.jobs if job.secondary == "Starting"]
    client().stop_training_job(TrainingJobName=waiting.name)
    assert sagemaker.wait_for(waiting.name).status == "Stopped"


def test_nothing_is_left_when_a_test_ends_in_the_middle(sagemaker: SageMaker, tmp_path: Path) -> None:
    run(sagemaker, tmp_path, DEAF)
    sagemaker.wait(lambda: "deaf" in sagemaker.log(NAME))
    mounts = Path("/proc/self/mounts").read_text()
    assert "/opt/ml" not in mounts
    sagemaker.close()
    assert not processes_of(tmp_path)
    assert not os.listdir("/opt/ml")


def test_an_output_in_another_region_fails_only_at_the_end(sagemaker: SageMaker, tmp_path: Path) -> None:
    elsewhere = sagemaker.add_bucket("eu-west-1")
    run(sagemaker, tmp_path, START, OutputDataConfig={"S3OutputPath": f"s3://{elsewhere}/output"})
    job = sagemaker.wait_for(NAME)
    assert job.status == "Failed"
    assert "BucketRegionError: bucket must be in the same region as the job" in str(job.failure_reason)
