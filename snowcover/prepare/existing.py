"""The tiles that an earlier run left in a folder, compared with its index: which can stay, and which are made again."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

from snowcover import storage
from snowcover.data import index
from snowcover.data.index import BadIndex, Entry, Index, is_path
from snowcover.data.tiles import parse, path
from snowcover.errors import UserError
from snowcover.prepare.jobs import Job
from snowcover.prepare.workers import in_threads


class OtherSettings(UserError):
    """The folder holds tiles that were made with other settings."""


class StrangeTiles(UserError):
    """The folder holds tiles that this command did not make."""


class ChangedMeanwhile(UserError):
    """Another process wrote to the folder while its tiles were made."""


@dataclass(frozen=True)
class ExistingTiles:
    """The content of a folder before the run; deeper folders do not belong to it."""

    folder: str
    sizes: Mapping[str, int]
    """in bytes, of all files, by name below the folder"""
    index: Index | None

    @property
    def tiles(self) -> set[str]:
        """z/x/y.tif"""
        return {name for name in self.sizes if is_path(name)}

    @property
    def is_complete(self) -> bool:
        return self.index is not None and self.index.complete


def inspect(folder: str, overwrite: bool) -> ExistingTiles:
    """Raises: StorageError; BadIndex, unless everything is to be overwritten anyway."""
    storage.remove_leftovers(folder)
    sizes = {file.uri.removeprefix(f"{folder}/"): file.size_bytes for file in storage.list_files(f"{folder}/")}
    if index.NAME not in sizes:
        return ExistingTiles(folder, sizes, None)
    uri = f"{folder}/{index.NAME}"
    try:
        return ExistingTiles(folder, sizes, index.from_json(storage.read(uri), uri))
    except BadIndex:
        if not overwrite:
            raise
        return ExistingTiles(folder, sizes, None)


def clear(found: ExistingTiles) -> ExistingTiles:
    """Remove the tiles before their index, which still says which run the rest belongs to if we are stopped here."""
    for name in sorted(found.tiles):
        storage.delete(f"{found.folder}/{name}")
    return ExistingTiles(found.folder, {}, None)


def refuse_other_settings(job: Job, found: ExistingTiles) -> None:
    """Raises: OtherSettings, StrangeTiles"""
    if found.index is None and found.tiles:
        raise OtherSettings(
            f"{job.folder} holds {len(found.tiles)} tiles that this command did not make: choose another out, or set "
            "overwrite=true to replace them."
        )
    if found.index is None:
        return
    if found.index.digest != job.index.digest:
        raise OtherSettings(
            f"{job.folder} holds tiles made with other settings ({_difference(found.index, job.index)}): choose "
            "another out, or set overwrite=true to replace them."
        )
    ours = {entry.path for entry in found.index.tiles} if found.is_complete else set(map(path, job.tiles))
    if strange := sorted(name for name in found.sizes if name.count("/") == 2 and parse(name) and name not in ours):
        raise StrangeTiles(
            f"{job.folder} holds tiles that are not in its {index.NAME} ({len(strange)}, the first {strange[0]}): move "
            "them to a folder of their own."
        )


def refuse_interference(job: Job, made: Sequence[Entry]) -> None:
    """Refuse a folder that another command has written to: two that start in an empty folder do not see each other.

    Raises: ChangedMeanwhile
    """
    found = inspect(job.folder, overwrite=False)
    same = found.index is not None and found.index.digest == job.index.digest
    if not same or any(found.sizes.get(entry.path) != entry.size_bytes for entry in made):
        raise ChangedMeanwhile(
            f"{job.folder} was written to while its tiles were made, perhaps by a second command with the same out: "
            "let each have its own, and set overwrite=true here."
        )


def _difference(before: Index, now: Index) -> str:
    old, new = (
        {
            "kind": listed_index.kind,
            **{f"source {key}": value for key, value in listed_index.source.model_dump().items()},
            **listed_index.settings,
        }
        for listed_index in (before, now)
    )
    changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return ", ".join(f"{key} was {old.get(key)} and is {new.get(key)} now" for key in changed)


def changed_files(found: ExistingTiles, workers: int) -> set[str]:
    """The files of a complete folder that differ from its index: by checksum for tiles, by size for other files."""
    assert found.index is not None
    listed = {**found.index.files, **{entry.path: entry.size_bytes for entry in found.index.tiles}}
    wrong = {name for name, size_bytes in listed.items() if found.sizes.get(name) != size_bytes}
    rest = [entry for entry in found.index.tiles if entry.path not in wrong]
    return wrong | {entry.path for entry, same in in_threads(lambda: _checker(found.folder), rest, workers) if not same}


@contextlib.contextmanager
def _checker(folder: str) -> Iterator[Callable[[Entry], tuple[Entry, bool]]]:
    yield lambda entry: (entry, crc32(storage.read(f"{folder}/{entry.path}")) == entry.crc32)
