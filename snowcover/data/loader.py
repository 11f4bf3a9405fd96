"""Batches of raw tiles, read ahead by threads.

Threads and not torch's worker processes: reading and decoding release Python's lock, and threads share one
connection pool, need no /dev/shm, start at once and cost no second copy of torch.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from snowcover.compat import raw_tensor
from snowcover.data.manifest import Pair
from snowcover.data.reading import RawPair
from snowcover.labels import UNOBSERVED

READS_IN_FLIGHT = 4  # per data worker: a read from S3 waits far longer than it computes
BATCHES_AHEAD = 2  # one in the network, one ready, one being read


class Batch(NamedTuple):
    """Raw tiles of one step."""

    image: Tensor
    """[B, C, H, W] in the files' type, or one that holds it; 0 in all bands where unobserved. With layers float32
    [B, C + L, H, W], NaN where a layer has no data"""
    mask: Tensor
    """[B, H, W] uint8: 1 snow, 0 no snow, 255 unobserved"""


class TileLoader:
    """The batches of one epoch: every pair once, in the order of a seed or as listed.

    Batches differ by at most one tile in size, so that no tile is dropped.
    With several processes each takes every world_size-th pair. The last ones repeat a pair to be as many; where
    order is fixed, which is where tiles are counted, the repeated ones come as unobserved.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        read: Callable[[Pair], RawPair],
        batch_size: int,
        data_workers: int,
        shuffle_seed: int | None = None,
        rank: int = 0,
        world_size: int = 1,
        pin: bool = False,
    ) -> None:
        self._read = read
        self._threads = data_workers * READS_IN_FLIGHT
        self._pin = pin
        order = np.arange(len(pairs))
        if shuffle_seed is not None:
            np.random.default_rng(shuffle_seed).shuffle(order)
        even = -(-len(order) // world_size) * world_size
        mine = np.resize(order, even)[rank::world_size]
        self._once = None if shuffle_seed is not None else (np.arange(even) < len(order))[rank::world_size]
        self._batches = np.array_split(np.arange(len(mine)), batch_count(len(mine), batch_size))
        self._pairs = [pairs[index] for index in mine]

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="tiles")
        ahead: deque[list[Future[RawPair]]] = deque()
        try:
            for batch in self._batches:
                ahead.append([pool.submit(self._load, index) for index in batch])
                if len(ahead) > BATCHES_AHEAD:
                    yield self._collate(ahead.popleft())
            while ahead:
                yield self._collate(ahead.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _load(self, index: int) -> RawPair:
        raw = self._read(self._pairs[index])
        if self._once is not None and not self._once[index]:
            raw.mask[:] = UNOBSERVED
        return raw

    def _collate(self, futures: Sequence[Future[RawPair]]) -> Batch:
        pairs = [future.result() for future in futures]
        batch = Batch(_stacked([pair.network_input for pair in pairs]), _stacked([pair.mask for pair in pairs]))
        return Batch(batch.image.pin_memory(), batch.mask.pin_memory()) if self._pin else batch


def batch_count(tiles: int, batch_size: int) -> int:
    """How many batches an epoch has: none of one tile, whose pooled features have no statistics, unless asked for.

    For that a batch may hold one tile more than batch_size.
    """
    count = -(-tiles // batch_size)
    return count if batch_size == 1 else max(1, min(count, tiles // 2))


def _stacked(arrays: Sequence[np.ndarray[Any, Any]]) -> Tensor:
    return raw_tensor(np.stack(arrays))
