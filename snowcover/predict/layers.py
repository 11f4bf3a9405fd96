"""The layers of a scene's windows, read from tiles: windows lie on the grid of the training's tiles."""

import logging
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np

from snowcover.data import geotiff
from snowcover.data.layers import LayerReader, NoLayer
from snowcover.predict.plan import Plan
from snowcover.predict.windows import Window
from snowcover.prepare.reprojection import Array

log = logging.getLogger(__name__)


def reader_of(places: Mapping[str, str]) -> LayerReader | None:
    """The reader of the layers in these folders, listed once for all scenes of a command; None without layers.

    Raises: NoLayer, TileTwice, FolderDiffers, BadIndex, StorageError
    """
    return _reader(tuple(places.items()))


@lru_cache(maxsize=16)
def _reader(places: tuple[tuple[str, str], ...]) -> LayerReader | None:
    return LayerReader.of(dict(places))


class WindowLayers:
    """Reads the layers of one scene's windows."""

    def __init__(self, reader: LayerReader, plan: Plan, scene: str) -> None:
        """Args: scene: its name, which contains its acquisition time."""
        self._reader, self._plan, self._scene = reader, plan, scene
        self._cache: OrderedDict[tuple[int, int], Array] = OrderedDict()

    def check(self) -> None:
        """Warn if the layers do not cover all of the scene; refuse layers that cover none of it.

        Raises: NoLayer, NoTime
        """
        self._reader.check_time(self._scene)
        reached = [self._reader.reaches(self._plan.tile(*place)) for place in self._plan.tiles()]
        if not any(reached):
            places = ", ".join(f"{name}: {place}" for name, place in self._reader.places.items())
            raise NoLayer(
                f"None of the layers' tiles overlaps {self._scene} ({places}): make layers of its ground (python -m "
                "snowcover.prepare layer=...), and give them as layers={...}."
            )
        if missing := reached.count(False):
            log.warning(
                "%s: the layers do not cover %d of the %d tiles that it touches: there the network sees their mean.",
                self._scene, missing, len(reached),
            )  # fmt: skip

    def with_layers(self, windows: Iterator[Window]) -> Iterator[Window]:
        """The windows with their layers.

        Raises: what `LayerReader.read` raises.
        """
        for window in windows:
            yield window if window.raw is None else replace(window, layers=self._of(window))

    def _of(self, window: Window) -> Array:
        how, size = self._plan.layout, self._plan.tile_size
        left, top = (edge - how.context_px for edge in self._plan.core(window.row, window.column))
        rows, columns = (range(low // size, -(-(low + how.window_px) // size)) for low in (top, left))
        tiles = [[self._tile(row, column, 2 * len(rows) * len(columns)) for column in columns] for row in rows]
        whole: Array = np.block(tiles)  # [L, ...], along the last two axes
        down, right = top - rows.start * size, left - columns.start * size
        return np.ascontiguousarray(whole[:, down : down + how.window_px, right : right + how.window_px])

    def _tile(self, row: int, column: int, most: int) -> Array:
        if (row, column) not in self._cache:
            side = self._plan.tile_size
            with geotiff.environment():
                found = self._reader.read(self._scene, self._plan.tile(row, column), (side, side))
            self._cache[row, column] = found
            if len(self._cache) > most:
                self._cache.popitem(last=False)
        return self._cache[row, column]
