"""`python -m snowcover.staged` and the file that it is given."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from snowcover import __version__
from snowcover.checking import ConfigError
from snowcover.config import Config
from snowcover.staged import OtherVersion, staged, train
from tests.making import config

JOB = {"version": __version__, "name": "job-1", "result": None, "overrides": ["model=unet"]}


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
    ("changes", "told"),
    [
        ({"job": {"version": __version__}}, r"job\.name must be given"),
        ({"job": None}, r"job must be given"),
        ({"job": JOB | {"colour": "red"}}, r"job\.colour: the config has no such key"),
        ({"trainer": {"max_epochs": 1}}, r"trainer\.batch_size must be given"),
        ({"aws": {}}, r"aws: the config has no such key"),
    ],
)
def test_what_is_wrong_with_it_is_told_by_its_key(tmp_path: Path, changes: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        staged(write(tmp_path, **changes))


@pytest.mark.parametrize(
    ("there", "resumed"),
    [(["last.ckpt", "best.ckpt"], "last.ckpt"), (["best.ckpt"], "best.ckpt"), ([], None)],
)
def test_a_job_started_again_goes_on_also_where_only_its_best_checkpoint_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: list[str], resumed: str | None
) -> None:
    given: list[Config] = []
    monkeypatch.setattr("snowcover.train.fit", lambda config, *_: given.append(config))
    for name in there:
        (tmp_path / name).touch()
    users = {"dir": None, "resume": "s3://bucket/last.ckpt", "init_from": None}
    train(write(tmp_path, checkpoint=users), tmp_path / "run", tmp_path)
    assert given[0].checkpoint.resume == (str(tmp_path / resumed) if resumed else users["resume"])


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snowcover.staged", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)


def test_the_sentence_of_a_wrong_config_goes_where_it_was_asked_for_and_stays(tmp_path: Path) -> None:
    path = write(tmp_path, seed=-1)
    arguments = (str(path), str(tmp_path / "run"), str(tmp_path / "checkpoints"), str(tmp_path / "sentence"))
    done = run(*arguments)
    assert done.returncode == 1
    told = (tmp_path / "sentence").read_text()
    assert told.startswith("seed=-1: input should be greater than or equal to 0")
    assert done.stderr.strip() == told
    write(tmp_path, seed=-2)
    assert run(*arguments).returncode == 1
    assert (tmp_path / "sentence").read_text() == told  # that of the first process to fail
    assert "usage: python -m snowcover.staged" in run("config.yaml").stderr


def test_reading_a_staged_file_loads_nothing_heavy(tmp_path: Path) -> None:
    heavy = "{'torch', 'lightning', 'mlflow', 'rasterio', 'boto3', 'botocore'}"
    reading = "import sys, pathlib, snowcover.staged as s; s.staged(pathlib.Path(sys.argv[1]))"
    program = f"{reading}; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program, write(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
