"""Confusion counts of all products by block and stratum, exact and in one pass. Pure.

One number per pixel encodes its block and its class in the reference and in the products; a histogram of these numbers
per bin of a stratum gives the counts of all products at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snowcover.evaluate.chunk import Chunk
from snowcover.evaluate.strata import Stratum
from snowcover.labels import UNOBSERVED

AT_ONCE = 5  # products that share one code: more would need too many codes
MOSTLY_SNOW = 0.5  # least snow share of a snow pixel
UNSEEN, TRAINED = 0, 1
Counts = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass
class Counter:
    """Counts of tp, fp, fn, tn [..., 4] by block."""

    products: Sequence[str]
    thresholds_m: Sequence[float]
    """of depth; empty for a mask"""
    strata: Sequence[Stratum]
    blocks: int
    leaves_out_trained: bool
    """whether all counts but `common` and `own` are of unseen ground alone"""
    common: Counts = field(init=False)
    """[blocks, thresholds, unseen or trained, products, 4], of pixels observed in all products"""
    own: Counts = field(init=False)
    """[blocks, unseen or trained, products, 4], at the first threshold, of pixels observed in each product"""
    by_stratum: dict[str, Counts] = field(init=False)
    """[bins, blocks, products, 4] each, of the pixels of `common` at the first threshold"""
    in_stratum: dict[str, int] = field(init=False)
    """number of counted pixels in any bin"""

    def __post_init__(self) -> None:
        products = len(self.products)
        self.common = np.zeros((self.blocks, max(1, len(self.thresholds_m)), 2, products, 4), np.int64)
        self.own = np.zeros((self.blocks, 2, products, 4), np.int64)
        self.by_stratum = {
            stratum.name: np.zeros((len(stratum.labels), self.blocks, products, 4), np.int64) for stratum in self.strata
        }
        self.in_stratum = dict.fromkeys(self.by_stratum, 0)

    def of_ground(self, counts: Counts) -> Counts:
        """[blocks, unseen or trained, ...] -> [blocks, ...]: the counts of the scored ground."""
        return counts[:, UNSEEN] if self.leaves_out_trained else counts.sum(axis=1)

    @property
    def main(self) -> Counts:
        """[blocks, products, 4], counts of the scored pixels at the first threshold."""
        return self.of_ground(self.common[:, 0])

    @property
    def scored_px(self) -> int:
        return int(self.main[:, 0].sum())

    @property
    def filled_blocks(self) -> int:
        """Number of blocks with a scored pixel."""
        return int(np.count_nonzero(self.main[:, 0].any(axis=1)))

    def add(self, chunk: Chunk) -> "Selected":
        """Count a chunk; returns its scored pixels."""
        observed = chunk.snow != UNOBSERVED
        mapped = {name: np.isfinite(chunk.share[name]) for name in self.products}
        common = np.logical_and.reduce([observed, *mapped.values()])
        whole = Selected.of(common)
        leaves_out = self.leaves_out_trained and chunk.trained.any()
        selected = Selected.of(common & ~chunk.trained) if leaves_out else whole
        self._add_common(chunk, whole)
        self._add_own(chunk, {name: observed & mask for name, mask in mapped.items()}, whole.pixels)
        if selected.pixels and self.strata:
            self._add_strata(chunk, selected)
        return selected

    def _add_common(self, chunk: Chunk, pixels: "Selected") -> None:
        if not pixels.pixels:
            return
        blocks = _LocalBlocks.of(chunk.block)
        for group in _groups(self.products):
            names = [self.products[number] for number in group]
            for threshold, snow in enumerate(self._snow(chunk, pixels)):
                found = _by_ground(blocks, chunk, pixels, self._codes(chunk, pixels, names, snow), len(names))
                self.common[blocks.numbers[:, None], threshold, :, group] += np.moveaxis(found, 2, 1)
                if threshold == 0:
                    self.own[blocks.numbers[:, None], :, group] += np.moveaxis(found, 2, 1)

    def _add_own(self, chunk: Chunk, seen: dict[str, Bools], common_px: int) -> None:
        """Add the pixels that not all products observe to `own`; the common ones are already counted."""
        blocks = _LocalBlocks.of(chunk.block)
        for number, name in enumerate(self.products):
            if np.count_nonzero(seen[name]) == common_px:
                continue
            others = [other for other in self.products if other != name]
            not_common = seen[name] & ~np.logical_and.reduce([seen[other] for other in others])
            pixels = Selected.of(not_common)
            pixel_codes = self._codes(chunk, pixels, [name], pixels.take(chunk.snow))
            self.own[blocks.numbers, :, number] += _by_ground(blocks, chunk, pixels, pixel_codes, 1)[:, :, 0]

    def _add_strata(self, chunk: Chunk, pixels: "Selected") -> None:
        blocks = _LocalBlocks.of(chunk.block)
        local, snow = blocks.local(pixels), pixels.take(chunk.snow)
        for group in _groups(self.products):
            names = [self.products[number] for number in group]
            codes, count = 2 ** (len(names) + 1), len(blocks.numbers)
            pixel_codes = local * codes + self._codes(chunk, pixels, names, snow)
            for stratum in self.strata:
                bins = pixels.take(chunk.strata[stratum.name])
                found = np.bincount(
                    (bins.astype(np.intp) + 1) * (count * codes) + pixel_codes,
                    minlength=(len(stratum.labels) + 1) * count * codes,
                )
                in_bins = found.reshape(-1, count, codes)[1:]  # the first row is outside all bins
                outcomes = (in_bins @ _outcomes(len(names))).reshape(-1, count, len(names), 4)
                filled = np.flatnonzero(in_bins.any(axis=(1, 2)))
                target = self.by_stratum[stratum.name]
                target[filled[:, None, None], blocks.numbers[None, :, None], np.array(group)] += outcomes[filled]
                if group[0] == 0:
                    self.in_stratum[stratum.name] += int(in_bins.sum())

    def _snow(self, chunk: Chunk, pixels: "Selected") -> list[NDArray[np.uint8]]:
        """The reference's snow at each threshold, [n] each."""
        found = [pixels.take(chunk.snow)]
        if chunk.depth_m is not None and len(self.thresholds_m) > 1:
            depth_m = pixels.take(chunk.depth_m)
            found += [(depth_m >= threshold_m).astype(np.uint8) for threshold_m in self.thresholds_m[1:]]
        return found

    def _codes(
        self, chunk: Chunk, pixels: "Selected", names: Sequence[str], snow: NDArray[np.uint8]
    ) -> NDArray[np.intp]:
        """Codes [n]: bit 0 is snow in the reference, the next bits are snow in each product."""
        found: NDArray[np.intp] = snow.astype(np.intp)
        for bit, name in enumerate(names, start=1):
            found |= (pixels.take(chunk.share[name]) >= MOSTLY_SNOW).astype(np.intp) << bit
        return found


