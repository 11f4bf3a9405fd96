"""Counts equal a few lines of NumPy that say what is counted."""

from collections.abc import Sequence

import numpy as np
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from snowcover.evaluate.chunk import Chunk
from snowcover.evaluate.counts import Counter
from snowcover.evaluate.strata import Stratum

BINS = Stratum("bins", (0, 1, 2, 3), ("a", "b", "c"))


def chunk(seed: int, products: Sequence[str], height: int = 13, width: int = 17) -> Chunk:
    rng = np.random.default_rng(seed)
    size = height, width
    depth = np.where(rng.random(size) < 0.8, rng.random(size), np.nan).astype(np.float32)
    snow = np.where(np.isnan(depth), 255, depth >= 0.5).astype(np.uint8)
    snow[rng.random(size) < 0.05] = 255  # excluded
    share = {
        name: np.where(rng.random(size) < 0.9, rng.integers(0, 5, size) / 4, np.nan).astype(np.float32)
        for name in products
    }
    block = (rng.integers(0, 2, size) * 4 + 3).astype(np.int32)
    if seed % 2:  # a block, the last one, of which nothing is observed
        snow[block == 7] = 255
    bins = rng.integers(-1, 3, size).astype(np.int16)
    trained = rng.random(size) < 0.4
    return Chunk(0, 0, Affine.identity(), snow, depth, share, {}, {"bins": bins}, block, trained)


def confusion(truth: np.ndarray, mapped: np.ndarray, where: np.ndarray) -> list[int]:
    cells = (truth & mapped, ~truth & mapped, truth & ~mapped, ~truth & ~mapped)
    return [int((cell & where).sum()) for cell in cells]


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.integers(1, 7), st.booleans())
def test_counts_are_those_of_plain_numpy(seed: int, count: int, unseen: bool) -> None:
    names = [f"p{number}" for number in range(count)]
    counter = Counter(names, (0.5, 0.25), (BINS,), 9, unseen)
    parts = [chunk(seed + number, names) for number in range(2)]
    for one in parts:
        counter.add(one)
    expected = Counter(names, (0.5, 0.25), (BINS,), 9, unseen)
    for one in parts:
        known = one.snow != 255
        everywhere = known & np.all([np.isfinite(one.share[name]) for name in names], axis=0)
        for number, name in enumerate(names):
            own = known & np.isfinite(one.share[name])
            mapped = np.nan_to_num(one.share[name]) >= 0.5
            for block in range(9):
                for trained in (0, 1):
                    here = (one.block == block) & (one.trained == trained)
                    expected.own[block, trained, number] += confusion(one.snow == 1, mapped, own & here)
                    for place, level in enumerate((0.5, 0.25)):
                        truth = np.nan_to_num(one.depth_m) >= level
                        expected.common[block, place, trained, number] += confusion(truth, mapped, everywhere & here)
                for place in range(3):
                    here = (one.block == block) & (one.strata["bins"] == place) & ~(one.trained & unseen)
                    expected.by_stratum["bins"][place, block, number] += confusion(
                        one.snow == 1, mapped, everywhere & here
                    )
    assert np.array_equal(counter.common, expected.common)
    assert np.array_equal(counter.own, expected.own)
    assert np.array_equal(counter.by_stratum["bins"], expected.by_stratum["bins"])
    assert counter.in_stratum["bins"] == expected.by_stratum["bins"][:, :, 0].sum()


def test_scored_pixels_are_returned_and_none_of_an_empty_chunk() -> None:
    one = chunk(3, ["p"])
    counter = Counter(["p"], (0.5,), (BINS,), 9, True)
    selected = counter.add(one)
    assert np.array_equal(selected.mask, (one.snow != 255) & np.isfinite(one.share["p"]) & ~one.trained)
    before = counter.common.copy()
    one.snow[:] = 255
    assert counter.add(one).pixels == 0 and np.array_equal(counter.common, before)
