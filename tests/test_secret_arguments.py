"""Secrets of a command line go into the environment, and mean the same from there."""

from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from snowcover.secret_arguments import hide_secrets, hide_secrets_of_config
from snowcover.secrets import masked


def meaning(override: str) -> list[Any]:
    """The values of an override, as Hydra hands each to its job."""
    parsed = OverridesParser.create().parse_override(override)
    given = list(parsed.sweep_string_iterator()) if parsed.is_sweep_override() else [parsed.get_value_element_as_str()]
    values = [OverridesParser.create().parse_override(f"k={one}").value() for one in given]
    return [OmegaConf.to_container(OmegaConf.create({"k": value}), resolve=True)["k"] for value in values]


@pytest.mark.parametrize(
    "override",
    [
        "tracking.uri=http://me:hunter2@mlflow.lab:5000/x",
        "tracking.uri='http://me:hun/ter2@mlflow.lab'",
        'tracking.uri="postgresql://h/db?user=me&password=hunter2"',
        r"tracking.uri='http://me:hunter\'2@h'",
        "tracking.uri=http://me:hunter2@h,http://you:hunter3@h",
        "tracking.uri='http://me:hunter2@h','http://you:hunter3@h'",
        "tracking.uri=choice('http://me:hunter2@h','sqlite:///m.db')",
        "aws.environment={DB_PASSWORD: hunter2, A: b}",
        "aws.environment={DB_PASSWORD: 'hunter 2', A: b}",
        '+data.sources=[{scenes: "s3://k:hunter2@b/x", collect: c}]',
        "model.token=hunter2,hunter3",
        r"model.api_key=hun\,ter2",
        "run_name=hf_hunter2hunter2hunter2hunter2",
    ],
)
def test_a_hidden_secret_means_what_it_meant(override: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment: dict[str, str] = {}
    (hidden,) = hide_secrets([override], environment)
    assert "ter2" not in hidden
    assert "hunter" not in hidden
    assert hide_secrets([hidden], environment) == [hidden]  # as the processes that it starts do again
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert meaning(hidden) == meaning(override)
    assert "SNOWCOVER_SECRET" not in masked(hidden)


def test_what_holds_no_secret_stays_as_it_was_typed() -> None:
    words = ["-m", "--config-dir=/x?token=1", "seed=1,2", "run_name=job_${hydra:job.num}", "tracking.uri=${oc.env:URI}"]
    assert hide_secrets(words, {}) == words


def test_a_config_that_came_from_files_names_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: {uri: 'http://u:hunter2@h', list: ['token=hunter3', 1]}\nmodel: {apiKey: hunter4, uri: '${a.uri}'}"
    config, before, environment = OmegaConf.create(text), OmegaConf.create(text), dict[str, str]()
    hide_secrets_of_config(config, environment)
    assert "hunter" not in OmegaConf.to_yaml(config)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert OmegaConf.to_container(config, resolve=True) == OmegaConf.to_container(before, resolve=True)
