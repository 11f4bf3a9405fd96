"""One command from start to end: find scenes and networks, make the missing maps, report what was made."""

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
    """No map could be made of some scenes; the maps of the others were made."""


def make_maps(config: Config) -> None:
    """Make the maps that the config asks for; with dry_run only estimate them.

    Raises:
        UserError
        Stopped: Ctrl-C or SIGTERM; complete maps are kept.
    """
    cv2.setNumThreads(1)  # we use threads ourselves
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
    existing = maps_in(mapper.out)
    if not config.overwrite:
        refuse_mixture(existing, mapper.out, mapper.settings)
    complete = [product.name for product in wanted if _is_up_to_date(mapper, product, existing.get(product.name))]
    todo = [product for product in wanted if product.name not in complete]
    with recording(config, mapper.models) if todo else contextlib.nullcontext(MapRecord()) as record:
        _map_all(mapper, todo, existing, [_existing(mapper, existing[name]) for name in complete], record)


def _mapper(config: Config) -> Mapper:
    like, like_crc32 = None, None
    if config.like is not None:
        with work_folders.scratch_folder() as scratch:
            path = raster.local_file(config.like, scratch)
            like, like_crc32 = grid_like(config.like, path), raster.checksum(path)
    loaded = models.load(config)
    threshold = models.common_threshold(loaded)
    settings = facts.settings(config, loaded, threshold, like_crc32)
    return Mapper(config, loaded, threshold, settings, like, facts.software(commit()))


def _is_up_to_date(mapper: Mapper, product: Product, found: ExistingMap | None) -> bool:
    """Whether a map is complete and equal to the one that would be made now."""
    if found is None or facts.differences(found.settings, mapper.settings):
        return False
    if not found.is_whole:
        log.info("%s is incomplete and is made again.", found.uri)
        return False
    if not found.was_made_from(product.scenes):
        log.info("%s was made from another file of that name and is made again.", found.uri)
        return False
    return True


def _existing(mapper: Mapper, found: ExistingMap) -> CompleteMap:
    return CompleteMap(found.name, f"{mapper.out}/{found.name}", found.totals, None)


def _map_all(
    mapper: Mapper,
    todo: Sequence[Product],
    existing: Mapping[str, ExistingMap],
    complete: Sequence[CompleteMap],
    record: MapRecord,
) -> None:
    made: list[CompleteMap] = []

    def map_one(product: Product, scratch: Path) -> None:
        opened = mapper.open(product, scratch)
        with progress(product.name, mapper.count(opened).windows, opened.grid) as advance:
            found, picture = one_map.make(mapper, opened, existing.get(product.name), scratch, advance)
        record.log_map(len(made), found, picture)
        made.append(found)
        if not found.totals.observed_px:
            log.warning("%s: no pixel was observed: check its nodata value and its masks.", product.name)

    try:
        _for_each(todo, map_one)
    finally:
        if listed := sorted([*complete, *made], key=lambda complete_map: complete_map.name):
            log.info("%s", table.text(listed))
        if len(listed) == 1:
            log.info("%s", f"{listed[0].folder}/{one_map.PREVIEW}")
        if made:
            with work_folders.scratch_folder() as scratch:
                record.log_all_maps(listed, Path(scratch))


def _for_each(wanted: Sequence[Product], act: Callable[[Product, Path], None]) -> None:
    """Call `act` for all maps; errors of one map's scenes are logged, and the others are still made.

    Raises: NoMap, CannotWriteMap, DiskFull
    """
    wrong: list[str] = []
    for product in wanted:
        with work_folders.scratch_folder() as scratch:
            try:
                act(product, Path(scratch))
            except (CannotWriteMap, DiskFull):
                raise  # the next map would fail in the same way
            except UserError as error:
                if len(wanted) == 1:
                    raise
                wrong.append(product.name)
                log.error("%s", error)
    if wrong:
        shown = ", ".join(wrong[:NAMED]) + (", ..." if len(wrong) > NAMED else "")
        raise NoMap(f"No map was made of {len(wrong)} of {len(wanted)} scenes, see the errors above: {shown}.")
