"""One pass over all tiles before training: is each one whole, what is on it, what are the bands' moments."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snowcover.baselines.brightness import BINS, brightness_bins
from snowcover.baselines.sample import Drawn, Pixels, PixelSample
from snowcover.data.classes import CollectFacts, refuse_one_class, refuse_other_coding
from snowcover.data.layer_facts import LayerFacts, LayerMoments, LayerSums
from snowcover.data.manifest import Pair
from snowcover.data.reading import RawPair, WrongSize
from snowcover.data.scaling import Scaling, refuse_contradiction, refuse_other
from snowcover.data.split import SPLITS
from snowcover.errors import UserError
from snowcover.labels import BARE, SNOW, UNOBSERVED

Array = np.ndarray[Any, Any]


class NothingToLearn(UserError):
    """The training images have no observed pixel, or a band that never changes."""


@dataclass
class SplitStatistics:
    """What the tiles of one split hold."""

    tiles: int = 0
    unobserved: int = 0
    brightness: Array = field(default_factory=lambda: np.zeros((2, BINS), np.int64))
    """[2, BINS] observed pixels by brightness: no snow, snow"""

    @property
    def snow_share(self) -> float | None:
        """Snow among the observed pixels; None where nothing is observed."""
        bare, snow = self.brightness.sum(axis=1).tolist()
        return snow / (bare + snow) if bare + snow else None

    @property
    def nodata_share(self) -> float:
        return float(self.unobserved / (self.unobserved + self.brightness.sum()))


@dataclass(frozen=True)
class DatasetStatistics:
    """What the tiles of a run hold."""

    shape: tuple[int, int, int]
    """C, H, W of every image tile"""
    dtype: str
    splits: dict[str, SplitStatistics]
    mean: list[float]
    """[C] reflectance over the observed pixels of the training images"""
    std: list[float]
    pixels: Pixels | None = None
    """drawn of the training tiles, where they were asked for"""
    layers: LayerFacts | None = None
    """None of a run without layers"""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """C + L, H, W of what the network takes."""
        bands, height, width = self.shape
        return bands + (len(self.layers.channels) if self.layers else 0), height, width


@dataclass(frozen=True)
class _TileFacts:
    shape: tuple[int, ...]
    dtype: str
    unobserved: int
    scaling: Scaling | None
    has_snow: bool
    has_untagged_255: bool
    brightness: Array
    pixels: int
    """observed in the image"""
    sums: Array
    """[C] of reflectance over those pixels"""
    square_sums: Array
    drawn: Drawn | None = None
    layers: LayerSums | None = None


@dataclass
class _Moments:
    pixels: int = 0
    sums: Array | float = 0.0
    square_sums: Array | float = 0.0

    def add(self, tile: _TileFacts) -> None:
        self.pixels += tile.pixels
        self.sums = self.sums + tile.sums
        self.square_sums = self.square_sums + tile.square_sums

    def mean_and_std(self) -> tuple[list[float], list[float]]:
        if not self.pixels:
            raise NothingToLearn("No pixel of the training images is observed: every one is nodata.")
        mean = np.asarray(self.sums / self.pixels)
        variance = np.asarray(self.square_sums / self.pixels) - mean**2
        if (variance <= 1e-12).any():
            constant = int(np.argmin(variance)) + 1
            raise NothingToLearn(f"Band {constant} has one value in all training images: check data.bands.")
        return mean.tolist(), np.sqrt(variance).tolist()


def compute_statistics(
    pairs: Sequence[Pair],
    splits: Sequence[str],
    read: Callable[[Pair], RawPair],
    scaling: Scaling,
    threads: int,
    sample: PixelSample | None = None,
    layers: Sequence[str] = (),
) -> DatasetStatistics:
    """Read every pair once; `scaling` turns stored numbers into reflectance.

    Args:
        sample: takes pixels of the training tiles as they pass.
        layers: their channels, as `read` gives them with the bands.

    Raises:
        WrongSize: tiles of several sizes or types.
        WrongScaling: tiles whose files say that they are of several scales, or of another than `scaling`.
        OtherCoding, OneClass: a collect whose masks are coded otherwise, a split without snow or without bare ground.
        NothingToLearn: no observed training pixel, or a constant band.
        UselessLayer: a layer without data, or a constant one.
        UserError: what `read` raises of a tile.
    """
    facts = {split: SplitStatistics() for split in SPLITS}
    collects = {pair.collect: CollectFacts() for pair in pairs}
    moments, of_layers = _Moments(), LayerMoments(layers)
    first: _TileFacts | None = None
    pool = ThreadPoolExecutor(threads)
    try:
        of_train = {pair for pair, split in zip(pairs, splits, strict=True) if split == "train"}
        tiles = pool.map(
            lambda pair: _tile_facts(pair, read(pair), scaling, sample if pair in of_train else None), pairs
        )
        for pair, split, tile in zip(pairs, splits, tiles, strict=True):
            first = first or tile
            _same_kind(pair, tile, pairs[0], first)
            refuse_contradiction(pair.image, tile.scaling, scaling)
            collects[pair.collect].add(tile.has_snow, tile.has_untagged_255)
            facts[split].tiles += 1
            facts[split].unobserved += tile.unobserved
            facts[split].brightness += tile.brightness
            if split == "train":
                moments.add(tile)
            if tile.layers is not None:
                of_layers.add(tile.layers, split == "train")
            if sample is not None and tile.drawn is not None:
                sample.add(tile.drawn)
    finally:
        pool.shutdown(cancel_futures=True)  # the first bad tile ends it; the rest need not be read
    mean, std = moments.mean_and_std()
    refuse_other_coding(collects)
    refuse_one_class(facts)
    assert first is not None
    pixels = None if sample is None else sample.pixels()
    found = of_layers.facts() if layers else None
    return DatasetStatistics(first.shape, first.dtype, facts, mean, std, pixels, found)  # type: ignore[arg-type]


def _tile_facts(of: Pair, pair: RawPair, scaling: Scaling, sample: PixelSample | None) -> _TileFacts:
    channels = pair.image.shape[0]
    stored = pair.image.reshape(channels, -1)
    seen = stored.any(axis=0)
    mask = pair.mask.ravel()[seen]  # [P], the pixels observed in the image
    reflectance = stored[:, seen] * np.float64(scaling.scale) + scaling.offset  # [C, P]
    brightness = np.stack(
        [np.bincount(brightness_bins(reflectance[:, mask == value]), minlength=BINS) for value in (BARE, SNOW)]
    )
    return _TileFacts(
        shape=pair.image.shape,
        dtype=str(pair.image.dtype),
        scaling=pair.scaling,
        has_snow=pair.has_snow,
        has_untagged_255=pair.has_untagged_255,
        unobserved=int((pair.mask == UNOBSERVED).sum()),
        brightness=brightness,
        pixels=int(seen.sum()),
        sums=reflectance.sum(axis=1),
        square_sums=np.einsum("cp,cp->c", reflectance, reflectance),
        drawn=None if sample is None else sample.draw(f"{of.name} {of.collect}", pair.image, pair.mask, *scaling),
        layers=None if pair.layers is None else LayerSums.of(pair.layers),
    )


def _same_kind(pair: Pair, tile: _TileFacts, other: Pair, like: _TileFacts) -> None:
    if (tile.shape, tile.dtype) != (like.shape, like.dtype):
        raise WrongSize(f"{_format(pair, tile)}, {_format(other, like)}: train on tiles of one size and type.")
    refuse_other(pair.image, tile.scaling, other.image, like.scaling)


def _format(pair: Pair, tile: _TileFacts) -> str:
    return f"{pair.image} is {tile.shape[2]} x {tile.shape[1]} pixels of {tile.dtype}"
