"""Maps one scene with one or several networks: yields bands of rows of the output grid, top to bottom."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from snowcover.predict.group import Group, groups_of, map_group
from snowcover.predict.members import D4, devices
from snowcover.prepare.reprojection import Array, Floats, Grid
from snowcover.prepare.warp import Source
from snowcover.trained_model import TrainedModel

Tta = Literal["none", "d4"]


@dataclass(frozen=True)
class OutputGrid:
    """The grid of a map: `transform` takes (column, row) to `crs`."""

    crs: CRS
    transform: Affine
    width: int
    height: int


@dataclass(frozen=True)
class Rows:
    """A band of whole rows of the output grid; yielded top to bottom, without gaps or overlaps."""

    row: int
    """the first one"""
    probability: Array
    """[H, W] float32, NaN where unobserved"""
    spread: Array | None
    """[H, W] float32, standard deviation over the members (models x flips), NaN where unobserved; None for one"""


@dataclass(frozen=True)
class WindowCount:
    """The amount of work, known before any pixel is read."""

    windows: int
    """over all models, as `on_window` counts them; includes windows without an observed pixel"""
    members: int
    """models x flips: how often each place is mapped"""


class SceneSource(Protocol):
    """A scene as input of the mapping; threads may share it."""

    @property
    def name(self) -> str: ...
    @property
    def grid(self) -> Grid: ...

    def open(self, bands: Sequence[str]) -> AbstractContextManager[Source]:
        """The scene for one thread, with the named bands [C]: stored numbers, nodata and UDM masked.

        Raises: UserError
        """
        ...

    def conversion(self, model: TrainedModel) -> tuple[Floats, Floats] | None:
        """Per band of the model, factor and summand that convert the scene's stored numbers to the training's.

        None if they are the same.
        """
        ...


def map_scene(
    source: SceneSource,
    output: OutputGrid,
    models: Sequence[TrainedModel],
    *,
    tta: Tta = "none",
    device: str = "auto",
    on_window: Callable[[int], None] | None = None,
) -> Iterator[Rows]:
    """The mean probability of the models and, with more than one member, their spread.

    In the scene's own grid, the map is observed exactly where the scene is; in another grid, where at least half of a
    pixel is. The spread is that of the members in the network's own grid, averaged like the probability; between models
    of different grids, the spread of their means is added.

    Args:
        device: auto (all GPUs, each in its own process if there are several; else the CPU), cpu, gpu or mps.
        on_window: called from a thread with the number of windows just finished.

    Raises:
        UserError: what the source raises while it is read.
    """
    grid = Grid(output.crs, output.transform, output.width, output.height)
    found = groups_of(source, models, tta == "d4")
    parts = [map_group(source, grid, group, devices(device), on_window or _ignore) for group in found]
    try:
        for row, bands in _together(parts, grid):
            yield Rows(row, *_joined(found, bands))
    finally:
        for part in parts:
            part.close()  # type: ignore[attr-defined]


def count_windows(source: SceneSource, output: OutputGrid, models: Sequence[TrainedModel], tta: Tta) -> WindowCount:
    """The amount of work of `map_scene`, without reading a pixel."""
    found = groups_of(source, models, tta == "d4")
    windows = sum(group.window_count * len(group.models) for group in found)
    return WindowCount(windows, len(models) * (len(D4) if tta == "d4" else 1))


def _ignore(windows: int) -> None: ...


def _together(parts: Sequence[Iterator[tuple[int, Array]]], grid: Grid) -> Iterator[tuple[int, list[Array]]]:
    """Bands of all groups cut to the same rows, for the heights of their bands may differ."""
    current = [(0, np.empty((1, 0, grid.width), np.float32)) for _ in parts]
    row = 0
    while row < grid.height:
        for index, (start, band) in enumerate(current):
            if row >= start + band.shape[1]:
                current[index] = next(parts[index])
        end = min(start + band.shape[1] for start, band in current)
        yield row, [band[:, row - start : end - start] for start, band in current]
        row = end


def _joined(groups: Sequence[Group], bands: Sequence[Array]) -> tuple[Array, Array | None]:
    """Mean and spread over all members, by the law of total variance where the groups differ."""
    if len(groups) == 1:
        return bands[0][0], bands[0][1] if len(bands[0]) > 1 else None
    shares = np.array([group.members for group in groups], np.float32) / sum(group.members for group in groups)
    mean = sum(share * band[0] for share, band in zip(shares, bands, strict=True))
    variance = sum(
        share * ((band[0] - mean) ** 2 + (band[1] ** 2 if len(band) > 1 else 0))
        for share, band in zip(shares, bands, strict=True)
    )
    return mean, np.sqrt(variance)