@dataclass(frozen=True)
class Selected:
    """Some pixels of a chunk."""

    mask: Bools
    """[H, W]"""
    _places: NDArray[np.intp]
    """[n], flat indices of these pixels; repeated indexing is faster than with the mask"""

    @classmethod
    def of(cls, mask: Bools) -> "Selected":
        """The pixels where `mask` [H, W] is true."""
        return cls(mask, np.flatnonzero(mask))

    @property
    def pixels(self) -> int:
        return int(self._places.size)

    def take(self, values: NDArray[Any]) -> NDArray[Any]:
        """[H, W] -> [n], the values of these pixels."""
        return values.ravel() if self.pixels == values.size else values.ravel()[self._places]


@dataclass(frozen=True)
class _LocalBlocks:
    """The few blocks of one chunk, numbered from 0."""

    numbers: NDArray[np.intp]
    """[n], numbers of the blocks in the reference"""
    _block: NDArray[np.intp]
    """[H, W], local number of each pixel's block"""

    @classmethod
    def of(cls, block: NDArray[np.int32]) -> "_LocalBlocks":
        first = int(block.min())
        is_present = np.bincount((block - first).ravel()) > 0
        return cls(np.flatnonzero(is_present) + first, (np.cumsum(is_present) - 1)[block - first])

    def local(self, pixels: Selected) -> NDArray[np.intp]:
        return pixels.take(self._block)


def _by_ground(
    blocks: _LocalBlocks, chunk: Chunk, pixels: Selected, pixel_codes: NDArray[np.intp], products: int
) -> Counts:
    """[local blocks, unseen or trained, products, 4]"""
    codes, count = 2 ** (products + 1), len(blocks.numbers)
    place = 2 * blocks.local(pixels)
    if chunk.trained.any():
        place += pixels.take(chunk.trained)
    found = np.bincount(place * codes + pixel_codes, minlength=2 * count * codes).reshape(-1, codes)
    return (found @ _outcomes(products)).reshape(count, 2, products, 4)


def _groups(products: Sequence[str]) -> list[list[int]]:
    numbers = list(range(len(products)))
    return [numbers[start : start + AT_ONCE] for start in range(0, len(numbers), AT_ONCE)]


def _outcomes(products: int) -> Counts:
    """[codes, products * 4], 1 if a code is a product's tp, fp, fn or tn."""
    codes = np.arange(2 ** (products + 1))
    snow, mapped = codes & 1 == 1, [codes >> bit & 1 == 1 for bit in range(1, products + 1)]
    cells = [
        cell
        for is_mapped in mapped
        for cell in (snow & is_mapped, ~snow & is_mapped, snow & ~is_mapped, ~snow & ~is_mapped)
    ]
    return np.stack(cells, axis=1).astype(np.int64)
