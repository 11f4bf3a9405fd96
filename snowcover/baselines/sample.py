"""Labelled pixels of the training tiles, drawn while the tiles are surveyed: no tile is read twice. Pure."""

import zlib
from typing import Any, NamedTuple

import numpy as np

from snowcover.labels import SNOW, UNOBSERVED

Array = np.ndarray[Any, Any]


class Pixels(NamedTuple):
    """Pixels observed in image and mask."""

    reflectance: Array
    """[P, C] float32, as the network sees it before normalisation"""
    snow: Array
    """[P] bool"""


class Drawn(NamedTuple):
    """Pixels with the random keys by which they were drawn: those with the lowest stay."""

    keys: Array
    """[P] float64, 0 to 1"""
    pixels: Pixels


class PixelSample:
    """At most `size` pixels, each observed pixel of all tiles as likely as any other.

    Which ones follows from the seed and from the tiles' names alone, whatever order threads read them in.
    """

    def __init__(self, size: int, seed: int) -> None:
        self._size, self._seed = size, seed
        self._parts: list[Drawn] = []
        self._held = 0
        self._highest = 1.0  # key from which on no pixel can be among the lowest `size` any more

    def draw(self, name: str, stored: Array, mask: Array, scale: float, offset: float) -> Drawn:
        """Those pixels of a tile that may stay; safe in any thread.

        Args:
            name: of the tile, which no other has.
            stored: [C, H, W], 0 in all bands where unobserved.
            mask: [H, W] of 1, 0 and 255.
            scale, offset: reflectance is stored * scale + offset.
        """
        observed = np.flatnonzero((mask != UNOBSERVED) & stored.any(axis=0))
        keys = np.random.default_rng((self._seed, zlib.crc32(name.encode()))).random(len(observed))
        low = keys < self._highest
        chosen = observed[low]
        # In float32 and in this order, as SnowMapper does: a split of a tree lies between two such numbers.
        some = stored.reshape(len(stored), -1)[:, chosen].astype(np.float32)
        reflectance = some * np.float32(scale) + np.float32(offset)
        return Drawn(keys[low], Pixels(reflectance.T.copy(), mask.ravel()[chosen] == SNOW))

    def add(self, drawn: Drawn) -> None:
        """Take what was drawn of one tile; by one thread alone."""
        self._parts.append(drawn)
        self._held += len(drawn.keys)
        if self._held > 2 * self._size:
            self._drop()

    def pixels(self) -> Pixels:
        """What was drawn of all tiles, in the order of the keys."""
        self._drop()
        return self._parts[0].pixels

    def _drop(self) -> None:
        keys = np.concatenate([part.keys for part in self._parts])
        kept = np.argsort(keys, kind="stable")[: self._size]
        columns = zip(*(part.pixels for part in self._parts), strict=True)
        pixels = Pixels(*(np.concatenate(column)[kept] for column in columns))
        self._parts, self._held = [Drawn(keys[kept], pixels)], len(kept)
        if len(kept) == self._size:
            self._highest = float(keys[kept[-1]])
