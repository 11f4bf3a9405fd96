"""Makes one map: rasters and preview first, and last the STAC item, which marks it complete."""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from snowcover import storage
from snowcover.errors import UserError
from snowcover.predict import facts, grids, mosaic, preview, stac
from snowcover.predict.config import Config
from snowcover.predict.existing import ExistingMap, stale
from snowcover.predict.facts import MapFacts, Settings, SourceFacts
from snowcover.predict.mapping import OutputGrid, Rows, SceneSource, WindowCount, count_windows, map_scene
from snowcover.predict.products import Product, Scene, open_scene
from snowcover.predict.raster_files import Kind, cloud_optimised, raster_writer
from snowcover.predict.scenes import ListedScene
from snowcover.predict.stac import AssetFile
from snowcover.predict.table import CompleteMap
from snowcover.storage import StorageError
from snowcover.trained_model import TrainedModel

PREVIEW = "preview.png"
FLIPS = {"none": 1, "d4": 8}


class CannotWriteMap(UserError):
    """`out` cannot be written to, which affects all maps."""


@dataclass(frozen=True)
class Mapper:
    """Everything that the maps of one command share."""

    config: Config
    models: tuple[TrainedModel, ...]
    threshold: float
    settings: Settings
    like: OutputGrid | None
    software: str

    @property
    def has_spread(self) -> bool:
        return len(self.models) * FLIPS[self.config.tta] > 1

    @property
    def out(self) -> str:
        return self.config.out.rstrip("/")

    def open(self, product: Product, scratch: Path) -> "OpenedProduct":
        """Read the metadata of a map's scenes.

        Raises: UserError, naming the scene.
        """
        opened: list[Scene] = []
        for number, scene in enumerate(product.scenes):
            folder = scratch / str(number)  # separate, because UDMs of two scenes may have the same name
            folder.mkdir()
            opened.append(open_scene(self.config, scene, str(folder)))
        for source in opened:
            for model in self.models:
                source.conversion(model)  # refuses a scene without the network's bands
        return OpenedProduct(product, tuple(opened), self._grid(opened))

    def _grid(self, opened: Sequence[SceneSource]) -> OutputGrid:
        if self.like is not None:
            return self.like
        if self.config.grid == "training":
            return grids.training_grid(opened, self.models)
        return grids.own_grid(opened[0]) if len(opened) == 1 else grids.joined_grid(opened)

    def rows(self, product: "OpenedProduct", scratch: Path, on_window: Callable[[int], None]) -> Iterator[Rows]:
        """The map's rows, top to bottom.

        Raises: UserError
        """
        map_one = partial(
            map_scene, models=self.models, tta=self.config.tta, device=self.config.device, on_window=on_window
        )
        if len(product.opened) == 1:
            return map_one(product.opened[0], product.grid)
        return mosaic.mosaic_rows(product.opened, product.grid, map_one, scratch)

    def count(self, product: "OpenedProduct") -> WindowCount:
        """The amount of work to map a product."""
        parts = [(source, product.grid) for source in product.opened]
        if len(parts) > 1:
            parts = [(source, grids.part_of(product.grid, source)[2]) for source in product.opened]
        counts = [
            count_windows(source, grid, self.models, self.config.tta)
            for source, grid in parts
            if grid.width and grid.height
        ]
        return WindowCount(sum(count.windows for count in counts), max((count.members for count in counts), default=1))


@dataclass(frozen=True)
class OpenedProduct:
    """A map with the metadata of its scenes."""

    product: Product
    opened: tuple[Scene, ...]
    grid: OutputGrid


def make(
    mapper: Mapper,
    product: OpenedProduct,
    replaced: ExistingMap | None,
    scratch: Path,
    on_window: Callable[[int], None],
) -> tuple[CompleteMap, Path]:
    """Make a map; also returns the path of its preview in `scratch`, named after the map.

    Args:
        replaced: the map that this one replaces.

    Raises:
        CannotWriteMap, DiskFull
        UserError: what is wrong with a scene.
    """
    started = time.monotonic()
    name = product.product.name
    with raster_writer(scratch, product.grid, mapper.threshold, mapper.has_spread) as writer:
        for rows in mapper.rows(product, scratch, on_window):
            writer.add(rows)
        sources = tuple(map(_source_facts, product.product.scenes, product.opened))
        found = MapFacts(
            name,
            sources,
            mapper.models,
            mapper.settings,
            mapper.threshold,
            product.grid,
            writer.totals,
            mapper.software,
        )
        writer.finish(facts.tags(found))
    files = {kind: cloud_optimised(scratch, kind) for kind in writer.files}
    picture = _draw(mapper, product, files["snow"], found, scratch)
    folder = f"{mapper.out}/{name}"
    with _errors_for(mapper.out):
        _store(folder, name, found, files, picture, replaced)
    return CompleteMap(name, folder, found.totals, time.monotonic() - started), picture


def _source_facts(listed: ListedScene, opened: Scene) -> SourceFacts:
    checksum = opened.imagery.raster.crc32 if listed.folder is None else listed.checksum()  # type: ignore[union-attr]
    return SourceFacts(listed.uri.rsplit("/", 1)[-1], listed.size_bytes, checksum or 0)


def _draw(mapper: Mapper, product: OpenedProduct, snow: Path, found: MapFacts, scratch: Path) -> Path:
    grid = preview.picture_grid(product.grid)
    colours = None
    for source in product.opened:
        own = source.thumbnail(mapper.models[0].bands).on(product.grid.crs, grid.transform, grid.width, grid.height)
        colours = own if colours is None else preview.fill_gaps(colours, own)
    assert colours is not None
    path = scratch / f"{found.name}.png"
    storage.write(str(path), preview.png(found.name, colours, preview.read_classes(snow, grid), grid, found.totals))
    return path


def _store(
    folder: str, name: str, found: MapFacts, files: dict[Kind, Path], picture: Path, replaced: ExistingMap | None
) -> None:
    """Write the files to `out`: an old item is deleted first, and the new one is written last."""
    item_uri = f"{folder}/{name}.json"
    if replaced is not None:
        storage.delete(item_uri)
    names = {kind: f"{name}_{kind}.tif" for kind in files}
    for kind, path in files.items():
        storage.upload(str(path), f"{folder}/{names[kind]}")
    storage.upload(str(picture), f"{folder}/{PREVIEW}")
    for uri in [] if replaced is None else stale(replaced, [*names.values(), PREVIEW]):
        storage.delete(uri)
    rasters = {kind: _asset(path, names[kind]) for kind, path in files.items()}
    hrefs = [_href(model.checkpoint_uri, folder) for model in found.models]
    storage.write(item_uri, stac.item(found, rasters, _asset(picture, PREVIEW), hrefs))


def _asset(path: Path, name: str) -> AssetFile:
    with path.open("rb") as file:
        return AssetFile(f"./{name}", path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _href(uri: str, folder: str) -> str:
    """The link from the map's folder to a checkpoint."""
    if ":/" in uri:
        return uri
    return os.path.abspath(uri) if storage.is_remote(folder) else os.path.relpath(uri, folder)


@contextlib.contextmanager
def _errors_for(out: str) -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        raise CannotWriteMap(f"out={out}: {str(error).rstrip('.')}.") from error
