"""One scene mapped by one or several networks: bands of rows of the output grid, top to bottom."""

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
    """A band of whole rows of the output grid; they come top to bottom, without gaps or overlaps."""

    row: int
    """the first one"""
    probability: Array
    """[H, W] float32, NaN where unobserved"""
    spread: Array | None
    """[H, W] float32, standard deviation over the members (models x flips), NaN where unobserved; None of one member"""


@dataclass(frozen=True)
class WindowCount:
    """How much there is to do, before any pixel is read: windows that touch the scene, observed there or not."""

    windows: int
    """of all models, as `on_window` counts them; those without an observed pixel are counted, too"""
    members: int
    """models x flips: how often the network sees each place"""


class SceneSource(Protocol):
    """A scene as the mapping reads it; safe to share between threads."""

    @property
    def name(self) -> str: ...
    @property
    def grid(self) -> Grid: ...

    def open(self, bands: Sequence[str]) -> AbstractContextManager[Source]:
        """The scene for one thread, its bands [C] those named: stored numbers, nodata and the UDM hidden.

        Raises: UserError
        """
        ...

    def conversion(self, model: TrainedModel) -> tuple[Floats, Floats] | None:
        """Per band of the model, the factor and summand that make its stored numbers those the model was trained on.

        None where they are these already.
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
    """The mean probability of the models, and their spread where there is more than one member.

    Where the map's grid is the scene's own, it is observed exactly where the scene is; in any other grid where at least
    half of a pixel is. The spread is that of the members in the network's own grid, averaged like the probability;
    between models of different grids that of their means comes to it.

    Args:
        device: auto (all GPUs of this machine, of several each in a process of its own; else its CPU), cpu, gpu or mps.
        on_window: told, by a thread, how many more windows are done.

    Raises:
        UserError: what the source raises while it is read.
    """
    grid = Grid(output.crs, output.transform, output.width, output.height)
    found = groups_of(source, models, tta == "d4")
    parts = [map_group(source, grid, group, devices(device), on_window or _nobody) for group in found]
    try:
        for row, bands in _together(parts, grid):
            yield Rows(row, *_joined(found, bands))
    finally:
        for part in parts:
            part.close()  # type: ignore[attr-defined]


def count_windows(source: SceneSource, output: OutputGrid, models: Sequence[TrainedModel], tta: Tta) -> WindowCount:
    """What `map_scene` will do, without reading a pixel."""
    found = groups_of(source, models, tta == "d4")
    windows = sum(group.window_count * len(group.models) for group in found)
    return WindowCount(windows, len(models) * (len(D4) if tta == "d4" else 1))


def _nobody(windows: int) -> None: ...


def _together(parts: Sequence[Iterator[tuple[int, Array]]], grid: Grid) -> Iterator[tuple[int, list[Array]]]:
    """Bands of the groups cut to the same rows: their grids differ, and so may the heights of their bands."""
    held = [(0, np.empty((1, 0, grid.width), np.float32)) for _ in parts]
    row = 0
    while row < grid.height:
        for index, (start, band) in enumerate(held):
            if row >= start + band.shape[1]:
                held[index] = next(parts[index])
        end = min(start + band.shape[1] for start, band in held)
        yield row, [band[:, row - start : end - start] for start, band in held]
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
