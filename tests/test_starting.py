"""How a command begins: what it makes of its arguments, and that what it refuses leaves nothing behind."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from snowcover import train
from snowcover.prepare import __main__ as prepare
from tests.starting import everything_in, start

REFUSED = [
    (("experiment_name=../up",), r"^experiment_name='\.\./up': string should match pattern"),
    (("seed=-1",), r"^seed=-1: input should be greater"),
    (("trainer.max_epochs=true",), r"^trainer\.max_epochs: true is no number\.$"),
    (("data.std=[true,1,1,1]", "data.mean=[1,1,1,1]"), r"^data\.std: true is no number\.$"),
    (("+data.scal=1",), r"^data\.scal: the config has no such key \(did you mean scale\?\)\.$"),
    (("optimizer.lr=abc",), r"^optimizer\.lr='abc': input should be a valid number"),
    (("optimizer.lr=nan",), r"^optimizer\.lr=nan: this is no number\.$"),
    (("model=unet", "model.encoder_name=resnet9"), r"^model\.encoder_name=resnet9: no such encoder"),
    (("'run_name=\"a\tb\"'".strip("'"),), r"^run_name='a\\tb': string should match pattern"),
    (("checkpoint.dir=",), r"^checkpoint\.dir: the path is empty: give one, or null\.$"),
    (("data.generate.folder=",), r"^data\.generate: the path is empty"),
    (("checkpoint.dir=~nobody-of-that-name/x",), r"^checkpoint\.dir: there is no user nobody-of-that-name here"),
    ((r"checkpoint.dir=C:\tiles",), r"^checkpoint\.dir: this is a path of Windows"),
    (("checkpoint.dir=" + "x" * 300,), r"^checkpoint\.dir: a name in the path is longer than 255 bytes\.$"),
    (("hydra.run.dir=" + "x" * 300,), r"^hydra\.run\.dir=x+: a name in the path is longer than 255 bytes\.$"),
    (("hydra.run.dir=file.txt/run",), r"^These places cannot be written: hydra\.run\.dir=.*\(file\.txt is no folder\)"),
    (("hydra.run.dir=earlier",), r"^earlier holds another run: give this one a folder of its own"),
    (("-m", "experiment_name=../up", "seed=1,2"), r"^experiment_name='\.\./up': "),
    (("-m", "experiment_name=a,../up"), r"^Job 1 \(experiment_name=\.\./up\), so none was started: "),
    (("optimizer.lr=1e-3,abc", "-m"), r"^Job 1 \(optimizer\.lr=abc\), so none was started: optimizer\.lr='abc'"),
    (("hydra.sweep.subdir=same", "-m", "seed=1,2"), r"^Two jobs of this sweep would share the folder outputs/.*/same"),
    (("--experimental-rerun", "config.pickle"), r"^--experimental-rerun reads a pickle, and no run of ours leaves one"),
    (("--config-dir", "one", "seed=1", "--config-dir=two"), r"^--config-dir is given twice"),
    (("--config-dir", "three"), r"^--config-dir three: there is no such folder\.$"),
    (("--multi-run", "seed=1"), r"^Unrecognized arguments: --multi-run"),
    (("-m", "--cfg", "job"), r"^--multirun, --cfg do not go together: give one of them\.$"),
    (("--resolve",), r"^--resolve is for --cfg: add --cfg job\.$"),
    (("run_name=a=b",), r"^run_name=a=b: Hydra cannot read this override; put such a value in double quotes"),
    (("--config-dir", "one", "experiment=mine"),
     r"^experiment_name: YAML reads 2018_05 in .*one/experiment/mine\.yaml as 201805: put it in quotes there\.$"),
    (("--config-dir", "one", "experiment=yours"),
     r"^data\.split\.val_names\.1: YAML reads 12:30 in .*one/experiment/yours\.yaml as 750: put it in quotes there\.$"),
    (("--config-dir", "one", "tracking=tagged"),
     r"^tracking\.tags\.201805: YAML reads 2018_05 in .*one/tracking/tagged\.yaml as 201805: "),
]  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder as a user has it."""
    files = {
        "file.txt": "",
        "earlier/run.json": "{}",
        "two/x": "",
        "one/experiment/mine.yaml": "# @package _global_\nexperiment_name: 2018_05\n",
        "one/experiment/yours.yaml": "# @package _global_\ndata: {split: {val_names: [2018, 12:30]}}\n",
        "one/tracking/tagged.yaml": "uri: sqlite:///mlflow.db\nsystem_metrics: false\ntags: {2018_05: x}\n",
        "one/experiment/right.yaml": '# @package _global_\nexperiment_name: "2018_05"\nrun_name: 2018\nseed: 1_0\n',
    }
    for name, text in files.items():
        (tmp_path / "here" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "here" / name).write_text(text)
    return tmp_path / "here"


