"""One folder of tiles, from its start to its index: only what is missing is made, each file whole or not at all."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tqdm import tqdm

from snowcover import storage
from snowcover.data import index
from snowcover.data.index import Entry, Index, is_path
from snowcover.data.tiles import Tile, parse, path
from snowcover.errors import UserError
from snowcover.prepare import pieces, preview
from snowcover.prepare.jobs import Job
from snowcover.prepare.pieces import Piece
from snowcover.prepare.workers import in_threads

PREVIEW = "preview.png"


class OtherSettings(UserError):
    """The folder holds tiles that were made otherwise."""


@dataclass(frozen=True)
class Result:
    """What a folder holds at the end."""

    name: str
    folder: str
    index: Index
    seconds: float
    made: int
    """tiles made now; the others were there"""


def tile(job: Job, workers: int, overwrite: bool, accompany: Callable[[], None] = lambda: None) -> Result:
    """Make the job's tiles, preview and index; `accompany` writes what else belongs into the folder.

    Raises:
        OtherSettings, BrokenTile, BrokenRaster, StorageError
    """
    started = time.monotonic()
    there, before = _look(job.folder)
    if overwrite:
        _clear(job.folder, there)
        there, before = set(), None
    _refuse_other(job, there, before)
    if before is not None and before.complete and {entry.path for entry in before.tiles} <= there:
        return Result(job.name, job.folder, before, time.monotonic() - started, 0)
    _write_index(job.folder, job.index)
    accompany()
    entries, mosaic = _cut_all(job, there, workers)
    storage.write(f"{job.folder}/{PREVIEW}", preview.png(mosaic, _title(job, entries)))
    whole = job.index.model_copy(update={"complete": True, "tiles": tuple(entries)})
    _write_index(job.folder, whole)
    made = sum(entry.path not in there for entry in entries)
    return Result(job.name, job.folder, whole, time.monotonic() - started, made)


def _look(folder: str) -> tuple[set[str], Index | None]:
    """The tiles of a folder itself, as z/x/y.tif (a folder further down is somebody else's), and its index."""
    names = [file.uri.removeprefix(f"{folder}/") for file in storage.list_files(f"{folder}/")]
    there = {name for name in names if is_path(name)}
    if index.NAME not in names:
        return there, None
    uri = f"{folder}/{index.NAME}"
    return there, index.from_json(storage.read(uri), uri)


def _clear(folder: str, there: set[str]) -> None:
    """Tiles go before their index: were we stopped here, it would still say of what run the rest is."""
    for name in sorted(there):
        storage.delete(f"{folder}/{name}")


def _refuse_other(job: Job, there: set[str], before: Index | None) -> None:
    if before is None and there:
        raise OtherSettings(
            f"{job.folder} holds {len(there)} tiles that this command did not make: choose another out, or set "
            "overwrite=true to replace them."
        )
    if before is not None and before.digest != job.index.digest:
        raise OtherSettings(
            f"{job.folder} holds tiles made otherwise ({_difference(before, job.index)}): choose another out, or set "
            "overwrite=true to replace them."
        )


def _difference(before: Index, now: Index) -> str:
    old, new = (
        {"kind": told.kind, "source": told.source.name, "bytes": told.source.size_bytes, **told.settings}
        for told in (before, now)
    )
    changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return ", ".join(f"{key} was {old.get(key)} and is {new.get(key)} now" for key in changed)


def _write_index(folder: str, content: Index) -> None:
    storage.write(f"{folder}/{index.NAME}", content.to_json().encode())


def _cut_all(job: Job, there: set[str], workers: int) -> tuple[list[Entry], preview.Mosaic]:
    mosaic = preview.Mosaic(preview.layout(job.tiles), job.cut.nodata, job.cut.is_mask)
    entries: list[Entry] = []
    made = in_threads(lambda: _worker(job, there), job.tiles, workers)
    # disable=None: quiet where the output is not a terminal
    for piece in tqdm(made, job.name, len(job.tiles), unit="tile", disable=None, leave=False, dynamic_ncols=True):
        if piece is not None:
            entries.append(piece.entry)
            mosaic.place(piece.tile, piece.thumb)
    return sorted(entries, key=lambda entry: parse(entry.path) or ()), mosaic


@contextmanager
def _worker(job: Job, there: set[str]) -> Iterator[Callable[[Tile], Piece | None]]:
    with job.opener() as source:

        def make(tile: Tile) -> Piece | None:
            uri = f"{job.folder}/{path(tile)}"
            if path(tile) in there:
                return pieces.recall(tile, storage.read(uri), uri, job.cut)
            piece = pieces.cut(source, tile, job.cut)
            if piece is not None:
                storage.write(uri, piece.content)
            return piece

        yield make


def _title(job: Job, entries: list[Entry]) -> str:
    return f"{job.name}: {len(entries)} tiles of {job.cut.size_px} px"
