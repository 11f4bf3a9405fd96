"""Old training configs, with each of their keys, as experiments that compose."""

from pathlib import Path

import hydra
import pytest
import yaml
from omegaconf import open_dict

from snowcover.config import Config
from snowcover.config_root import conf_dir
from snowcover.convert.__main__ import ExperimentExists, convert, main
from snowcover.convert.experiment import MISSING, NotAnOldConfig
from snowcover.validation import check

PUBLISHED = r"""
[dataset]
aws_profile = "esip"
image_bucket = "planet-snowcover-imagery"
imagery_directory_regex = '20180528_.*_tiled$'
mask_bucket = "planet-snowcover-snow/masks"
mask_directory_regex = 'ASO_3M_SD_USCATE_20180528_tiles_02$'
train_percent = 0.7

[[classes]]
title = "snow"
color = "orange"

[[channels]]
type = "file"
sub = "images"
bands = [1, 2, 3, 4]
mean = [0.485, 0.456, 0.406, 0.4]
std = [0.229, 0.224, 0.225, 0.2]

[checkpoint]
path = "s3://planet-snowcover-models/checkpoint-00050-of-00050.pth"

[model]
name = "albunet"
encoder = "resnet50"
pretrained = true
loss = "lovasz"
batch_size = 7
tile_size = 512
epochs = 50
lr = 0.000025
data_augmentation = 0.75
decay = 0.0
"""


def converted(text: str, folder: Path, name: str = "step2") -> tuple[dict, list[str]]:
    old = folder / f"{name}.toml"
    old.write_text(text)
    path, made = convert(old, folder / "experiment")
    return yaml.safe_load(path.read_text()), made.notes


def composed(folder: Path, name: str, *overrides: str) -> Config:
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        found = hydra.compose(
            "config", overrides=[f"hydra.searchpath=[file://{folder}]", f"experiment={name}", *overrides]
        )
    with open_dict(found):
        for of_the_launcher in ("aws", "launch"):
            found.pop(of_the_launcher)
    return check(Config, found)


def test_the_published_config_is_converted_with_its_meaning(tmp_path: Path) -> None:
    _, notes = converted(PUBLISHED, tmp_path)
    made = composed(tmp_path, "step2")
    (source,) = made.data.sources
    assert source.scenes == "s3://planet-snowcover-imagery/20180528_*_tiled"
    assert source.collect == "s3://planet-snowcover-snow/masks/ASO_3M_SD_USCATE_20180528_tiles_02"
    assert (made.data.split.train, made.data.split.val, made.data.split.test) == (0.7, 0.15, 0.15)
    assert made.data.bands == ["blue", "green", "red", "nir"]
    assert made.data.mean is None
    assert made.data.augment.flips_and_rotations
    assert made.data.augment.brightness == 0
    assert made.scheduler == {}
    assert made.model["_target_"].endswith("TernausV2")
    assert (made.model["encoder_name"], made.model["encoder_weights"]) == ("resnet50", "imagenet")
    assert made.loss["_target_"].endswith("LovaszHinge")
    assert made.optimizer == {"_target_": "torch.optim.Adam", "lr": 2.5e-5, "weight_decay": 0.0}
    assert (made.trainer.batch_size, made.trainer.max_epochs) == (7, 50)
    assert made.checkpoint.init_from == "s3://planet-snowcover-models/checkpoint-00050-of-00050.pth"
    assert made.experiment_name == "step2"
    text = "\n".join(notes)
    for key in ("dataset.aws_profile=esip", "dataset.train_percent=0.7", "classes.color", "channels.mean",
                "channels.sub", "model.tile_size=512", "model.data_augmentation=0.75", "checkpoint.path="):  # fmt: skip
        assert key in text
    assert "# - dataset.aws_profile=esip" in (tmp_path / "experiment/step2.yaml").read_text()


def test_what_has_no_counterpart_is_noted_and_never_guessed(tmp_path: Path) -> None:
    made, notes = converted(
        PUBLISHED.replace("ASO_3M_SD_USCATE_20180528_tiles_02$", "ASO_.*")
        .replace("20180528_.*_tiled$", "(20180528|20180601)_.*")
        .replace('"lovasz"', '"hausdorff"').replace('"albunet"', '"segnet"').replace("[1, 2, 3, 4]", "[1, 2, 9]")
        .replace('title = "snow"', 'title = "cloud"').replace("decay = 0.0", "decay = 0.0\nmomentum = 0.9")
        + '\n[weather]\nsun = "bright"\n',
        tmp_path, "odd",
    )  # fmt: skip
    assert made["data"]["sources"] == MISSING
    assert "bands" not in made["data"]
    assert {"override /model", "override /loss"}.isdisjoint(key for choice in made["defaults"] for key in choice)
    text = "\n".join(notes)
    for note in (
        "dataset.imagery_directory_regex=(20180528|20180601)_.* cannot be written as a pattern here",
        "dataset.mask_directory_regex=ASO_.* matches several folders",
        "model.loss=hausdorff has no counterpart", "model.name=segnet has no counterpart",
        "channels.bands=[1, 2, 9]", "classes cloud", "model.momentum: unknown key", "weather: unknown key",
    ):  # fmt: skip
        assert note in text
    with pytest.raises(Exception, match=r"data\.sources"):
        composed(tmp_path, "odd")


def test_a_local_folder_is_noted_for_the_user_to_place(tmp_path: Path) -> None:
    made, notes = converted('[dataset]\npath = "/data/tiles"\n[model]\npretrained = false\n', tmp_path, "local")
    assert made["data"]["sources"] == MISSING
    assert made["model"]["encoder_weights"] is None
    assert notes == ["dataset.path=/data/tiles: give the folders of scenes and masks in data.sources."]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[model]\n", r"has no tables \[dataset\] and \[model\]"),
        ("not toml at all", r"cannot be read as TOML"),
        ("model = 3\n[dataset]\n", r"model is not a table: write it as \[model\]"),
        ("[model]\n[dataset]\n[channels]\nbands = [1]\n", r"channels is not a table: write it as \[\[channels\]\]"),
        ('[model]\n[dataset]\ntrain_percent = "most"\n', r"a value of dataset is of the wrong type"),
        ('[dataset]\n[model]\npretrained = "false"\n', r"'false' is neither true nor false"),
        ("[dataset]\n[model]\nepochs = 7.5\n", r"7\.5 is not a whole number"),
    ],
)
def test_another_file_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(NotAnOldConfig, match=message):
        converted(text, tmp_path)
    assert not (tmp_path / "experiment").exists()


def test_converting_twice_is_the_same_as_once_and_a_changed_experiment_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.toml").write_text(PUBLISHED)
    for _ in range(2):
        main(["old.toml"])
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == "Train with it: python -m snowcover.train --config-dir . experiment=old"
    (tmp_path / "experiment/old.yaml").write_text("mine: 1\n")
    with pytest.raises(ExperimentExists, match=r"^experiment/old\.yaml exists with other content"):
        convert(tmp_path / "old.toml", Path("experiment"))
    with pytest.raises(SystemExit):
        main(["old.toml"])
