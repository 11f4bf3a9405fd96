"""What makes two runs and two jobs the same: a decision for every key, used by resume and by reuse alike."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from snowcover.config import Config
from snowcover.identity import RUN, TABLE, Change, changed_keys, decides, job_digest, run_digest
from snowcover_launch.config import JobConfig
from tests.making import config

SAME_JOB = (
    "hw.data_workers", "hw.max_hours", "hw.max_wait_hours", "hw.spot", "hw.volume_gb", "data.cache", "data.images",
    "data.masks", "tracking.uri", "tracking.system_metrics", "tracking.tags", "run_name", "checkpoint.keep_last",
    "checkpoint.dir", "trainer.forest",
)  # fmt: skip
SAME_RUN = (
    "hw.precision", "hw.devices", "hw.accelerator", "hw.instance_count", "hw.instance_type", "hw.image", "hw.backend",
    "trainer.max_epochs", "trainer.patience_epochs", "data.manifest", "checkpoint.resume",
)  # fmt: skip
OTHER_RUN = (
    "experiment_name", "seed", "model._target_", "model.of_its_own", "loss", "optimizer.lr", "scheduler", "data.bands",
    "data.layers", "data.sources", "data.generate", "data.scale", "data.offset", "data.nodata", "data.mean", "data.std",
    "data.split.block_tiles", "data.unmatched", "data.augment.brightness", "trainer.batch_size",
    "trainer.accumulate_batches", "trainer.gradient_clip_norm", "checkpoint.init_from",
)  # fmt: skip


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every key of a model that is no section itself."""
    for name, field in model.model_fields.items():
        kinds = [kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)]
        inner = next((kind for kind in kinds if issubclass(kind, BaseModel)), None)
        if inner is not None and field.annotation is inner:
            yield from keys(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


@pytest.fixture(scope="module")
def plain() -> dict[str, Any]:
    return config().model_dump()


def changed(of: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The same values but for one."""
    name, _, inner = key.partition(".")
    return {**of, name: changed(of[name], inner) if inner else "another"}


def job(of: Mapping[str, Any]) -> str:
    return job_digest(of, "image", None)


@pytest.mark.parametrize("key", keys(JobConfig))
def test_every_key_has_its_decision(key: str) -> None:
    assert decides(key) is not None, f"{key}: say in snowcover/identity.py what another value of it makes"


def test_sections_whose_keys_decide_different_things_are_decided_key_by_key() -> None:
    mixed = {"data", "trainer", "hw", "checkpoint"}
    assert mixed.isdisjoint(TABLE)  # else a new key there would be decided unseen


def test_every_decision_is_of_a_key_that_there_is() -> None:
    known = list(keys(JobConfig))
    for key in TABLE:
        assert any(name == key or name.startswith(f"{key}.") for name in known), key


@pytest.mark.parametrize("key", SAME_JOB)
def test_what_is_called_recorded_or_paid_for_otherwise_is_the_same_job(plain: dict[str, Any], key: str) -> None:
    assert job(changed(plain, key)) == job(plain)
    assert changed_keys(changed(plain, key), plain) == []


@pytest.mark.parametrize("key", SAME_RUN)
def test_a_run_may_be_resumed_where_or_for_as_long_as_it_did_not_before_and_is_another_job(
    plain: dict[str, Any], key: str
) -> None:
    assert run_digest(changed(plain, key)) == run_digest(plain)
    assert job(changed(plain, key)) != job(plain)


@pytest.mark.parametrize("key", OTHER_RUN)
def test_what_is_learned_otherwise_is_another_run_and_another_job(plain: dict[str, Any], key: str) -> None:
    assert run_digest(changed(plain, key)) != run_digest(plain)
    assert job(changed(plain, key)) != job(plain)
    assert key in {change.key for change in changed_keys(changed(plain, key), plain)}


def test_a_job_is_another_by_its_code_its_files_and_what_its_environment_says(plain: dict[str, Any]) -> None:
    text = [
        job_digest(plain, "image", None),
        job_digest(plain, "image of another commit", None),
        job_digest(plain, "image", "digest of the tiles"),
        job_digest({**plain, "aws": {"environment": {"MY_MODEL": "b"}}}, "image", None),
        job_digest({**plain, "aws": {"bucket": "other"}}, "image", None),
    ]
    assert len({*text}) == len(text)
    assert {len(digest) for digest in text} == {12}
    spent_otherwise = {"aws": {"tags": {"owner": "ana"}, "kms_key": "x"}, "launch": {"max_parallel": 3}}
    assert job_digest({**plain, **spent_otherwise}, "image", None) == text[0]


def test_equal_numbers_are_equal_however_written(plain: dict[str, Any]) -> None:
    one, other = ({**plain, "optimizer": {**plain["optimizer"], "lr": lr}} for lr in (1, 1.0))
    assert run_digest(one) == run_digest(other)
    assert changed_keys(one, other) == []


def test_a_change_says_what_was_and_what_is(plain: dict[str, Any]) -> None:
    assert changed_keys(changed(plain, "seed"), plain) == [Change("seed", 0, "another")]
    assert decides("hw.of_tomorrow") is None
    old = {**plain, "hw": {**plain["hw"], "of_yesterday": 1}}
    assert [change.key for change in changed_keys(plain, old)] == ["hw.of_yesterday"]  # what nobody knows may decide


def test_the_table_costs_nothing_to_look_at() -> None:
    heavy = "{'torch', 'omegaconf', 'hydra', 'pydantic', 'boto3'}"
    code = f"import sys, snowcover.identity; sys.exit(bool({heavy} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_component_is_decided_as_a_whole() -> None:
    assert decides("model.encoder.depth") is RUN
    assert {"model", "loss", "optimizer", "scheduler"} <= set(Config.model_fields) & set(TABLE)
