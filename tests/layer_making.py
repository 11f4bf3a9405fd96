"""Layer tiles for the tests: a plane, or what is asked for, below the tiles of a site."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from snowcover.data.layer_names import TERRAIN_BANDS
from snowcover.data.tiles import Tile, parse
from tests.making import write_tile

Array = np.ndarray[Any, Any]
TIMED = ("20180528_181110_a", "20180528_201112_b")  # scenes whose time is known


def tiles_of(site: Path) -> list[Tile]:
    """The ground of a site."""
    masks = site / "masks/ASO_20180528"
    found = (parse(str(file.relative_to(masks))) for file in masks.rglob("*.tif"))
    return sorted(tile for tile in found if tile is not None)


def terrain(tile: Tile, size: int = 64) -> Array:
    """[4, size, size]: an elevation that differs from tile to tile, and a slope that faces east or south."""
    rows, columns = np.mgrid[:size, :size]
    east = np.float32(tile.x % 2)
    slope = 10 + 20 * (columns / size)
    return np.stack([
        2000 + 10 * rows + 100 * (tile.y % 5), slope, np.full((size, size), east), np.full((size, size), east - 1),
    ]).astype(np.float32)  # fmt: skip


def write_layer(folder: Path, tiles: Sequence[Tile], size: int = 64, hole: bool = False) -> Path:
    for tile in tiles:
        values = terrain(tile, size)
        if hole:
            values[:, :8, :8] = np.nan
        write_tile(folder, tile, values, np.nan, TERRAIN_BANDS)
    return folder


def layers(folder: Path | str, *names: str) -> str:
    """The override that names layers of one folder."""
    return f"data.layers={{{', '.join(f'{name}: {folder}' for name in names)}}}"
