"""The maps that a command makes: one per scene, or one per date."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date

from snowcover.data.dates import date_in
from snowcover.errors import UserError
from snowcover.predict.config import Config
from snowcover.predict.geotiff_scene import GeoTiffScene
from snowcover.predict.scenes import ListedScene
from snowcover.predict.tile_scene import TileScene
from snowcover.prepare import imagery

Scene = GeoTiffScene | TileScene


class NoDate(UserError):
    """mosaic=date needs a date in the names of scenes."""


@dataclass(frozen=True)
class Product:
    """A map to make."""

    name: str
    scenes: tuple[ListedScene, ...]


def products(config: Config, scenes: Sequence[ListedScene]) -> list[Product]:
    """Raises: NoDate"""
    if config.mosaic is None:
        return [Product(scene.name, (scene,)) for scene in scenes]
    by_date: dict[str, list[ListedScene]] = {}
    for scene in scenes:
        by_date.setdefault(_date(scene), []).append(scene)
    return [Product(day, tuple(by_date[day])) for day in sorted(by_date)]


def _date(scene: ListedScene) -> str:
    found = date_in(scene.name)
    with suppress(ValueError):
        date.fromisoformat(found)
        return found
    raise NoDate(f"mosaic=date: {scene.uri} has no date (YYYYMMDD) in its name: rename it, or leave mosaic out.")


def open_scene(config: Config, scene: ListedScene, scratch: str) -> Scene:
    """Read the metadata of a scene; a GeoTIFF in S3 is first copied to `scratch`, tiles are read where they are.

    Raises: UserError, naming the scene.
    """
    if scene.folder is not None:
        return TileScene(scene.folder, config.nodata)
    return GeoTiffScene(imagery.inspect(config, scene.uri, scratch))
