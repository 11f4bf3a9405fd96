"""One folder of tiles, from its start to its index: only what is missing is made, each file whole or not at all."""

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
from snowcover.prepare.existing import Earlier
from snowcover.prepare.forecast import why_none
from snowcover.prepare.jobs import Job, NothingToMake
from snowcover.prepare.tile_rendering import Piece
from snowcover.prepare.workers import in_threads

PREVIEW = "preview.png"
NAMED = 3  # how many files a message names

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """What a folder holds at the end."""

    name: str
    folder: str
    index: Index
    seconds: float
    made: int
    """tiles made now; the others were there"""


@dataclass(frozen=True)
class _Cut:
    """The tiles of a folder, those that were there included."""

    entries: tuple[Entry, ...]
    mosaic: preview.Mosaic
    made: int


def tile(job: Job, workers: int, overwrite: bool, accompany: Callable[[], Mapping[str, int]] = dict) -> Result:
    """Make the job's tiles, preview and index; `accompany` writes what else belongs into the folder and says its sizes.

    Raises:
        NothingToMake, OtherSettings, StrangeTiles, ChangedMeanwhile, BrokenRaster, BadIndex, StorageError
    """
    started = time.monotonic()
    found = existing.look(job.folder, overwrite)
    if overwrite:
        found = existing.clear(found)
    existing.refuse_other(job, found)
    wrong = existing.changed(found, workers) if found.is_complete else set()
    if found.index is not None and found.is_complete and not wrong:
        return Result(job.name, job.folder, found.index, time.monotonic() - started, 0)
    _remove(job, found, wrong)
    _write_index(job.folder, job.index)
    files = accompany()
    cut = _cut_all(job, found.tiles - wrong, workers)
    if not cut.entries:
        raise NothingToMake(why_none(job))
    existing.refuse_interference(job, cut.entries)
    picture = preview.png(cut.mosaic, _title(job, cut.entries))
    storage.write(f"{job.folder}/{PREVIEW}", picture)
    files = {**files, PREVIEW: len(picture)}
    whole = job.index.model_copy(update={"complete": True, "tiles": cut.entries, "files": files})
    _write_index(job.folder, whole)
    return Result(job.name, job.folder, whole, time.monotonic() - started, cut.made)


def _remove(job: Job, found: Earlier, wrong: set[str]) -> None:
    """Wrong tiles go while the index still names them: were we stopped later, nobody would know that they are wrong."""
    if not wrong:
        return
    named = ", ".join(sorted(wrong)[:NAMED]) + (", ..." if len(wrong) > NAMED else "")
    log.info("%s: what is not as %s says is made again: %s.", job.folder, index.NAME, named)
    for name in sorted(filter(is_path, wrong & found.tiles)):
        storage.delete(f"{job.folder}/{name}")


def _write_index(folder: str, content: Index) -> None:
    storage.write(f"{folder}/{index.NAME}", content.to_json().encode())


def _cut_all(job: Job, there: set[str], workers: int) -> _Cut:
    mosaic = preview.Mosaic(preview.layout(job.tiles), job.cut.nodata, job.cut.is_mask)
    entries: list[Entry] = []
    made = 0
    cut = in_threads(lambda: _worker(job, there), job.tiles, workers)
    # disable=None: quiet where the output is not a terminal
    for piece, is_new in tqdm(
        cut, job.name, len(job.tiles), unit="tile", disable=None, leave=False, dynamic_ncols=True
    ):
        if piece is not None:
            entries.append(piece.entry)
            mosaic.place(piece.tile, piece.thumb)
            made += is_new
    return _Cut(tuple(sorted(entries, key=lambda entry: parse(entry.path) or ())), mosaic, made)


@contextmanager
def _worker(job: Job, there: set[str]) -> Iterator[Callable[[Tile], tuple[Piece | None, bool]]]:
    """Makes a tile, or takes it as it is there; says whether it is new."""
    with job.opener() as source:

        def make(tile: Tile) -> tuple[Piece | None, bool]:
            uri = f"{job.folder}/{path(tile)}"
            if path(tile) in there:
                try:
                    return tile_rendering.recall(tile, storage.read(uri), uri, job.cut), False
                except (BrokenTile, storage.MissingFile):
                    log.info("%s is damaged and is made again.", uri)
            piece = tile_rendering.cut(source, tile, job.cut)
            if piece is not None:
                storage.write(uri, piece.content)
            elif path(tile) in there:
                storage.delete(uri)
            return piece, True

        yield make


def _title(job: Job, entries: tuple[Entry, ...]) -> str:
    return f"{job.name}: {len(entries)} tiles of {job.cut.size_px} px"
