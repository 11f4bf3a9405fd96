"""Products: the snow maps to evaluate, each of one or several rasters in any grid."""

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from rasterio.windows import Window

from snowcover.data.dates import date_in, days_apart
from snowcover.errors import UserError
from snowcover.evaluate.align import Alignment, Read, aligned, nothing
from snowcover.evaluate.config import Config
from snowcover.evaluate.map_values import MapValues, recognise
from snowcover.evaluate.rasters import RasterFile, inspect_raster
from snowcover.prepare.reprojection import Array, Grid
from snowcover.prepare.sources import matching

_KIND_IN_NAME = re.compile(r"_(snow|probability)$")
RUN_TAG = "SNOWCOVER_RUN_ID"


class MixedProducts(UserError):
    """The maps of a product are of several kinds, or two products have one name."""


@dataclass(frozen=True)
class MapFile:
    """One raster of a product."""

    file: RasterFile
    values: MapValues
    alignment: Alignment
    """with the reference"""

    @property
    def scene(self) -> str:
        return _KIND_IN_NAME.sub("", self.file.name)

    @property
    def date(self) -> str:
        """YYYYMMDD, or an empty string"""
        return date_in(self.file.name)

    @cached_property
    def reach(self) -> Window | None:
        """The window of the reference that the map may touch; None if it touches none."""
        return Alignment(self.alignment.target, self.file.grid).reach()

    def touches(self, window: Window) -> bool:
        """Whether the map may have pixels in a window of the reference."""
        reach = self.reach
        return reach is not None and (
            reach.col_off < window.col_off + window.width and window.col_off < reach.col_off + reach.width
            and reach.row_off < window.row_off + window.height and window.row_off < reach.row_off + reach.height
        )  # fmt: skip


@dataclass(frozen=True)
class Product:
    """A map to evaluate."""

    name: str
    files: tuple[MapFile, ...]
    """sorted by time difference to the reference: where maps overlap, the first one counts"""

    @property
    def values(self) -> MapValues:
        return self.files[0].values

    @property
    def is_coarser(self) -> bool:
        return not self.files[0].alignment.is_finer

    @property
    def runs(self) -> tuple[str, ...]:
        """Ids of the training runs behind the map, from its tags."""
        tags = [map_file.file.tags.get(RUN_TAG, "") for map_file in self.files]
        return tuple(dict.fromkeys(run for runs in tags for run in runs.split(", ") if run))

    @contextmanager
    def opened(self) -> Iterator["OpenProduct"]:
        """The product for one thread; its files are closed at the end of the block."""
        with ExitStack() as stack:
            yield OpenProduct(self, stack)


class OpenProduct:
    """A product that a thread reads from; its files are opened when they are first needed."""

    def __init__(self, product: Product, stack: ExitStack) -> None:
        self._product, self._stack = product, stack
        self._reads: dict[int, Read] = {}

    def read(self, window: Window) -> tuple[Array, Array]:
        """Layers [L, H, W] float32 (snow share; for probabilities also their mean), NaN where unobserved, and the
        number of each pixel's file, [H, W] int16, -1 for none.

        Raises: BrokenRaster
        """
        found = nothing(self._product.values.layers, window.height, window.width)
        of_file: Array = np.full(found.shape[1:], -1, np.int16)
        for number, map_file in enumerate(self._product.files):
            if not map_file.touches(window):
                continue
            layers = aligned(self._opened(number, map_file), map_file.alignment, window, map_file.values.layers)
            new = np.isfinite(layers[0]) & (of_file < 0)
            if new.all():
                return layers, np.full(of_file.shape, number, np.int16)
            np.copyto(found, layers, where=new)
            of_file[new] = number
        return found, of_file

    def _opened(self, number: int, map_file: MapFile) -> Read:
        if number not in self._reads:
            file = self._stack.enter_context(map_file.file.opened())

            def read(window: Window) -> tuple[Array, Array]:
                return map_file.values.converted(*file.read(window))

            self._reads[number] = read
        return self._reads[number]


def read_products(config: Config, reference: Grid, reference_date: str, scratch: str) -> tuple[Product, ...]:
    """The maps that the config names, with their metadata.

    Raises:
        MixedProducts, NotASnowMap
        UserError: what `matching` and `inspect_raster` raise.
    """
    found: list[Product] = []
    for name, uris in _named(config.maps):
        files = [
            _map_file(uri, config, reference, str(Path(scratch) / f"{len(found)}_{number}"))
            for number, uri in enumerate(uris)
        ]
        _refuse_mixture(name, files)
        files.sort(key=lambda map_file: (_gap(map_file.date, reference_date), map_file.file.uri))
        found.append(Product(name, tuple(files)))
    return tuple(found)


def _gap(date: str, other: str) -> int:
    days = days_apart(date, other)
    return 10**6 if days is None else days


def _map_file(uri: str, config: Config, reference: Grid, scratch: str) -> MapFile:
    file = inspect_raster(uri, scratch, config.crs)
    return MapFile(file, recognise(file), Alignment(file.grid, reference))


def _named(maps: str | list[str] | dict[str, str | list[str]] | None) -> list[tuple[str, list[str]]]:
    """Names and uris of products. One pattern is one product; in a list each entry is one."""
    assert maps is not None
    if isinstance(maps, dict):
        return [(name, _uris(f"maps.{name}", [given] if isinstance(given, str) else given))
                for name, given in maps.items()]  # fmt: skip
    if isinstance(maps, str):
        uris = _uris("maps", [maps])
        return [(_name(uris) if len(uris) == 1 else "map", uris)]
    each = [_uris("maps", [given]) for given in maps]
    names = [_name(uris) for uris in each]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise MixedProducts(f"maps has two products called {twice[0]}: name them, maps={{first: FILE, second: FILE}}.")
    return list(zip(names, each, strict=True))


def _uris(key: str, patterns: Sequence[str]) -> list[str]:
    return sorted({file.uri for pattern in patterns for file in matching(pattern, key)})


def _name(uris: Sequence[str]) -> str:
    return re.sub(r"\.\w+$", "", uris[0].rsplit("/", 1)[-1])


def _refuse_mixture(name: str, files: Sequence[MapFile]) -> None:
    kinds = {map_file.values.kind: map_file.file.uri for map_file in files}
    if len(kinds) > 1:
        (kind, uri), (other, another) = list(kinds.items())[:2]
        raise MixedProducts(
            f"maps of one product, {name}, are of {kind} ({uri}) and of {other} ({another}): give one kind, for "
            "example maps=maps/*/*_probability.tif."
        )
