"""The story of one command: find scenes and networks, map what is missing, tell what was made."""

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2

from snowcover import machine
from snowcover.data import demo_scene, gdal_warnings
from snowcover.errors import UserError
from snowcover.predict import facts, models, one_map, table
from snowcover.predict.config import Config
from snowcover.predict.existing import ExistingMap, maps_in, refuse_mixture
from snowcover.predict.forecast import log_forecast
from snowcover.predict.grids import grid_like
from snowcover.predict.one_map import CannotWriteMap, Mapper
from snowcover.predict.products import Product, products
from snowcover.predict.progress import progress
from snowcover.predict.record import MapRecord, recording
from snowcover.predict.scenes import DEMO, list_scenes
from snowcover.predict.table import CompleteMap
from snowcover.prepare import raster, work_folders
from snowcover.provenance import commit
from snowcover.signals import stopping_on_signals
from snowcover.storage import DiskFull

log = logging.getLogger(__name__)

NAMED = 10  # scenes without a map


class NoMap(UserError):
    """Of some scenes no map could be made; those of the others were."""


def make_maps(config: Config) -> None:
    """Make the maps that the config asks for, or with dry_run say what that would be.

    Raises:
        UserError
        Stopped: Ctrl-C or SIGTERM; what is complete stays.
    """
    cv2.setNumThreads(1)  # the threads are ours
    machine.configure_process()
    with stopping_on_signals(), raster.settings(), gdal_warnings.taken():  # else GDAL itself writes to the terminal
        _make_maps(config)


def _make_maps(config: Config) -> None:
    if config.patterns == [DEMO]:
        config = config.model_copy(update={"scenes": demo_scene.make()})
    if not config.dry_run:
        work_folders.check_out(config.out)
    work_folders.check_scratch()
    wanted = products(config, list_scenes(config))
    mapper = _mapper(config)
    if config.dry_run:
        _for_each(wanted, lambda product, scratch: log_forecast(mapper, mapper.open(product, scratch)))
        return
    there = maps_in(mapper.out)
    if not config.overwrite:
        refuse_mixture(there, mapper.out, mapper.settings)
    complete = [product.name for product in wanted if _is_up_to_date(mapper, product, there.get(product.name))]
    todo = [product for product in wanted if product.name not in complete]
    with recording(config, mapper.models) if todo else contextlib.nullcontext(MapRecord()) as record:
        _map_all(mapper, todo, there, [_made(mapper, there[name]) for name in complete], record)


def _mapper(config: Config) -> Mapper:
    like, like_crc32 = None, None
    if config.like is not None:
        with work_folders.scratch_folder() as scratch:
            path = raster.local_file(config.like, scratch)
            like, like_crc32 = grid_like(config.like, path), raster.checksum(path)
    loaded = models.load(config)
    threshold = models.threshold(loaded)
    told = facts.settings(config, loaded, threshold, like_crc32)
    return Mapper(config, loaded, threshold, told, like, facts.software(commit()))


def _is_up_to_date(mapper: Mapper, product: Product, found: ExistingMap | None) -> bool:
    """Whether a map is complete, and what would be made now."""
    if found is None or facts.differences(found.settings, mapper.settings):
        return False
    if not found.is_whole:
        log.info("%s is not whole, and is made again.", found.uri)
        return False
    if not found.was_made_from(product.scenes):
        log.info("%s was made of another file of that name, and is made again.", found.uri)
        return False
    return True


def _made(mapper: Mapper, found: ExistingMap) -> CompleteMap:
    return CompleteMap(found.name, f"{mapper.out}/{found.name}", found.totals, None)


def _map_all(
    mapper: Mapper,
    todo: Sequence[Product],
    there: Mapping[str, ExistingMap],
    complete: Sequence[CompleteMap],
    record: MapRecord,
) -> None:
    made: list[CompleteMap] = []

    def map_one(product: Product, scratch: Path) -> None:
        opened = mapper.open(product, scratch)
        with progress(product.name, mapper.count(opened).windows, opened.grid) as advance:
            found, picture = one_map.make(mapper, opened, there.get(product.name), scratch, advance)
        record.map_made(len(made), found, picture)
        made.append(found)
        if not found.totals.observed_px:
            log.warning("%s: no pixel was observed: look at its nodata value and its masks.", product.name)

    try:
        _for_each(todo, map_one)
    finally:
        if listed := sorted([*complete, *made], key=lambda one: one.name):
            log.info("%s", table.text(listed))
        if len(listed) == 1:
            log.info("%s", f"{listed[0].folder}/{one_map.PREVIEW}")
        if made:
            with work_folders.scratch_folder() as scratch:
                record.all_made(listed, Path(scratch))


def _for_each(wanted: Sequence[Product], act: Callable[[Product, Path], None]) -> None:
    """Do the same for all maps; what is wrong with the scenes of one is told, and the others are gone on with.

    Raises: NoMap, CannotWriteMap, DiskFull
    """
    wrong: list[str] = []
    for product in wanted:
        with work_folders.scratch_folder() as scratch:
            try:
                act(product, Path(scratch))
            except (CannotWriteMap, DiskFull):
                raise  # the next would end so, too
            except UserError as error:
                if len(wanted) == 1:
                    raise
                wrong.append(product.name)
                log.error("%s", error)
    if wrong:
        shown = ", ".join(wrong[:NAMED]) + (", ..." if len(wrong) > NAMED else "")
        raise NoMap(f"No map was made of {len(wrong)} of {len(wanted)} scenes, as told above: {shown}.")
