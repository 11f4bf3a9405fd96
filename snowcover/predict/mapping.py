"""One scene mapped by one or several networks: bands of rows of the output grid, top to bottom."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from affine import Affine
from rasterio.crs import CRS

from snowcover.prepare.positions import Array, Floats, Grid
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

    Args:
        device: auto (all GPUs of this machine, else its CPU), cpu, gpu or mps.
        on_window: told how many more windows are done.

    Raises:
        UserError: what the source raises while it is read.
    """
    raise NotImplementedError


def count_windows(source: SceneSource, output: OutputGrid, models: Sequence[TrainedModel], tta: Tta) -> WindowCount:
    """What `map_scene` will do, without reading a pixel."""
    raise NotImplementedError
