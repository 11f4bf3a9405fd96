"""Makes one folder of tiles and its index: only missing tiles are made, and each file is written atomically."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tqdm import tqdm

from snowcover import storage
from snowcover.data import index
from snowcover.data.geotiff import BrokenTile
from snowcover.data.index import Entry, Index, is_path
from snowcover.data.tiles import Tile, parse, path
from snowcover.prepare import existing, preview, tile_rendering
from snowcover.prepare.existing import ExistingTiles
from snowcover.prepare.forecast import why_none
from snowcover.prepare.jobs import Job, NothingToMake
from snowcover.prepare.tile_rendering import RenderedTile
from snowcover.prepare.workers import in_threads

PREVIEW = "preview.png"
NAMED = 3  # how many files a message names

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """A complete folder of tiles."""

    name: str
    folder: str
    index: Index
    seconds: float
    made: int
    """number of tiles made now; the others existed"""


@dataclass(frozen=True)
class _FolderContent:
    """All tiles of a folder, including those that existed."""

    entries: tuple[Entry, ...]
    mosaic: preview.Mosaic
    made: int


def tile(job: Job, workers: int, overwrite: bool, write_side_files: Callable[[], Mapping[str, int]] = dict) -> Result:
    """Make the job's tiles, preview and index.

    Args:
        write_side_files: writes the other files of the folder and returns their sizes in bytes by name.

    Raises:
        NothingToMake, OtherSettings, StrangeTiles, ChangedMeanwhile, BrokenRaster, BadIndex, StorageError
    """
    started = time.monotonic()
    found = existing.inspect(job.folder, overwrite)
    if overwrite:
        found = existing.clear(found)
    existing.refuse_other_settings(job, found)
    wrong = existing.changed_files(found, workers) if found.is_complete else set()
    if found.index is not None and found.is_complete and not wrong:
        return Result(job.name, job.folder, found.index, time.monotonic() - started, 0)
    _remove(job, found, wrong)
    _write_index(job.folder, job.index)
    files = write_side_files()
    content = _render_all(job, found.tiles - wrong, workers)
    if not content.entries:
        raise NothingToMake(why_none(job))
    existing.refuse_interference(job, content.entries)
    picture = preview.png(content.mosaic, _title(job, content.entries))
    storage.write(f"{job.folder}/{PREVIEW}", picture)
    files = {**files, PREVIEW: len(picture)}
    whole = job.index.model_copy(update={"complete": True, "tiles": content.entries, "files": files})
    _write_index(job.folder, whole)
    return Result(job.name, job.folder, whole, time.monotonic() - started, content.made)


def _remove(job: Job, found: ExistingTiles, wrong: set[str]) -> None:
    """Delete wrong tiles before the index is rewritten: stopped later, we would no longer know that they are wrong."""
    if not wrong:
        return
    named = ", ".join(sorted(wrong)[:NAMED]) + (", ..." if len(wrong) > NAMED else "")
    log.info("%s: these files differ from %s and are made again: %s.", job.folder, index.NAME, named)
    for name in sorted(filter(is_path, wrong & found.tiles)):
        storage.delete(f"{job.folder}/{name}")


def _write_index(folder: str, content: Index) -> None:
    storage.write(f"{folder}/{index.NAME}", content.to_json().encode())


def _render_all(job: Job, existing_tiles: set[str], workers: int) -> _FolderContent:
    mosaic = preview.Mosaic(preview.layout(job.tiles), job.render.nodata, job.render.is_mask)
    entries: list[Entry] = []
    made = 0
    tiles = in_threads(lambda: _worker(job, existing_tiles), job.tiles, workers)
    # disable=None: no progress bar if the output is not a terminal
    for rendered, is_new in tqdm(
        tiles, job.name, len(job.tiles), unit="tile", disable=None, leave=False, dynamic_ncols=True
    ):
        if rendered is not None:
            entries.append(rendered.entry)
            mosaic.place(rendered.tile, rendered.thumb)
            made += is_new
    return _FolderContent(tuple(sorted(entries, key=lambda entry: parse(entry.path) or ())), mosaic, made)


@contextmanager
def _worker(job: Job, existing_tiles: set[str]) -> Iterator[Callable[[Tile], tuple[RenderedTile | None, bool]]]:
    """A function that makes a tile or reads an existing one, and says whether it is new."""
    with job.opener() as source:

        def make(tile: Tile) -> tuple[RenderedTile | None, bool]:
            uri = f"{job.folder}/{path(tile)}"
            if path(tile) in existing_tiles:
                try:
                    return tile_rendering.restore_tile(tile, storage.read(uri), uri, job.render), False
                except (BrokenTile, storage.MissingFile):
                    log.info("%s is damaged and is made again.", uri)
            rendered = tile_rendering.render_tile(source, tile, job.render)
            if rendered is not None:
                storage.write(uri, rendered.content)
            elif path(tile) in existing_tiles:
                storage.delete(uri)
            return rendered, True

        yield make


def _title(job: Job, entries: tuple[Entry, ...]) -> str:
    return f"{job.name}: {len(entries)} tiles of {job.render.size_px} px"