@pytest.mark.parametrize(("arguments", "text"), REFUSED, ids=[" ".join(arguments)[:40] for arguments, _ in REFUSED])
def test_what_is_refused_ends_in_one_message_and_leaves_nothing(
    place: Path, arguments: tuple[str, ...], text: str
) -> None:
    before = everything_in(place.parent)
    sentence = start(train.COMMAND, place, *arguments).error_message
    assert re.search(text, sentence), sentence
    assert everything_in(place.parent) == before


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("out=tiles",), "give exactly one of collect=FILE, scenes=FILES"),
        (("collect=a.tif", "out="), "out: the path is empty"),
        (("collect=a.tif", "out=tiles", "zoom=true"), "zoom: true is no number."),
        (("collect=a.tif", "out=file.txt/x"), "These places cannot be written: out=file.txt/x (file.txt is no folder)"),
        (("-m", "collect=a.tif", "out=m", "zoom=10,99"), "Job 1 (zoom=99), so none was started: zoom=99"),
        (("collect=a.tif", "out=m", "zoom=10,11", "-m", "hydra.sweep.subdir=x"), "would share the folder"),
    ],
)
def test_so_does_what_prepare_refuses(place: Path, arguments: tuple[str, ...], text: str) -> None:
    before = everything_in(place.parent)
    assert text in start(prepare.COMMAND, place, *arguments).error_message
    assert everything_in(place.parent) == before


def test_a_dry_run_leaves_nothing_either(place: Path) -> None:
    before = everything_in(place.parent)
    for arguments in (("run_name=1_0",), ("-m", "run_name=1_0,2_0")):
        done = start(train.COMMAND, place, "launch.dry_run=true", *arguments)
        assert done.status == 0, done.err
        assert "run_name: '1_0'" in done.out
    assert everything_in(place.parent) == before


def test_options_may_come_after_keys(place: Path) -> None:
    shown = start(train.COMMAND, place, "seed=3", "--config-dir", "one", "experiment=right", "--cfg", "job")
    assert shown.status == 0, shown.err
    lines = shown.out.splitlines()
    assert {"experiment_name: '2018_05'", "run_name: 2018", "seed: 3"} <= set(lines)
    swept = start(train.COMMAND, place, "launch.dry_run=true", "seed=1,2", "-m")
    assert [line for line in swept.out.splitlines() if line.startswith("seed: ")] == ["seed: 1", "seed: 2"]


def test_text_that_refers_to_text_is_what_was_typed(place: Path) -> None:
    shown = start(train.COMMAND, place, "experiment_name=2018_05", "--cfg", "all", "--resolve", "-p", "hydra.run.dir")
    assert shown.out.startswith("outputs/2018_05/")


def test_what_a_config_asks_of_hydra_is_known_while_it_is_checked(place: Path) -> None:
    done = start(
        train.COMMAND, place, "hydra.run.dir=there", "checkpoint.dir=${hydra:runtime.output_dir}/mine", "seed=-1"
    )
    assert done.error_message.startswith("seed=-1: ")


@pytest.mark.parametrize("flags", [["--help"], ["--info", "plugins"], ["--version"], ["--info"], ["-i", "defaults"]])
def test_questions_are_answered_without_leaving_anything(place: Path, flags: list[str]) -> None:
    before = everything_in(place.parent)
    command = [sys.executable, "-m", "snowcover.train", "seed=1", *flags]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert everything_in(place.parent) == before
