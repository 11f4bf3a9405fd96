"""One command from start to end: find the sources, make the tiles of each, report what was made."""

import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import cv2

from snowcover import storage
from snowcover.data import gdal_warnings, index
from snowcover.errors import UserError
from snowcover.prepare import aoi, footprint, jobs, raster, report, scan, scene, sources, tiling, work_folders
from snowcover.prepare.aoi import AreaOfInterest
from snowcover.prepare.config import Config
from snowcover.prepare.forecast import forecast
from snowcover.prepare.jobs import Job, NothingToMake
from snowcover.prepare.zoom import fitting_zoom

log = logging.getLogger(__name__)

MASK, FOOTPRINT = "mask.tif", "footprint.geojson"


class NoTiles(UserError):
    """A source gave no tile; the tiles of the others were made."""


def make(config: Config) -> None:
    """Make the tiles that the config asks for; with dry_run only estimate them.

    Raises: UserError
    """
    cv2.setNumThreads(1)  # we use threads ourselves, one per tile
    with raster.settings(), gdal_warnings.taken():  # else GDAL itself writes to the terminal
        _make(config)


def _make(config: Config) -> None:
    if not config.dry_run:
        work_folders.check_out(config.out)
    work_folders.check_scratch()
    allowed = aoi.read(config.cover, config.zoom) if config.cover is not None else None
    uris = sources.scenes(config) if config.scenes is not None else [str(config.collect or config.layer)]
    scales = _scales(config, uris)
    results: list[tiling.Result] = []
    empty: dict[str, str] = {}
    for uri in uris:
        with work_folders.scratch_folder() as scratch:
            try:
                result = _make_one(config, uri, scratch, allowed, scales)
            except NothingToMake as none:
                empty[uri] = str(none)
                continue
        results += [result] if result else []
    if results:
        log.info("%s", report.table(results))
    if empty:
        raise NoTiles(report.no_tiles_message(empty, len(uris), config.dry_run))


def _scales(config: Config, uris: Sequence[str]) -> scene.SameScales:
    """Checks that all scenes have one scale: local scenes before any is tiled, those in S3 once downloaded."""
    scales = scene.SameScales(config.radiance)
    for uri in uris if config.scenes and len(uris) > 1 else ():
        if not storage.is_remote(uri):
            scales.check(uri, raster.pixels_in(uri))
    return scales


def _make_one(
    config: Config, uri: str, scratch: str, allowed: AreaOfInterest | None, scales: scene.SameScales
) -> tiling.Result | None:
    workers = config.workers or os.cpu_count() or 1
    job = _job(config, uri)(scratch, allowed)
    scales.check(uri, job.source.pixels)
    _log_fitting_zoom(job, config.zoom)
    if not config.dry_run:
        sources.refuse_overwriting(uri, job.folder, (MASK, FOOTPRINT, tiling.PREVIEW, index.NAME))
        return tiling.tile(job, workers, config.overwrite, partial(_write_mask_and_footprint, job, scratch))
    estimate = forecast(job, workers)
    log.info(
        "%s: about %d tiles at zoom %d, %.0f MB and %.0f s, into %s; nothing was written (dry_run).",
        job.name, estimate.tiles, config.zoom, estimate.size_bytes / 1e6, estimate.seconds, job.folder,
    )  # fmt: skip
    return None


def _job(config: Config, uri: str) -> Callable[[str, AreaOfInterest | None], Job]:
    if config.collect:
        return partial(jobs.collect_job, config)
    return partial(jobs.layer_job, config) if config.layer else partial(jobs.scene_job, config, uri)


def _log_fitting_zoom(job: Job, zoom: int) -> None:
    fitting = fitting_zoom(job.source.grid, job.render.size_px)
    if fitting.zoom != zoom:
        log.info(
            "%s: zoom=%d would fit its pixels of %.1f m; zoom=%d was given.",
            job.name, fitting.zoom, fitting.pixel_m, zoom,
        )  # fmt: skip


def _write_mask_and_footprint(job: Job, scratch: str) -> dict[str, int]:
    """Write the mask (a cloud-optimised GeoTIFF) and the footprint of a collect; returns their sizes in bytes."""
    if job.rule is None:
        return {}
    products = Path(scratch) / "products"  # not next to the source's copy, which may have the same name
    products.mkdir()
    plain, optimised = str(products / "plain.tif"), str(products / MASK)
    with raster.settings(), raster.opened(job.source.uri, job.source.path) as file, raster.scratch_errors(scratch):
        counts, ground = scan.threshold(file, job.source.grid, job.source.pixels, job.rule, plain)
        scan.cloud_optimised(plain, optimised)
    storage.upload(optimised, f"{job.folder}/{MASK}")
    shape = footprint.geojson(job.name, ground, scan.cell_px(job.source.grid), job.source.grid).encode()
    storage.write(f"{job.folder}/{FOOTPRINT}", shape)
    log.info("%s", report.collect_message(job.name, counts, job.rule.is_mask))
    return {MASK: Path(optimised).stat().st_size, FOOTPRINT: len(shape)}
