"""Where a scene is observed, read once per row of its blocks for all bands of rows of the map within it."""

import threading

import numpy as np
from rasterio.windows import Window

from snowcover.predict.resample import Part
from snowcover.prepare.reprojection import Array
from snowcover.prepare.warp import Source

BLOCK_ROWS = 512  # of cloud-optimised files and many others, whose blocks are decompressed whole


class ObservedMask:
    """For a map in the scene's own grid; any thread may call it, bands come top to bottom."""

    def __init__(self, height: int) -> None:
        self._height = height
        self._known: dict[tuple[int, int, int], Array] = {}  # by row of blocks, and columns
        self._lock = threading.Lock()

    def of(self, source: Source, part: Part) -> Array:
        """[H, W] bool of a part; read from this thread's source if no thread has read it yet."""
        first, last = part.rows.start // BLOCK_ROWS, (part.rows.stop - 1) // BLOCK_ROWS
        blocks = [self._block(source, block, part.columns) for block in range(first, last + 1)]
        start = part.rows.start - first * BLOCK_ROWS
        packed = np.concatenate(blocks)[start : start + len(part.rows)]
        return np.unpackbits(packed, axis=1, count=len(part.columns)).view(bool)

    def _block(self, source: Source, block: int, columns: range) -> Array:
        """[h, W / 8] uint8, one bit per pixel."""
        key = block, columns.start, columns.stop
        with self._lock:
            packed = self._known.get(key)
            if packed is None:
                top = block * BLOCK_ROWS
                height = min(BLOCK_ROWS, self._height - top)
                _, valid = source.read(Window(columns.start, top, len(columns), height))
                packed = self._known[key] = np.packbits(valid == 1, axis=1)
                for old in [known for known in self._known if known[0] < block - 1]:  # of bands finished long ago
                    del self._known[old]
            return packed
