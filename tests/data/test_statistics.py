from pathlib import Path

import numpy as np
import pytest

from snowcover.data.classes import OneClass
from snowcover.data.manifest import Pair, manifest
from snowcover.data.reading import BrokenTile, PairReader, RawPair, WrongSize
from snowcover.data.scaling import Scaling
from snowcover.data.statistics import NothingToLearn, compute_statistics
from tests.making import config, sources


def test_moments_are_of_observed_training_pixels_and_shares_of_all_pixels(site: Path) -> None:
    data = config("data=tiles", sources(site)).data
    pairs, read = manifest(data).pairs, PairReader.of(data)
    sides = ["train"] * 20 + ["val"] * 6 + ["test"] * 6
    found = compute_statistics(pairs, sides, read, Scaling(1e-4, 0), 3)
    tiles = [read(pair) for pair in pairs]
    train = np.concatenate([t.image[:, (t.image != 0).any(axis=0)] for t in tiles[:20]], axis=1) * 1e-4
    np.testing.assert_allclose(found.mean, train.mean(axis=1), rtol=1e-9)
    np.testing.assert_allclose(found.std, train.std(axis=1), rtol=1e-9)
    masks = np.stack([t.mask for t in tiles[20:26]])
    assert found.splits["val"].snow_share == (masks == 1).sum() / (masks != 255).sum()
    assert found.splits["val"].nodata_share == (masks == 255).mean()
    assert [found.splits[side].tiles for side in ("train", "val", "test")] == [20, 6, 6]
    assert found.shape == (4, 64, 64)
    assert found.dtype == "uint16"


def fake(pair: Pair) -> RawPair:
    size = 4 if pair.x == 2 else 3
    return RawPair(np.full((2, size, size), 5, np.uint16), np.full((size, size), pair.y, np.uint8))


def pair(x: int, mask_value: int) -> Pair:
    return Pair("s", 15, x, mask_value, "c", "", f"{x}.tif", "", 0, 0)


def test_tiles_of_two_sizes_are_refused() -> None:
    with pytest.raises(WrongSize, match=r"2\.tif is 4 x 4 pixels of uint16, 0\.tif is 3 x 3"):
        compute_statistics([pair(0, 1), pair(2, 1)], ["train", "train"], fake, Scaling(1, 0), 1)


def test_a_band_with_one_value_is_refused() -> None:
    with pytest.raises(NothingToLearn, match="Band 1 has one value"):
        compute_statistics([pair(0, 1), pair(1, 1)], ["train", "train"], fake, Scaling(1, 0), 1)


def test_training_tiles_without_an_observed_pixel_are_refused() -> None:
    def unobserved(pair: Pair) -> RawPair:
        return RawPair(np.arange(18, dtype=np.uint16).reshape(2, 3, 3), np.full((3, 3), 255, np.uint8))

    with pytest.raises(OneClass, match="No pixel of the train tiles is observed in both"):
        compute_statistics([pair(0, 1), pair(1, 1)], ["train", "train"], unobserved, Scaling(1, 0), 1)


def test_the_first_bad_tile_ends_the_pass() -> None:
    read = []

    def broken(pair: Pair) -> RawPair:
        read.append(pair.x)
        raise BrokenTile(f"{pair.image} is empty")

    with pytest.raises(BrokenTile, match=r"0\.tif is empty"):
        compute_statistics([pair(x, 1) for x in range(100)], ["train"] * 100, broken, Scaling(1, 0), 1)
    assert len(read) < 100
