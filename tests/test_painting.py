"""Tiles painted with real spectra: what a network is tried on that has seen none of the pixels it is scored on."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from tests.making import config
from tests.painting import CLASSES, SHADOWED_SNOW, SNOW, Spectra, paint_site, spectra


@pytest.fixture
def divided(shared_data: Path) -> dict[str, Spectra]:
    return spectra(shared_data / "planetscope_pixels/PlanetScope_training_data.csv")


def test_no_row_of_the_table_is_on_two_sides(divided: dict[str, Spectra]) -> None:
    for kind, rows in zip(CLASSES, (4533, 406, 1504, 2911, 123), strict=True):
        assert sum(len(of[kind]) for of in divided.values()) == rows
    for kind in CLASSES:
        together = np.concatenate([divided[split][kind] for split in ("train", "val", "test")])
        once = np.unique(together, axis=0)
        assert len(once) > 0.95 * len(together)  # a few pixels of the table are alike


def test_each_pixel_is_a_row_of_its_split_and_the_mask_says_of_which_class(
    divided: dict[str, Spectra], tmp_path: Path
) -> None:
    given = paint_site(tmp_path, divided, {"train": 2, "val": 1, "test": 1}, size=64)
    for split, source, tiles in zip(("train", "val", "test"), given, (4, 1, 1), strict=True):
        snow, bare = (
            {tuple(row) for kind in kinds for row in np.clip(1e4 * divided[split][kind], 1, 65535).astype(np.uint16)}
            for kinds in ((SNOW, SHADOWED_SNOW), set(CLASSES) - {SNOW, SHADOWED_SNOW})
        )
        images = sorted(Path(source["scenes"]).rglob("*.tif"))
        assert len(images) == tiles
        for image in images:
            mask = Path(source["collect"]) / image.relative_to(source["scenes"])
            with rasterio.open(image) as file, rasterio.open(mask) as its:
                pixels, labels = file.read().reshape(4, -1).T, its.read(1).ravel()
            assert all(tuple(pixel) in (snow if label else bare) for pixel, label in zip(pixels, labels, strict=True))
    named = [f"{{scenes: {one['scenes']}, collect: {one['collect']}}}" for one in given]
    held = ("data.split.by=date", "data.split.val_names=['20210602']", "data.split.test_names=['20210603']")
    assert len(config("data=tiles", f"data.sources=[{','.join(named)}]", *held).data.sources) == 3
