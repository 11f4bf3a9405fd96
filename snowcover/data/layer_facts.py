"""What the layers of a run's tiles hold: their moments over the training tiles, and how much of them is missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from snowcover.errors import UserError

Array = np.ndarray[Any, Any]


class UselessLayer(UserError):
    """A layer has no data in the training tiles, or one value."""


@dataclass(frozen=True)
class LayerNumbers:
    """Of each channel, what a network's input is normalised by."""

    channels: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, list[Any]]:
        """Plain values, for a checkpoint."""
        return {name: list(getattr(self, name)) for name in ("channels", "mean", "std")}


@dataclass(frozen=True)
class LayerFacts:
    """Of each channel."""

    channels: tuple[str, ...]
    mean: list[float]
    std: list[float]
    nodata_share: list[float]
    """of the pixels of all tiles"""

    def note(self) -> str | None:
        """What to show the user before training; None where nothing is missing."""
        missing = {name: share for name, share in zip(self.channels, self.nodata_share, strict=True) if share > 0}
        if not missing:
            return None
        shares = ", ".join(f"{name} in {share:.2g}" for name, share in missing.items())
        return f"Layers have no data in a share of the pixels ({shares}): there the network sees their mean."


@dataclass(frozen=True)
class LayerSums:
    """Of one tile, [L] each."""

    pixels: int
    known: Array
    sums: Array
    square_sums: Array
    low: Array
    high: Array

    @classmethod
    def of(cls, layers: Array) -> "LayerSums":
        """Args: layers: [L, H, W], NaN where there are no data."""
        known = np.isfinite(layers)
        values = np.where(known, layers, 0).astype(np.float64)
        low, high = (
            reach(np.where(known, layers, beyond), axis=(1, 2))
            for reach, beyond in ((np.min, np.inf), (np.max, -np.inf))
        )
        sums, squares = values.sum(axis=(1, 2)), np.einsum("lhw,lhw->l", values, values)
        return cls(layers[0].size, known.sum(axis=(1, 2)), sums, squares, low, high)


class LayerMoments:
    """Takes the tiles as they pass."""

    def __init__(self, channels: Sequence[str]) -> None:
        self._channels = tuple(channels)
        self._pixels, self._known = 0, np.zeros(len(channels), np.int64)
        self._of_train: list[LayerSums] = []

    def add(self, tile: LayerSums, is_train: bool) -> None:
        """Count a tile's layers; only those of training tiles make mean and std."""
        self._pixels += tile.pixels
        self._known += tile.known
        if is_train:
            self._of_train.append(tile)

    def facts(self) -> LayerFacts:
        """Raises: UselessLayer"""
        known, sums, squares = (
            np.sum([getattr(tile, name) for tile in self._of_train], axis=0)
            for name in ("known", "sums", "square_sums")
        )
        low = np.min([tile.low for tile in self._of_train], axis=0)
        high = np.max([tile.high for tile in self._of_train], axis=0)
        for name, count, least, most in zip(self._channels, known, low, high, strict=True):
            if not count:
                raise UselessLayer(f"The layer {name} has no data in any training tile: leave it out of data.layers.")
            if not least < most:
                raise UselessLayer(
                    f"The layer {name} has one value, {least:g}, in all training tiles: leave it out of data.layers."
                )
        mean = sums / known
        std = np.sqrt(np.maximum(squares / known - mean**2, 0))
        missing = 1 - self._known / self._pixels
        return LayerFacts(self._channels, mean.tolist(), std.tolist(), missing.tolist())
