"""Which pairs train, choose and test. Pure."""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence

from snowcover.data.config import Split
from snowcover.data.manifest import Pair
from snowcover.data.tiles import ancestor
from snowcover.errors import UserError

SPLITS = ("train", "val", "test")
Block = tuple[int, int]


class EmptySplit(UserError):
    """The split leaves train, val or test without tiles."""


def assign_splits(pairs: Sequence[Pair], split: Split, seed: int) -> list[str]:
    """The split of each pair: `train`, `val` or `test`, in the pairs' order.

    By block, a block of ground is drawn as a whole, so that a tile, its copies in overlapping scenes and at other
    zooms, and with block_tiles > 1 its neighbours, are never in two splits.

    Raises:
        EmptySplit: a split has no pair.
    """
    result = _by_block(pairs, split, seed) if split.by == "block" else _by_name(pairs, split)
    for name in SPLITS:
        if name not in result:
            raise EmptySplit(_empty(name, pairs, split))
    return result


def _by_name(pairs: Sequence[Pair], split: Split) -> list[str]:
    names = [pair.collect if split.by == "collect" else pair.date for pair in pairs]
    if unknown := sorted({*split.val_names, *split.test_names} - set(names)):
        raise EmptySplit(
            f"data.split holds out {split.by} {', '.join(unknown)}, which the data do not have; "
            f"they have {', '.join(sorted(set(names)))}."
        )
    held_out = dict.fromkeys(split.val_names, "val") | dict.fromkeys(split.test_names, "test")
    return [held_out.get(name, "train") for name in names]


def _by_block(pairs: Sequence[Pair], split: Split, seed: int) -> list[str]:
    coarsest = min(pair.z for pair in pairs)
    blocks = [_block(pair, coarsest, split.block_tiles) for pair in pairs]
    weight: dict[Block, int] = defaultdict(int)
    for block in blocks:
        weight[block] += 1
    order = sorted(weight)
    random.Random(seed).shuffle(order)
    return list(map(_draw(order, weight, split).__getitem__, blocks))


def _draw(order: Sequence[Block], weight: Mapping[Block, int], split: Split) -> dict[Block, str]:
    """Each block to the split that is furthest below its share, so that small data fill all three."""
    shares = {"train": split.train, "val": split.val, "test": split.test}
    given = dict.fromkeys(SPLITS, 0)
    split_of = {}
    for block in order:
        name = min(SPLITS, key=lambda name: (given[name] + weight[block] / 2) / shares[name])
        split_of[block] = name
        given[name] += weight[block]
    return split_of


def _block(pair: Pair, zoom: int, block_tiles: int) -> Block:
    ground = ancestor(pair.tile, zoom)
    return ground.x // block_tiles, ground.y // block_tiles


def _empty(name: str, pairs: Sequence[Pair], split: Split) -> str:
    if split.by != "block":
        return f"data.split leaves no tiles for {name}: name fewer of them in val_names and test_names."
    return (
        f"data.split leaves no tiles for {name}: {len(pairs)} pairs in blocks of {split.block_tiles} x "
        f"{split.block_tiles} tiles are too few; give more tiles or lower data.split.block_tiles."
    )
