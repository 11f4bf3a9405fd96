"""The story of one command: find the sources, make their tiles one source after the other, tell what was made."""

import fnmatch
import logging
import os
import re
from collections import Counter
from functools import partial
from pathlib import Path

import cv2

from snowcover import storage
from snowcover.errors import UserError
from snowcover.prepare import cover, jobs, places, raster, report, scene, survey, tiling
from snowcover.prepare.config import Config
from snowcover.prepare.cover import Cover
from snowcover.prepare.forecast import forecast
from snowcover.prepare.jobs import Job, NothingToMake
from snowcover.prepare.udm import is_udm

log = logging.getLogger(__name__)

MASK, FOOTPRINT = "mask.tif", "footprint.geojson"


class NoScenes(UserError):
    """No file matches, or two would be tiled into one folder."""


class NoTiles(UserError):
    """A source gave no tile; those of the others were made."""


def make(config: Config) -> None:
    """Make the tiles that the config asks for, or with dry_run say what that would be.

    Raises: UserError
    """
    cv2.setNumThreads(1)  # the threads are ours: one per tile
    allowed = cover.read(config.cover, config.zoom) if config.cover is not None else None
    uris = [str(config.collect)] if config.collect else scenes(config)
    results: list[tiling.Result] = []
    empty: dict[str, str] = {}
    for uri in uris:
        with raster.scratch_folder() as scratch:
            try:
                result = _make_one(config, uri, scratch, allowed)
            except NothingToMake as none:
                empty[uri] = str(none)
                continue
        results += [result] if result else []
    if results:
        log.info("%s", report.table(results))
    if empty:
        raise NoTiles(report.nothing_made(empty, len(uris), config.dry_run))


def scenes(config: Config) -> list[str]:
    """The uris of the scenes, sorted.

    Raises:
        NoScenes, MixedQuantities
    """
    found = sorted({uri for pattern in config.patterns for uri in _matching(pattern)})
    if not found:
        raise NoScenes("scenes is an empty list: name at least one file.")
    names = [raster.stem(uri) for uri in found]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise NoScenes(f"Two of the scenes are called {twice[0]} and would share a folder in out: give them apart.")
    if config.udm.file and len(found) > 1:
        raise NoScenes(f"udm.file names one mask, scenes names {len(found)} scenes: give one scene, or no udm.file.")
    scene.refuse_mixture(names, converts=config.radiance == "reflectance")
    return found


def _matching(pattern: str) -> list[str]:
    """Level by level: `*` never crosses a slash. Masks beside the scenes are no scenes."""
    literal = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    wanted = pattern.split("/")
    uris = [file.uri for file in storage.list_files(literal)]
    levels = [(uri, uri.split("/")) for uri in uris if not is_udm(uri)]
    found = [uri for uri, names in levels if len(names) == len(wanted) and all(map(fnmatch.fnmatchcase, names, wanted))]
    if not found:
        raise NoScenes(f"No file matches scenes={pattern}: check the path, and quote it where it has a *.")
    return found


def _make_one(config: Config, uri: str, scratch: str, allowed: Cover | None) -> tiling.Result | None:
    workers = config.workers or os.cpu_count() or 1
    make_job = partial(jobs.collect_job, config) if config.collect else partial(jobs.scene_job, config, uri)
    job = make_job(scratch, allowed)
    _tell_zoom(job, config.zoom)
    if not config.dry_run:
        return tiling.tile(job, workers, config.overwrite, partial(_accompany, job, scratch))
    reckoned = forecast(job, workers)
    log.info(
        "%s: about %d tiles at zoom %d, %.0f MB and %.0f s, into %s; nothing was written (dry_run).",
        job.name, reckoned.tiles, config.zoom, reckoned.size_bytes / 1e6, reckoned.seconds, job.folder,
    )  # fmt: skip
    return None


def _tell_zoom(job: Job, zoom: int) -> None:
    fitting = places.fit(job.source.grid, job.cut.size_px)
    if fitting.zoom != zoom:
        log.info(
            "%s: zoom=%d would fit its pixels of %.1f m; zoom=%d was asked for.",
            job.name, fitting.zoom, fitting.pixel_m, zoom,
        )  # fmt: skip


def _accompany(job: Job, scratch: str) -> dict[str, int]:
    """For a collect: its mask as a cloud-optimised GeoTIFF, and the footprint of what was observed; their sizes."""
    if job.rule is None:
        return {}
    plain, optimised = str(Path(scratch) / "plain.tif"), str(Path(scratch) / MASK)
    with raster.settings(), raster.opened(job.source.uri, job.source.path) as file, raster.scratch_errors(scratch):
        counts, ground = survey.threshold(file, job.source.grid, job.source.pixels, job.rule, plain)
        survey.cloud_optimised(plain, optimised)
    storage.upload(optimised, f"{job.folder}/{MASK}")
    shape = survey.footprint(job.name, ground, job.source.grid).encode()
    storage.write(f"{job.folder}/{FOOTPRINT}", shape)
    log.info("%s", report.counted(job.name, counts, job.rule.is_mask))
    return {MASK: Path(optimised).stat().st_size, FOOTPRINT: len(shape)}
