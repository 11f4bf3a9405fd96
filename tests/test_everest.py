"""Real imagery, from the folder and from S3."""

import csv
from pathlib import Path

import pytest

from snowcover import checkpoints
from snowcover.training.run import fit
from tests.making import QUICK, TINY_UNET, config
from tests.servers import Bucket

pytestmark = pytest.mark.training

RUN = ("data=tiles", "hw=cpu", "tracking.system_metrics=false", *TINY_UNET, *QUICK, "trainer.max_epochs=1",
       "trainer.batch_size=4", "optimizer.lr=1e-3")  # fmt: skip


def outcome(root: str, folder: Path) -> tuple[str, list[list[str]], list[dict[str, float]]]:
    """Digest, split and scores of one epoch."""
    sources = f'data.sources=[{{scenes: "{root}/images/*", collect: "{root}/masks/everest_weak"}}]'
    fit(config(*RUN, sources, f"tracking.uri=sqlite:///{folder.parent}/mlflow.db"), folder, [])
    about = checkpoints.load(str(folder / "checkpoints/best.ckpt"))["snowcover"]
    split = list(csv.reader((folder / "split.csv").read_text().splitlines()))
    scores = [{k: v for k, v in row.items() if k.startswith(("train_", "val_"))} for row in about["history"]]
    return about["manifest_digest"], split, scores


def test_the_folder_and_its_copy_in_s3_give_the_same_manifest_split_and_scores(
    shared_data: Path, s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiles = shared_data / "everest_tiles"
    for file in tiles.rglob("*.tif"):
        s3.put(f"everest/{file.relative_to(tiles)}", file.read_bytes())
    here = outcome(str(tiles), tmp_path / "folder")
    there = outcome(f"{s3.uri}/everest", tmp_path / "s3")
    assert here == there
    assert len(here[1]) == 36  # 35 pairs and the head
