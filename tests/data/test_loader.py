from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snowcover.compat import raw_tensor
from snowcover.data.config import Augment
from snowcover.data.loader import Batch, TileLoader
from snowcover.data.manifest import Pair, manifest
from snowcover.data.reading import PairReader, RawPair
from snowcover.data.transforms import augmentation, augmented
from snowcover.errors import UserError
from tests.making import config, sources


def numbered(count: int) -> list[Pair]:
    return [Pair("s", 15, index, 0, "c", "", "", "", 0, 0) for index in range(count)]


def read(pair: Pair) -> RawPair:
    return RawPair(np.full((1, 2, 2), pair.x, np.uint16), np.ones((2, 2), np.uint8))


def seen(loader: TileLoader) -> list[int]:
    return [int(image[0, 0, 0]) for batch in loader for image in batch.image]


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 3), st.integers(0, 5))
def test_every_pair_comes_once_in_batches_of_equal_size(count: int, batch: int, workers: int, seed: int) -> None:
    loader = TileLoader(numbered(count), read, batch, workers, shuffle_seed=seed)
    sizes = [len(batch.image) for batch in loader]
    assert sorted(seen(loader)) == list(range(count))
    assert len(loader) == len(sizes)
    assert max(sizes) <= batch + 1
    assert min(sizes) > 1 or batch == 1 or count == 1
    assert max(sizes) - min(sizes) <= 1


def test_the_order_follows_the_seed_and_not_the_number_of_workers() -> None:
    orders = [seen(TileLoader(numbered(30), read, 4, workers, shuffle_seed=5)) for workers in (1, 4)]
    assert orders[0] == orders[1] != list(range(30))
    assert seen(TileLoader(numbered(30), read, 4, 2, shuffle_seed=6)) != orders[0]
    assert seen(TileLoader(numbered(30), read, 4, 2)) == list(range(30))


@given(st.integers(1, 30), st.integers(2, 4))
def test_several_processes_share_the_pairs_and_score_each_once(count: int, world: int) -> None:
    loaders = [TileLoader(numbered(count), read, 3, 1, rank=rank, world_size=world) for rank in range(world)]
    assert len({len(loader) for loader in loaders}) == 1
    scored = Counter(
        int(image[0, 0, 0])
        for loader in loaders
        for batch in loader
        for image, mask in zip(batch.image, batch.mask, strict=True)
        if (mask != 255).any()
    )
    assert scored == Counter(range(count))


def test_a_bad_tile_ends_the_epoch_with_its_message() -> None:
    def fail(pair: Pair) -> RawPair:
        if pair.x == 7:
            raise UserError("tile 7 is broken")
        return read(pair)

    with pytest.raises(UserError, match="tile 7 is broken"):
        list(TileLoader(numbered(20), fail, 2, 2))


def test_batches_are_the_tiles_as_stored(site: Path) -> None:
    data = config("data=tiles", sources(site)).data
    pairs, reader = manifest(data).pairs, PairReader.of(data)
    batch = next(iter(TileLoader(pairs, reader, 3, 2)))
    assert batch.image.dtype == raw_tensor(reader(pairs[2]).image).dtype
    np.testing.assert_array_equal(batch.image[2].numpy(), reader(pairs[2]).image)
    np.testing.assert_array_equal(batch.mask[2].numpy(), reader(pairs[2]).mask)


def a_batch(count: int = 64, size: int = 6) -> Batch:
    """Images whose bands are told apart by their thousands, masks that follow band 0."""
    rng = np.random.default_rng(3)
    ground = rng.integers(1, 900, (count, size, size))
    image = np.stack([ground + 1000 * band for band in range(4)], axis=1).astype(np.uint16)
    return Batch(raw_tensor(image), raw_tensor((ground % 200).astype(np.uint8)))


def symmetries(image: torch.Tensor) -> list[torch.Tensor]:
    return [torch.rot90(turned, k, (-2, -1)) for turned in (image, image.flip(-1)) for k in range(4)]


def test_image_and_mask_take_the_same_one_of_eight_symmetries_and_bands_keep_their_places() -> None:
    before = a_batch()
    torch.manual_seed(0)
    after = augmented(before, augmentation(Augment(flips_and_rotations=True, brightness=0)))
    taken = Counter()
    for index in range(len(before.image)):
        images, masks = symmetries(before.image[index].float()), symmetries(before.mask[index])
        which = [i for i, each in enumerate(images) if torch.equal(each, after.image[index])]
        assert len(which) == 1
        assert torch.equal(masks[which[0]], after.mask[index])
        taken[which[0]] += 1
    assert len(taken) == 8


def test_the_same_seed_augments_alike() -> None:
    transform = augmentation(Augment(flips_and_rotations=True, brightness=0.2))
    torch.manual_seed(4)
    once = augmented(a_batch(), transform)
    torch.manual_seed(4)
    again = augmented(a_batch(), transform)
    assert torch.equal(once.image, again.image)
    assert torch.equal(once.mask, again.mask)


def test_brightness_changes_all_bands_by_one_factor_and_leaves_nodata_and_mask() -> None:
    before = a_batch()
    before.image[:, :, 0, 0] = 0
    after = augmented(before, augmentation(Augment(flips_and_rotations=False, brightness=0.3)))
    assert torch.equal(before.mask, after.mask)
    assert (after.image[:, :, 0, 0] == 0).all()
    factors = (after.image / before.image.float())[:, :, 1:, 1:].flatten(1)
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors))
    assert 0.7 <= factors.min() < 0.9
    assert 1.1 < factors.max() <= 1.3


def test_nothing_asked_for_changes_nothing() -> None:
    before = a_batch()
    after = augmented(before, augmentation(Augment(flips_and_rotations=False, brightness=0)))
    assert torch.equal(after.image, before.image.float())
