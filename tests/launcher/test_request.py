"""What is sent for a job: names, digests, the request, and what AWS would refuse in it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import open_dict

from snowcover.config_root import conf_dir
from snowcover.errors import UserError
from snowcover.staged import staged
from snowcover_launch.backends import Backends
from snowcover_launch.backends.base import SweepContext
from snowcover_launch.backends.sagemaker import request
from snowcover_launch.backends.sagemaker.job_names import parse_name
from snowcover_launch.backends.sagemaker.limits import BeyondLimits, check_limits
from snowcover_launch.config import AwsConfig, JobConfig
from snowcover_launch.cost import read_prices
from snowcover_launch.job import Job
from snowcover_launch.plan import plan

ACCOUNT = {
    "aws.region": "us-west-2",
    "aws.role_arn": "arn:aws:iam::123456789012:role/snowcover-job",
    "aws.bucket": "snow-bucket",
    "aws.image_uri": "123456789012.dkr.ecr.us-west-2.amazonaws.com/snowcover:0.1.0-0a1b2c3-current",
}
NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")  # CreateTrainingJob's TrainingJobName


def job(*overrides: str, number: int = 0, swept: Sequence[str] = ()) -> Job:
    # dry_run: the network is not tried, which takes longer than all of these tests
    account = [f"{key}={value}" for key, value in ACCOUNT.items()]
    given = [*account, "hw=g5", "launch.dry_run=true", *overrides, *swept]
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        composed = hydra.compose("config", overrides=given, return_hydra_config=True)
    with open_dict(composed):
        composed.hydra.job.num = number
    backends = Backends(SweepContext("a1b2c3", Path("outputs"), read_prices(None)))
    (made,) = plan([composed], [list(swept)], backends.__getitem__)
    return made


@pytest.fixture(scope="module")
def plain() -> Job:
    return job()


def named(made: Job) -> Job:
    made.name, made.prefix = "snowcover-x", "s3://snow-bucket/snowcover/snowcover/snowcover-x"
    return made


@pytest.mark.slow
@settings(max_examples=200)
@given(
    experiment=st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z"),
    attempt=st.integers(1, 999),
)
def test_every_job_has_a_name_that_aws_accepts_and_that_contains_its_digest(
    plain: Job, experiment: str, attempt: int
) -> None:
    values = {**plain.planned_config.model_dump(), "experiment_name": experiment}
    config = JobConfig.model_validate(values)
    digest = request.config_digest(config)
    name = request.job_name(config, digest, attempt)
    assert NAME.fullmatch(name), name
    assert name.startswith("snowcover-")
    parts = parse_name(name)
    assert parts is not None
    assert (parts.digest, parts.attempt) == (digest, attempt)


@pytest.mark.slow
def test_the_digest_depends_on_what_is_learned_and_not_on_where_or_how_long() -> None:
    def digest(*overrides: str) -> str:
        return request.config_digest(job(*overrides).planned_config)

    same = digest()
    assert digest("hw.max_hours=3", "hw.spot=true", "run_name=mine", "tracking.tags={basin: x}") == same
    assert digest("aws.tags={owner: ana}", "launch.max_parallel=2", "checkpoint.keep_last=true") == same
    others = [
        digest(change)
        for change in ("optimizer.lr=1e-4", "seed=1", "hw=g4dn", "model=unet", "hw.precision=32-true",
                       "aws.image_uri=123456789012.dkr.ecr.us-west-2.amazonaws.com/snowcover:0.2.0-current")
    ]  # fmt: skip
    assert len({same, *others}) == 7


def test_the_request_contains_everything_from_the_config() -> None:
    made = job(
        "hw.spot=true", "hw.max_hours=2", "hw.instance_count=2", "hw.volume_gb=70", "aws.kms_key=alias/snow",
        "aws.subnets=[subnet-0a1b2c3d]", "aws.security_group_ids=[sg-0a1b2c3d]", "aws.tags={owner: ana}",
        "aws.environment={GDAL_CACHEMAX: '512'}", "experiment_name=tuolumne",
    )  # fmt: skip
    sent, name = request.training_job_request(made, {"sweep": "a1b2c3"}), made.name
    check_limits(sent)
    prefix = f"s3://snow-bucket/snowcover/tuolumne/{name}"
    (channel,) = sent["InputDataConfig"]
    assert channel["ChannelName"] == "config"
    assert channel["InputMode"] == "File"
    assert channel["DataSource"]["S3DataSource"]["S3Uri"] == f"{prefix}/config/"
    assert sent["OutputDataConfig"] == {"S3OutputPath": f"{prefix}/output", "KmsKeyId": "alias/snow"}
    assert sent["CheckpointConfig"] == {"S3Uri": f"{prefix}/checkpoints", "LocalPath": "/opt/ml/checkpoints"}
    assert sent["ResourceConfig"] == {
        "InstanceType": "ml.g5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 70,
    }  # fmt: skip
    assert sent["EnableInterContainerTrafficEncryption"] is True
    assert "RetryStrategy" not in sent
    assert sent["StoppingCondition"] == {"MaxRuntimeInSeconds": 7200, "MaxWaitTimeInSeconds": 14400}
    assert sent["EnableManagedSpotTraining"] is True
    assert sent["VpcConfig"] == {"Subnets": ["subnet-0a1b2c3d"], "SecurityGroupIds": ["sg-0a1b2c3d"]}
    assert sent["Environment"] == {"GDAL_CACHEMAX": "512"}
    assert {"Key": "owner", "Value": "ana"} in sent["Tags"]
    assert {"Key": "sweep", "Value": "a1b2c3"} in sent["Tags"]


def test_a_disk_key_is_sent_only_if_the_disk_accepts_one() -> None:
    for machine, takes_one in (("p2", True), ("cpu_m5", True), ("p3", True), ("g4dn", False), ("g5", False),
                               ("g6e", False), ("p4d", False), ("p5_4x", False)):  # fmt: skip
        made = job(f"hw={machine}", "aws.kms_key=alias/snow")
        sent = request.training_job_request(made, {})
        assert ("VolumeKmsKeyId" in sent["ResourceConfig"]) == takes_one, machine
        assert sent["OutputDataConfig"]["KmsKeyId"] == "alias/snow"


def test_the_request_contains_keep_alive_and_retries_of_the_config() -> None:
    made = job("hw.keep_alive_minutes=30", "hw.retries=3", "hw.fallback=[ml.g5.2xlarge]", "hw.max_silent_minutes=90")
    sent = request.training_job_request(made, {})
    check_limits(sent)
    assert sent["ResourceConfig"]["KeepAlivePeriodInSeconds"] == 1800
    assert sent["RetryStrategy"] == {"MaximumRetryAttempts": 3}
    assert sent["EnableInterContainerTrafficEncryption"] is False
    assert request.config_digest(made.config) == request.config_digest(job().config)  # decides nothing that is learned


def test_an_algorithm_replaces_the_image() -> None:
    arn = "arn:aws:sagemaker:us-west-2:123456789012:algorithm/snowcover-1"
    sent = request.training_job_request(job("aws.image_uri=null", f"aws.algorithm_arn={arn}"), {})
    assert sent["AlgorithmSpecification"] == {"AlgorithmName": arn, "TrainingInputMode": "File"}


def test_a_machine_gets_the_image_that_it_can_run() -> None:
    def image(*overrides: str) -> str | None:
        return request.image_uri(job(*overrides).planned_config)

    assert str(image("hw=p2")).endswith("/snowcover:0.1.0-0a1b2c3-kepler")
    assert str(image("hw=p3")).endswith("/snowcover:0.1.0-0a1b2c3-kepler")
    assert str(image()).endswith("/snowcover:0.1.0-0a1b2c3-current")
    own = "123456789012.dkr.ecr.us-west-2.amazonaws.com/mine:latest"
    assert image("hw=p2", f"aws.image_uri={own}") == own


def test_the_metric_patterns_read_the_line_of_an_epoch() -> None:
    from snowcover.epoch_line import format_epoch

    row = {"epoch": 4, "train_loss": 0.5, "train_iou": 0.25, "val_loss": 0.125, "val_iou": 0.75, "tiles_per_second": 9}
    line = format_epoch(row, 12)
    found = {entry["Name"]: re.search(entry["Regex"], line) for entry in request.metric_definitions()}
    assert {name: float(match.group(1)) for name, match in found.items() if match} == {**row, "epoch": 5}


def test_a_job_gets_the_resolved_config_alone_and_can_read_it(tmp_path: Any) -> None:
    made = job("optimizer.lr=1e-3", "scheduler=cosine", "tracking.tags={basin: Tuolumne}")
    text = request.staged_config(named(made), {"sweep": "a1b2c3"})
    values = yaml.safe_load(text)
    assert not {"hydra", "aws", "launch"} & set(values)
    assert "${" not in text
    assert values["tracking"] == {
        "uri": "sqlite:///mlflow.db", "system_metrics": True, "export_model": True,
        "tags": {"basin": "Tuolumne", "sweep": "a1b2c3"},
    }  # fmt: skip
    (tmp_path / "config.yaml").write_text(text)
    config, about = staged(tmp_path / "config.yaml")
    assert config.scheduler["T_max"] == 60
    assert config.optimizer["lr"] == 1e-3
    assert about.name == "snowcover-x"
    assert about.result == "s3://snow-bucket/snowcover/snowcover/snowcover-x/result.json"
    assert "optimizer.lr=1e-3" in about.overrides


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "aws.role_arn=arn:aws:iam::12:role/x",
            r"aws\.role_arn \(RoleArn\)='arn:aws:iam::12:role/x' does not match",
        ),
        ("hw.instance_type=ml.g99.xlarge", r"hw\.instance_type .*'ml\.g99\.xlarge' is not one of the allowed values"),
        ("aws.tags={a: 'x#y'}", r"aws\.tags .*'x#y' does not match"),
        (f"aws.tags={{{'k' * 129}: x}}", r"aws\.tags .* has 129 characters, at most 128 are allowed"),
        ("aws.subnets=[subnet-1]", r"aws\.security_group_ids .* has 0 entries, at least 1 are needed"),
        (f"aws.environment={{A: {'x' * 513}}}", r"aws\.environment .* has 513 characters, at most 512 are allowed"),
    ],
)
def test_what_aws_would_refuse_is_refused_before_it_is_sent(override: str, message: str) -> None:
    with pytest.raises(BeyondLimits, match=message):
        job(override)


@pytest.mark.parametrize("machine", ["p2", "p2_8x", "p3", "p3_8x", "g4dn", "g4dn_12x", "g5", "g5_12x", "g6", "g6_12x",
                                     "g6e", "g6e_12x", "g6e_48x", "p4d", "p5", "p5_4x", "p5en", "cpu_m5"])  # fmt: skip
def test_every_machine_gives_a_request_that_aws_accepts(machine: str) -> None:
    check_limits(request.training_job_request(job(f"hw={machine}"), {}))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data=tiles", "data.sources=[{scenes: imagery/x, collect: s3://b/c}]"], r"data\.sources names imagery/x"),
        (["data=tiles", "data.manifest=/home/ana/manifest.csv"], r"data\.manifest names /home/ana/manifest\.csv"),
        (["data.layers={slope: tiles/dem}"], r"data\.layers\.slope names tiles/dem, which is on this machine"),
        (["checkpoint.init_from=best.ckpt"], r"checkpoint\.init_from names best\.ckpt, which is on this machine"),
        (["model=unet", "model.encoder_weights=s2.pth"], r"model\.encoder_weights names s2\.pth, which is on this"),
        (["checkpoint.resume=auto"], r"checkpoint\.resume=auto searches this machine"),
        (["checkpoint.dir=here"], r"checkpoint\.dir is for this machine"),
        (["tracking=server", "tracking.uri=http://localhost:5000"], r"localhost:5000 is on this machine"),
        (["tracking=server", "tracking.uri=http://u:pw@mlflow.lab"], r"tracking\.uri holds a password"),
        (["aws.algorithm_arn=arn:aws:sagemaker:us-west-2:123456789012:algorithm/a"], r"are both given"),
        (["aws.role_arn=null", "aws.bucket=null", "aws.image_uri=null"],
         r"aws\.role_arn \(set SNOWCOVER_ROLE_ARN.*aws\.bucket \(set SNOWCOVER_BUCKET.*aws\.image_uri \(set SNOWC"),
        (["tracking=server", "tracking.uri='postgresql://h/db?password=pw@'"], r"tracking\.uri holds a password"),
        (["tracking=server", "tracking.uri=http://u:p/pw@mlflow.lab"], r"tracking\.uri: the password in this address"),
        (["aws.environment={DB_PASSWORD: x}"], r"DB_PASSWORD looks like a secret"),
        (["aws.environment={MY_PWD: pw@}"], r"MY_PWD looks like a secret"),
        (["aws.environment={DATABASE_URL: 'postgres://u:pw@h/db'}"], r"DATABASE_URL looks like a secret"),
        (["aws.tags={wiki: 'http://u:pw@h'}"], r"aws\.tags: wiki looks like a secret"),
        (["data.cache='http://u:pw@h'"], r"data\.cache holds a secret, which everybody"),
        (["+aws.rol=x"], r"aws\.rol: the config has no such key \(did you mean"),
        (["hw.max_wait_hours=3"], r"max_wait_hours is for spot=true"),
    ],
)  # fmt: skip
def test_a_job_that_could_not_run_is_refused_with_the_way_out(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        job(*overrides)
    assert "pw@" not in str(raised.value)


def test_a_job_contains_no_home_folder_and_has_the_same_digest_from_any(monkeypatch: pytest.MonkeyPatch) -> None:
    digests, texts = set(), set()
    for home in ("/home/ana", "/home/bea"):
        monkeypatch.setenv("HOME", home)
        made = job("data.generate.folder='~/demo'", "data.cache='~/cache'")
        assert made.planned_config.data.generate["folder"] == f"{home}/demo"
        digests.add(request.config_digest(made.planned_config))
        texts.add(request.staged_config(named(made), {}))
    assert len(digests) == len(texts) == 1
    values = yaml.safe_load(texts.pop())
    assert values["data"]["cache"] == "~/cache"
    assert values["data"]["sources"][0]["scenes"] == "~/demo/scenes/*"


def test_a_users_own_tags_are_kept_next_to_ours() -> None:
    made = job("aws.tags={project: snow, sweep: mine, experiment: e}", "experiment_name=tuolumne")
    sent = request.training_job_request(made, request.aws_tags(made, "0a1b2c", "sha"))
    assert {tag["Key"]: tag["Value"] for tag in sent["Tags"]} == {
        "project": "snow", "sweep": "mine", "experiment": "e",
        "snowcover:experiment": "tuolumne", "snowcover:sweep": "0a1b2c", "snowcover:git-commit": "sha",
    }  # fmt: skip
    check_limits(sent)
    plain = request.training_job_request(job(), {})["Tags"]
    assert plain == [{"Key": "project", "Value": "snowcover"}]  # which the account's launch policy wants
    with pytest.raises(ValueError, match="tags that begin with snowcover: are reserved"):
        AwsConfig.model_validate(made.config.aws.model_dump() | {"tags": {"snowcover:sweep": "mine"}})


def test_a_local_path_is_refused_for_a_job_however_it_is_written() -> None:
    for place in ("~/tiles", "tiles", "/data/tiles"):
        with pytest.raises(UserError, match=r"data\.sources names .*tiles/a, which is on this machine"):
            job("data=tiles", f"data.sources=[{{scenes: '{place}/a', collect: '{place}/m'}}]")
