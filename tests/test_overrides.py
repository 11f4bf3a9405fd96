"""Text that a user types stays as it was typed, and numbers stay numbers."""

from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from snowcover.overrides import ChangedKey, as_typed, texts_quoted
from snowcover_launch.config import JobConfig


def quoted(override: str) -> str:
    (one,) = texts_quoted([override], lambda: JobConfig)
    return one


def as_hydra_reads(override: str) -> Any:
    return OverridesParser.create().parse_override(quoted(override)).value()


@pytest.mark.parametrize(
    "text",
    ["20180528_181110", "2018_05", "1e3", "1.10", "007", "0x10", "true", "False", "nan", "inf", "+5", "1.", "-0"],
)
@pytest.mark.parametrize(
    "key", ["run_name", "experiment_name", "+tracking.tags.date", "hydra.run.dir", "launch.prices"]
)
def test_text_is_what_was_typed(key: str, text: str) -> None:
    assert as_hydra_reads(f"{key}={text}") == text


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("run_name=2018", 2018),  # reads as it is written
        ("run_name=null", None),
        ("run_name='2018_05'", "2018_05"),
        ("optimizer.lr=1e-3", 1e-3),
        ("trainer.max_epochs=1_0", 10),
        ("hw.devices=1_0", 10),
        ("data.mean=[1e-3,2_0]", [1e-3, 20]),
        ("seed=1_0", 10),
        ("data.split.val_names=[20180423_1, 20180423]", ["20180423_1", 20180423]),
        ("tracking.tags={date: 2018_05, note: a b}", {"date": "2018_05", "note": "a b"}),
        ("aws.tags={project: 1e5}", {"project": "1e5"}),
        ("aws.subnets=[1_0]", ["1_0"]),
        ("data.sources=[{scenes: 2018_05, collect: 2018_06, date: 2018_0528}]",
         [{"scenes": "2018_05", "collect": "2018_06", "date": "2018_0528"}]),
        ("data.sources=[{scenes: [2018_05], collect: m}]", [{"scenes": ["2018_05"], "collect": "m"}]),
        ("data.generate.folder=20180528_181110", "20180528_181110"),
        ("data=2018_05", "2018_05"),  # a file of the group
        ("hydra.job.env_set={A: 1_0}", {"A": "1_0"}),
        ("hydra.sweeper.study_name=2018_05", "2018_05"),
        ("checkpoint.dir=~/x", "~/x"),  # Hydra takes no ~ without quotes
        ("run_name=str(1_0)", "1_0"),
    ],
)  # fmt: skip
def test_what_the_schema_calls_text_is_text_and_the_rest_is_not(override: str, read: Any) -> None:
    assert as_hydra_reads(override) == read


@pytest.mark.parametrize(
    "override",
    ["run_name=2018_1,2018_2", "run_name=choice(2018_1,2018_2)", "run_name=sort(2018_2,2018_1,reverse=false)"],
)
def test_the_choices_of_a_sweep_are_text_too(override: str) -> None:
    parsed = OverridesParser.create().parse_override(quoted(override))
    jobs = [OverridesParser.create().parse_override(f"run_name={one}") for one in parsed.sweep_string_iterator()]
    assert [job.value() for job in jobs] == ["2018_1", "2018_2"]


def test_a_range_stays_a_range() -> None:
    assert quoted("run_name=range(1,3)") == "run_name=range(1,3)"


@pytest.mark.parametrize("override", ["run_name=a=1", "data.sources=[{scenes: 1_0", "run name=1_0", "-m", "--cfg"])
def test_what_hydra_cannot_read_is_left_to_it(override: str) -> None:
    assert quoted(override) == override


def test_a_name_that_hydra_would_change_is_refused_with_the_way_out() -> None:
    with pytest.raises(
        ChangedKey, match=r"^tracking\.tags: Hydra reads the name 2018_05 as a number.*\+tracking\.tags\.20"
    ):
        quoted("tracking.tags={2018_05: snow}")
    assert as_hydra_reads("tracking.tags={2018: snow}") == {2018: "snow"}
    assert quoted("+tracking.tags.2018_05=snow") == "+tracking.tags.2018_05=snow"


def test_what_is_shown_is_what_was_typed() -> None:
    for typed in ("run_name=2018_05", "optimizer.lr=1e-3", "data.split.val_names=[a]", "~run_name", "run_name='a b'"):
        assert as_typed(quoted(typed)) == typed
