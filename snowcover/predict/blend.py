"""Blends windows into a seamless mosaic; each pixel is finished as soon as its last window arrives."""

import numpy as np

from snowcover.predict.plan import Layout
from snowcover.prepare.reprojection import Array


def weights(layout: Layout) -> Array:
    """Weights [support_px, support_px] float32 that add up to 1 over all windows (raised cosine, Hann)."""
    rising = np.sin(np.pi / 2 * (np.arange(2 * layout.ramp_px) + 0.5) / (2 * layout.ramp_px)) ** 2
    along: Array = np.ones(layout.support_px)
    if layout.ramp_px:
        along[: rising.size], along[-rising.size :] = rising, rising[::-1]
    return np.outer(along, along).astype(np.float32)


class Blender:
    """Takes windows row by row, left to right, and returns for each the block of the mosaic that it completes.

    The block has the core's size and lies `ramp_px` above and left of it. The rest of the window, to the right and
    below, is kept for later windows: one strip of twice `ramp_px` per row, so that memory hardly grows with the scene.
    """

    def __init__(self, layout: Layout) -> None:
        self._stride, self._tail = layout.stride_px, 2 * layout.ramp_px
        self._weights = weights(layout)
        self._row: int | None = None
        self._right: Array | None = None
        self._below: dict[int, Array] = {}

    def add(self, row: int, column: int, prediction: Array | None) -> Array | None:
        """The completed block [K, stride_px, stride_px]; None if no window covers it.

        Args:
            prediction: [K, support_px, support_px]; None for a window that was not mapped.
        """
        if row != self._row:
            self._row, self._right = row, None
        left, above = self._right, self._below.pop(column, None)
        self._right = None
        if prediction is None and left is None and above is None:
            return None
        strip = self._strip(prediction, left, above)
        if self._tail:
            self._below[column] = strip[:, self._stride :].copy()
            if above is not None:
                strip[:, : self._tail] += above
        return np.ascontiguousarray(strip[:, : self._stride])

    def _strip(self, prediction: Array | None, left: Array | None, above: Array | None) -> Array:
        """[K, support_px, stride_px]: this window and the one before it."""
        if prediction is None:
            like = above if left is None else left
            assert like is not None
            strip: Array = np.zeros((len(like), self._stride + self._tail, self._stride), np.float32)
        else:
            weighted = prediction * self._weights
            strip = weighted[..., : self._stride]
            self._right = weighted[..., self._stride :] if self._tail else None
        if left is not None:
            strip[..., : self._tail] += left
        return strip
