"""`python -m snowcover.staged` and its staged config."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from snowcover import __version__
from snowcover.config import Config
from snowcover.staged import OtherVersion, UnknownCommand, run, staged
from snowcover.validation import ConfigError
from tests.making import config

JOB = {"version": __version__, "command": "train", "name": "job-1", "result": None, "overrides": ["model=unet"]}


def write(folder: Path, **changes: object) -> Path:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config("model=unet").model_dump() | {"job": JOB} | changes))
    return path


def test_a_staged_file_is_the_config_that_was_composed(tmp_path: Path) -> None:
    read, job = staged(write(tmp_path))
    assert read == config("model=unet")
    assert job.model_dump() == JOB


def test_numbers_are_those_of_the_command_line(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text().replace("scale: 0.0001", "scale: 1e-4").replace("seed: 0", "seed: ${nowhere}"))
    with pytest.raises(ConfigError, match=r"^seed='\$\{nowhere\}'"):  # no other mistake, and nothing is resolved
        staged(path)


def test_another_version_is_refused_before_its_keys_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, job=JOB | {"version": "0.0.9"}, a_key_of_then=1)
    with pytest.raises(OtherVersion, match=r"config\.yaml was composed by snowcover 0\.0\.9 and this is .* rebuild"):
        staged(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"job": {"version": __version__}}, r"job\.name must be given"),
        ({"job": None}, r"job must be given"),
        ({"job": JOB | {"colour": "red"}}, r"job\.colour: the config has no such key"),
        ({"trainer": {"max_epochs": 1}}, r"trainer\.batch_size must be given"),
        ({"aws": {}}, r"aws: the config has no such key"),
    ],
)
def test_a_wrong_value_is_reported_with_its_key(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        staged(write(tmp_path, **changes))


LAST, BEST, GIVEN = "last.ckpt", "best.ckpt", "s3://bucket/last.ckpt"


@pytest.mark.parametrize(
    ("there", "given", "resumed"),
    [
        ([LAST, BEST], GIVEN, LAST),
        ([LAST, BEST], None, LAST),
        ([LAST], GIVEN, LAST),
        ([BEST], None, BEST),  # trained to its end: only to be exported
        ([BEST], GIVEN, GIVEN),  # copied by an aborted start from the given one
        ([], GIVEN, GIVEN),
        ([], None, None),
    ],
)
def test_a_job_resumes_from_its_own_checkpoint_else_from_the_given_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: list[str], given: str | None, resumed: str | None
) -> None:
    fitted: list[Config] = []
    monkeypatch.setattr("snowcover.train.fit", lambda config, *_, own_store: fitted.append(config))
    for name in there:
        (tmp_path / name).touch()
    run(write(tmp_path, checkpoint={"dir": None, "resume": given, "init_from": None}), tmp_path / "run", tmp_path)
    assert fitted[0].checkpoint.resume == (str(tmp_path / resumed) if resumed in there else resumed)


@pytest.mark.parametrize(("uri", "own"), [("sqlite:///mlflow.db", True), ("https://mlflow.example.org", False)])
def test_a_database_of_the_machine_is_the_jobs_own_and_a_server_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, own: bool
) -> None:
    own_stores: list[bool] = []
    monkeypatch.setattr("snowcover.train.fit", lambda *_, own_store: own_stores.append(own_store))
    tracking = config("model=unet", f"tracking.uri={uri}").model_dump()["tracking"]
    run(write(tmp_path, tracking=tracking), tmp_path / "run", tmp_path)
    assert own_stores == [own]


def test_a_command_that_no_job_runs_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(UnknownCommand, match=r"asks for the command trian \(did you mean train\?\), .* run as jobs \("):
        staged(write(tmp_path, job=JOB | {"command": "trian"}, a_key_of_that_command=1))


def start(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snowcover.staged", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)


def test_the_message_of_a_wrong_config_is_written_to_the_failure_file_once(tmp_path: Path) -> None:
    path = write(tmp_path, seed=-1)
    arguments = (str(path), str(tmp_path / "run"), str(tmp_path / "checkpoints"), str(tmp_path / "failure"))
    done = start(*arguments)
    assert done.returncode == 1
    message = (tmp_path / "failure").read_text()
    assert message.startswith("seed=-1: input should be greater than or equal to 0")
    assert done.stderr.strip() == message
    write(tmp_path, seed=-2)
    assert start(*arguments).returncode == 1
    assert (tmp_path / "failure").read_text() == message  # that of the first process to fail
    assert "usage: python -m snowcover.staged" in start("config.yaml").stderr


def test_reading_a_staged_file_loads_nothing_heavy(tmp_path: Path) -> None:
    heavy = "{'torch', 'lightning', 'mlflow', 'rasterio', 'boto3', 'botocore'}"
    reading = "import sys, pathlib, snowcover.staged as s; s.staged(pathlib.Path(sys.argv[1]))"
    program = f"{reading}; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program, write(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
