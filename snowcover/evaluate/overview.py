"""A downsampled overview of the evaluated ground for the report's maps. Pure."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from snowcover.evaluate.chunk import Chunk
from snowcover.evaluate.results import Overview
from snowcover.evaluate.words import REFERENCE
from snowcover.labels import UNOBSERVED

Floats = NDArray[np.float32]


class OverviewSums:
    """Sums of snow and of observed pixels in squares of pixels; chunks start at the edges of squares."""

    def __init__(self, height: int, width: int, square_px: int, products: Sequence[str]) -> None:
        self._square_px = square_px
        size = -(-height // square_px), -(-width // square_px)
        self._snow = {name: np.zeros(size, np.float32) for name in (REFERENCE, *products)}
        self._observed = {name: np.zeros(size, np.float32) for name in self._snow}
        self._counted = np.zeros(size, np.float32)

    def add(self, chunk: Chunk, counted: NDArray[np.bool_]) -> None:
        """Add a chunk; `counted` [H, W] says which of its pixels are scored."""
        reference = np.where(chunk.snow == UNOBSERVED, np.float32(np.nan), chunk.snow.astype(np.float32))
        for name, share in {REFERENCE: reference, **chunk.share}.items():
            known = np.isfinite(share)
            if known.any():
                self._add(self._snow[name], chunk, np.where(known, share, np.float32(0)))
                self._add(self._observed[name], chunk, known.astype(np.float32))
        if counted.any():
            self._add(self._counted, chunk, counted.astype(np.float32))

    def _add(self, target: Floats, chunk: Chunk, values: Floats) -> None:
        side = self._square_px
        top, left = chunk.row // side, chunk.col // side
        sums = values if side == 1 else _sums(values, side)
        target[top : top + len(sums), left : left + sums.shape[1]] += sums

    def overview(self, pixel_m: float) -> Overview:
        """The overview, cropped to observed pixels; pixel_m: ground width of a reference pixel."""
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = {name: self._snow[name] / self._observed[name] for name in self._snow}
        any_known = np.logical_or.reduce([np.isfinite(share) for share in shares.values()])
        rows, columns = (np.flatnonzero(any_known.any(axis=axis)) for axis in (1, 0))
        part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if rows.size else np.s_[:, :]
        cut = {name: share[part] for name, share in shares.items()}
        reference = cut.pop(REFERENCE)
        return Overview(reference, cut, pixel_m * self._square_px, self._counted[part] > 0)


def _sums(values: Floats, side: int) -> Floats:
    """Sums over squares; squares at the lower and right edge may be incomplete."""
    height, width = values.shape
    whole = np.pad(values, ((0, -height % side), (0, -width % side)))
    size = whole.shape[1] // side, whole.shape[0] // side
    return cv2.resize(whole, size, interpolation=cv2.INTER_AREA) * np.float32(side * side)
