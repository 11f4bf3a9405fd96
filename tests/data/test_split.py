from collections import Counter, defaultdict

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from snowcover.data.config import Split
from snowcover.data.manifest import Pair
from snowcover.data.split import EmptySplit, assign_splits

FULL = {"by": "block", "block_tiles": 1, "train": 0.7, "val": 0.15, "test": 0.15, "val_names": [], "test_names": []}


def split(**changed: object) -> Split:
    return Split.model_validate(FULL | changed)


def pair(scene: str, x: int, y: int, z: int = 15, collect: str = "ASO_20180528", date: str = "20180528") -> Pair:
    return Pair(scene, z, x, y, collect, date, f"{scene}/{z}/{x}/{y}.tif", "m.tif", 1, 1)


grids = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 12), st.integers(0, 12)), min_size=30, max_size=150, unique=True
).map(lambda cells: [pair(*cell) for cell in sorted(cells)])


@given(grids, st.integers(1, 3), st.integers(0, 99))
def test_a_block_of_ground_is_never_on_two_sides(pairs: list[Pair], block: int, seed: int) -> None:
    assume(len({(p.x // block, p.y // block) for p in pairs}) > 12)
    ground = defaultdict(set)
    for each, side in zip(pairs, assign_splits(pairs, split(block_tiles=block), seed), strict=True):
        ground[each.x // block, each.y // block].add(side)
    assert all(len(on) == 1 for on in ground.values())


def test_tiles_of_two_zooms_over_one_ground_stay_together() -> None:
    pairs = [pair("a", x, y, 14) for x in range(6) for y in range(6)]
    pairs += [pair("b", x, y, 15) for x in range(12) for y in range(12)]
    on = dict(zip([(p.z, p.x, p.y) for p in pairs], assign_splits(pairs, split(), 3), strict=True))
    assert all(on[15, x, y] == on[14, x // 2, y // 2] for x in range(12) for y in range(12))


def test_shares_are_met_to_a_block() -> None:
    pairs = [pair(scene, x, y) for scene in "ab" for x in range(10) for y in range(10)]
    counts = Counter(assign_splits(pairs, split(train=0.5, val=0.2, test=0.3), 0))
    assert abs(counts["train"] - 100) <= 2
    assert abs(counts["val"] - 40) <= 2
    assert abs(counts["test"] - 60) <= 2


def test_the_seed_decides_the_split_and_the_order_of_listing_does_not() -> None:
    pairs = [pair("a", x, y) for x in range(10) for y in range(10)]
    once = dict(zip(pairs, assign_splits(pairs, split(), 1), strict=True))
    backwards = dict(zip(pairs[::-1], assign_splits(pairs[::-1], split(), 1), strict=True))
    assert once == backwards
    assert once != dict(zip(pairs, assign_splits(pairs, split(), 2), strict=True))


def test_whole_collects_or_dates_can_be_held_out() -> None:
    pairs = [
        pair("a", x, 0, collect=name, date=name[-8:])
        for x in range(3)
        for name in ("A_20180101", "B_20180202", "C_20180303")
    ]
    by_collect = assign_splits(pairs, split(by="collect", val_names=["B_20180202"], test_names=["C_20180303"]), 0)
    by_date = assign_splits(pairs, split(by="date", val_names=["20180202"], test_names=["20180303"]), 0)
    assert by_collect == by_date
    assert {(p.collect[0], side) for p, side in zip(pairs, by_date, strict=True)} == {
        ("A", "train"),
        ("B", "val"),
        ("C", "test"),
    }


def test_an_empty_side_is_refused() -> None:
    with pytest.raises(EmptySplit, match="leaves no tiles for (val|test): 2 pairs"):
        assign_splits([pair("a", 0, 0), pair("a", 1, 0)], split(), 0)
    with pytest.raises(EmptySplit, match=r"holds out collect D.*they have ASO_20180528"):
        assign_splits([pair("a", 0, 0)], split(by="collect", val_names=["D"], test_names=["ASO_20180528"]), 0)
    with pytest.raises(EmptySplit, match="leaves no tiles for train"):
        assign_splits(
            [pair("a", 0, 0), pair("a", 0, 1, collect="B")],
            split(by="collect", val_names=["B"], test_names=["ASO_20180528"]),
            0,
        )
