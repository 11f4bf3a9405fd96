"""Pixels drawn of training tiles while they pass."""

import numpy as np
import pytest

from snowcover.baselines.sample import Pixels, PixelSample

TILES = 40


def tile(number: int) -> tuple[str, np.ndarray, np.ndarray]:
    """Name, stored numbers that say which pixel each is, and a mask; ten pixels are unobserved in each of the two."""
    stored = np.arange(1, 101, dtype=np.uint16).reshape(1, 10, 10) + 100 * number
    stored[:, 0] = 0
    mask = (np.arange(100).reshape(10, 10) % 2).astype(np.uint8)
    mask[1] = 255
    return f"tile {number}", stored, mask


def drawn(size: int, seed: int = 0, lag: int = 0) -> Pixels:
    """Of all tiles; those that are drawn `lag` tiles ahead of being added know less of what cannot stay any more."""
    sample = PixelSample(size, seed)
    waiting = []
    for number in range(TILES):
        waiting.append(sample.draw(*tile(number), scale=1.0, offset=0.0))
        if len(waiting) > lag:
            sample.add(waiting.pop(0))
    for one in waiting:
        sample.add(one)
    return sample.pixels()


def test_only_pixels_observed_in_image_and_mask_are_drawn_each_once_with_its_label() -> None:
    found = drawn(10_000)
    numbers = found.reflectance[:, 0].astype(int) - 1
    assert sorted(numbers) == [100 * t + p for t in range(TILES) for p in range(20, 100)]
    assert np.array_equal(found.snow, numbers % 2 == 1)
    assert found.reflectance.dtype == np.float32


def test_a_sample_of_a_size_follows_from_the_seed_and_not_from_how_far_threads_are_ahead() -> None:
    found = drawn(500)
    assert len(found.snow) == 500
    for lag in (1, 7, TILES):
        assert np.array_equal(drawn(500, lag=lag).reflectance, found.reflectance)
    assert not np.array_equal(drawn(500, seed=1).reflectance, found.reflectance)


def test_all_tiles_are_drawn_from_alike() -> None:
    found = np.concatenate([drawn(500, seed).reflectance[:, 0] for seed in range(20)])
    of_tile = np.bincount((found.astype(int) - 1) // 100, minlength=TILES)  # 250 expected each, deviation about 15
    assert of_tile.min() > 180
    assert of_tile.max() < 320


def test_reflectance_is_what_the_network_would_see() -> None:
    import torch

    from snowcover.models.mapper import SnowMapper

    stored = np.random.default_rng(0).integers(1, 20000, (4, 8, 8)).astype(np.uint16)
    sample = PixelSample(100, 0)
    sample.add(sample.draw("a", stored, np.ones((8, 8), np.uint8), 1e-4, -0.1))
    mapper = SnowMapper(torch.nn.Identity(), 1e-4, -0.1, [0.0] * 4, [1.0] * 4)
    seen = mapper.logits(torch.from_numpy(stored.astype(np.int32))[None])[0].reshape(4, -1).T.numpy()
    assert {row.tobytes() for row in sample.pixels().reflectance} == {
        row.tobytes() for row in np.ascontiguousarray(seen)
    }


@pytest.mark.parametrize("size", [1, 3199, 3200, 3201])
def test_there_are_never_more_pixels_than_asked_for(size: int) -> None:
    assert len(drawn(size).snow) == min(size, 80 * TILES)
