"""A split of one class is refused before training, and so are masks that are coded otherwise."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from snowcover.data.classes import OneClass, OtherCoding
from snowcover.data.dataset import load_dataset
from snowcover.data.mask import WrongMask
from snowcover.data.tiles import Tile
from snowcover.errors import UserError
from tests.making import config, sources, write_site, write_tile


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_site(tmp_path, scenes=("20180528_a",), size=32)


def recode(root: Path, codes: dict[int, int], nodata: float | None, columns: range = range(5500, 5600)) -> None:
    for file in sorted((root / "masks").rglob("*.tif")):
        tile = Tile(*map(int, (file.parent.parent.name, file.parent.name, file.stem)))
        if tile.x not in columns:
            continue
        with rasterio.open(file) as source:
            stored = source.read()
        recoded = stored.copy()
        for code, other in codes.items():
            recoded[stored == code] = other
        write_tile(root / "masks/ASO_20180528", tile, recoded, nodata=nodata)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("codes", "nodata", "error", "message"),
    [({1: 255, 255: 0}, None, OtherCoding, "hold 255 and never 1, .*if it is snow, make it 1"),
     ({1: 255}, 255, OneClass, "The train split .* is 0.0% snow, .*masks that mean snow by 255"),
     ({255: 0}, 0, WrongMask, "says that 0 is nodata, which in a mask means no snow"),
     ({1: 0}, 255, OneClass, "The train split .* is 0.0% snow, .*depth threshold in other units"),
     ({0: 1}, 255, OneClass, "The train split .* is 100.0% snow, .*masks that lost their 0"),
     ({0: 255, 1: 255}, 255, OneClass, "No pixel of the train tiles is observed in both image and mask")],
)  # fmt: skip
def test_masks_that_say_one_thing_only_are_refused_with_the_likely_cause(
    small: Path, codes: dict[int, int], nodata: float | None, error: type[UserError], message: str
) -> None:
    load_dataset(config("data=tiles", sources(small)))
    recode(small, codes, nodata)
    with pytest.raises(error, match=message):
        load_dataset(config("data=tiles", sources(small)))


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_split_of_one_class_is_named_though_the_others_have_both(small: Path, split: str) -> None:
    tiles = load_dataset(config("data=tiles", sources(small)))
    for pair in tiles.of(split):
        write_tile(small / "masks/ASO_20180528", pair.tile, np.ones((1, 32, 32), np.uint8), nodata=255)
    with pytest.raises(OneClass, match=rf"The {split} split \(\d+ tiles?\) is 100\.0% snow"):
        load_dataset(config("data=tiles", sources(small)))


def test_one_collect_of_two_that_is_coded_otherwise_is_named(small: Path, tmp_path: Path) -> None:
    other = write_site(tmp_path / "other", scenes=("20190528_a",), size=32)
    recode(other, {1: 255, 255: 0}, None)
    (other / "masks/ASO_20180528").rename(other / "masks/ASO_20190528")
    both = (
        f'data.sources=[{{scenes: "{small}/scenes/*", collect: "{small}/masks/ASO_20180528"}}, '
        f'{{scenes: "{other}/scenes/*", collect: "{other}/masks/ASO_20190528"}}]'
    )
    with pytest.raises(OtherCoding, match="The masks of collect ASO_20190528 hold 255 and never 1"):
        load_dataset(config("data=tiles", both))


def test_a_mask_of_floats_with_nan_is_a_mask(small: Path) -> None:
    before = load_dataset(config("data=tiles", sources(small))).statistics.splits["train"].snow_share
    for file in sorted((small / "masks").rglob("*.tif")):
        tile = Tile(*map(int, (file.parent.parent.name, file.parent.name, file.stem)))
        with rasterio.open(file) as source:
            stored = source.read().astype(np.float32)
        stored[stored == 255] = np.nan
        write_tile(small / "masks/ASO_20180528", tile, stored, nodata=None)
    assert load_dataset(config("data=tiles", sources(small))).statistics.splits["train"].snow_share == before
