"""Plants secrets wherever a user may have one, and searches everything a command writes, sends or prints."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from snowcover import jobs as jobs_command
from snowcover import train
from tests.aws import logs
from tests.browsing import mlflow_server
from tests.launcher.launching import Launching
from tests.making import TINY_UNET, sources
from tests.sagemaker import SageMaker
from tests.starting import start

pytestmark = pytest.mark.training

PASSWORD, TAG, PARAMETER, REASON, LINE, OTHER = (f"PLANT{number}x9f" for number in range(6))
SMALL = (
    "data=tiles", "hw=cpu", "tracking.system_metrics=false", *TINY_UNET,
    "trainer.batch_size=6", "trainer.max_epochs=1",
)  # fmt: skip


def plants_in(*texts: str | bytes) -> list[str]:
    """The planted secrets that are somewhere in the texts."""
    plain = [text if isinstance(text, bytes) else text.encode() for text in texts]
    return [p for p in (PASSWORD, TAG, PARAMETER, REASON, LINE, OTHER) if any(p.encode() in text for text in plain)]


def everything_in(folder: Path) -> list[bytes]:
    """The path and content of each file: also of databases, checkpoints and models."""
    return [str(path).encode() + b"\0" + path.read_bytes() for path in folder.rglob("*") if path.is_file()]


def test_training_with_a_password_in_the_store_address_saves_it_nowhere(site: Path, tmp_path: Path) -> None:
    here, store = tmp_path / "here", tmp_path / "store"
    here.mkdir()
    store.mkdir()
    with mlflow_server(store, "--artifacts-destination", "kept") as server:
        address = server.removeprefix("http://")

        def train_with(password: str) -> Any:
            return start(
                train.COMMAND, here, "-m", *SMALL, sources(site), "seed=0", "hydra.sweep.dir=sweep",
                f"tracking.uri='http://me:{password}@{address}'", f"tracking.tags={{api_token: {TAG}}}",
                f"run_name='reads http://u:{PARAMETER}@h'", "checkpoint.resume=auto",
            )  # fmt: skip

        first = train_with(PASSWORD)
        assert first.status == 0, first.out + first.err
        again = train_with(OTHER)  # it is the same run
    assert again.status == 0, again.out + again.err
    assert "Nothing to do: the run in" in again.out
    assert f"http://me:***@{address}" in first.out
    names = {path.name for path in tmp_path.rglob("*")}
    assert {"multirun.yaml", "run.json", "config.yaml", "best.ckpt", "mlflow.db", "train.log", "MLmodel"} <= names
    assert not plants_in(first.out, first.err, again.out, again.err, *everything_in(tmp_path))


def test_no_secret_is_sent_to_aws(launching: Launching, monkeypatch: pytest.MonkeyPatch) -> None:
    sagemaker = launching.sagemaker
    messages = [
        launching.error_message(*given, *("hw=g5", "hydra.sweep.dir=sweep"))
        for given in (
            ("-m", "seed=0,1", f"tracking.uri='postgresql://h/db?user=me&password={PASSWORD}'"),
            ("-m", "seed=0,1", f"tracking.uri=http://u:p/{PASSWORD}@h"),
            (f"aws.environment={{MY_PWD: {TAG}}}",),
            (f"aws.tags={{wiki: 'http://u:{TAG}@h'}}",),
            (f"data.cache='http://u:{PARAMETER}@h'",),
        )
    ]
    assert ["holds a password" in messages[0], "%2F for /" in messages[1]] == [True, True]
    assert all("looks like a secret" in one or "holds a secret" in one for one in messages[2:])
    assert not sagemaker.requests

    def fails(sagemaker: SageMaker, name: str, staged: Mapping[str, Any]) -> None:
        stream = logs.begin(sagemaker.account.id, sagemaker.region, name, sagemaker.job(name).created)
        logs.write(sagemaker.account.id, sagemaker.region, stream, f"\x1b]0;x\x07\x1b[31mtoken={LINE}\x1b[0m said")
        sagemaker.finish(name, status="Failed", failure_reason=f"AlgorithmError: http://u:{REASON}@h is\x1b[2J away")

    with launching.ending_jobs(fails):
        done = launching.train("-m", "hw=g5", "seed=0", "aws.tags={project: snow}")
    listed = launching("list", main=jobs_command.main)
    shown = launching("show", main=jobs_command.main)
    printed = launching("logs", main=jobs_command.main)
    assert "http://u:***@h is away" in done.err
    assert "http://u:***@h is away" in shown.out
    assert "token=*** said" in printed.out
    out = [text for one in (done, listed, shown, printed) for text in (one.out, one.err)]
    assert not any("\x1b" in text for text in out)
    log = next(launching.folder.glob("outputs/*/*/0/job.log"))
    assert f"\x1b[31mtoken={LINE}".encode() in log.read_bytes()  # as the job wrote it
    log.unlink()
    bucket = sagemaker.bucket
    sent = [json.dumps(sagemaker.requests, default=str), *bucket.keys(), *map(bucket.get, bucket.keys())]
    assert not plants_in(*messages, *out, *sent, *everything_in(launching.folder))
