"""The ground that the maps' networks were trained on, from their runs' splits and manifests."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from rasterio.windows import Window

from snowcover.data.config import Split
from snowcover.data.manifest import Pair, from_csv
from snowcover.data.split import assign_splits
from snowcover.data.tiles import HALF_WORLD_M, Tile, ancestor
from snowcover.errors import UserError, first_line
from snowcover.evaluate.align import Alignment
from snowcover.prepare.reprojection import WEB_MERCATOR, Array, Grid
from snowcover.validation import checked

SEEN = ("train", "val")  # val tiles chose a run's epoch, so that scores on them are biased


@dataclass(frozen=True)
class Cells:
    """Squares of ground: tiles of a zoom, or blocks of them."""

    zoom: int
    tiles: int
    """along the side of a square"""
    squares: frozenset[tuple[int, int]]
    """x and y of each"""

    def grid(self) -> tuple[Grid, Array]:
        """The squares as pixels of a raster [h, w] bool, and its grid."""
        xs, ys = np.array(sorted(self.squares)).T
        side_m = 2 * HALF_WORLD_M / (1 << self.zoom) * self.tiles
        left, top = xs.min(), ys.min()
        trained: Array = np.zeros((ys.max() - top + 1, xs.max() - left + 1), bool)
        trained[ys - top, xs - left] = True
        place = Affine(side_m, 0, left * side_m - HALF_WORLD_M, 0, -side_m, HALF_WORLD_M - top * side_m)
        return Grid(WEB_MERCATOR, place, trained.shape[1], trained.shape[0]), trained


class TrainedGround:
    """The ground in the reference's grid that a network was trained on."""

    def __init__(self, reference: Grid, cells: Iterable[Cells]) -> None:
        self._parts = [
            (Alignment(grid, reference), trained) for grid, trained in (part.grid() for part in cells if part.squares)
        ]

    def of(self, window: Window) -> Array:
        """[H, W] bool: pixels whose centres lie on trained ground."""
        columns, rows = window.col_off + np.arange(window.width) + 0.5, window.row_off + np.arange(window.height) + 0.5
        found: Array = np.zeros((window.height, window.width), bool)
        for alignment, trained in self._parts:
            x, y = (np.nan_to_num(np.floor(places), nan=-1, posinf=-1, neginf=-1).astype(np.intp)
                    for places in alignment.at(columns, rows))  # fmt: skip
            inside = (x >= 0) & (x < trained.shape[1]) & (y >= 0) & (y < trained.shape[0])
            found |= inside & trained[np.where(inside, y, 0), np.where(inside, x, 0)]
        return found


def splits_of_run(pairs: Sequence[Pair], config: Mapping[str, Any]) -> tuple[Split, list[str]]:
    """A run's split settings and the split of each pair, from its recorded config."""
    split = checked(Split, config["data"]["split"])
    return split, assign_splits(pairs, split, int(config["seed"]))


def trained_cells(manifest: str, config: Mapping[str, Any]) -> Cells:
    """The squares of ground that a run has seen: whole blocks if it was split by block, else its tiles.

    Args:
        manifest: the run's manifest as CSV; config: its config, as it was recorded.
    """
    pairs = from_csv(manifest, "the run's manifest").pairs
    split, splits = splits_of_run(pairs, config)
    tiles = [pair.tile for pair, split_name in zip(pairs, splits, strict=True) if split_name in SEEN]
    zoom = min(pair.z for pair in pairs)
    block = split.block_tiles if split.by == "block" else 1
    return Cells(zoom, block, frozenset(_square(tile, zoom, block) for tile in tiles))


def _square(tile: Tile, zoom: int, block_tiles: int) -> tuple[int, int]:
    ground = ancestor(tile, zoom)
    return ground.x // block_tiles, ground.y // block_tiles


def find_trained(runs: Sequence[str], tracking_uri: str | None) -> tuple[list[Cells], list[str]]:
    """The ground that the runs have seen, and a note for each run whose record is unavailable."""
    from snowcover.tracking.fetch_model import fetch_tiles

    found, notes = [], []
    for run in runs:
        try:
            manifest, config = fetch_tiles(run, tracking_uri)
            found.append(trained_cells(manifest, config))
        except UserError as error:
            notes.append(f"The ground that run {run} was trained on is unknown, so it is included: {first_line(error)}")
    return found, notes
