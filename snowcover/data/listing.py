"""Scenes, collects and layers as they lie in folders or S3, each listed once and held against its index."""

import fnmatch
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from snowcover import storage
from snowcover.data import index
from snowcover.data.folder import Folder, FolderDiffers, check_index, folders

INDEXES_IN_FLIGHT = 16


class Listing:
    """Listings by prefix, each asked for once though several sources may share it."""

    def __init__(self) -> None:
        self._folders: dict[str, list[Folder]] = {}
        self._notes: dict[tuple[str, str], str | None] = {}

    @property
    def notes(self) -> list[str]:
        """What to show the user about the folders listed so far."""
        return [note for note in self._notes.values() if note]

    def collect(self, folder: str) -> Folder | None:
        """The collect in a folder; None where there are no tiles.

        Raises:
            TileTwice, FolderDiffers, BadIndex, StorageError
        """
        return self._at(folder, "collect")

    def layer(self, folder: str) -> Folder | None:
        """The layer in a folder; None where there are no tiles.

        Raises:
            TileTwice, FolderDiffers, BadIndex, StorageError
        """
        return self._at(folder, "layer")

    def scenes(self, pattern: str) -> list[Folder]:
        """Every scene that the pattern matches as a whole.

        Raises:
            TileTwice, FolderDiffers, BadIndex, StorageError
        """
        pattern = pattern.rstrip("/")
        literal = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
        found = self._under(f"{pattern}/" if literal == pattern else literal)
        matching = [each for each in found if _matches(each.uri, pattern)]
        _refuse_links_to_one(matching)
        self._check(matching, "scene")
        return matching

    def _at(self, folder: str, kind: str) -> Folder | None:
        folder = folder.rstrip("/")
        found = [each for each in self._under(f"{folder}/") if each.uri == folder]
        self._check(found, kind)
        return found[0] if found else None

    def _under(self, prefix: str) -> list[Folder]:
        if prefix not in self._folders:
            self._folders[prefix] = folders(storage.list_files(prefix))
        return self._folders[prefix]

    def _check(self, found: Sequence[Folder], kind: str) -> None:
        """One request for each folder that has an index, and none for the others."""
        new = [folder for folder in found if folder.index is not None and (folder.uri, kind) not in self._notes]
        with ThreadPoolExecutor(INDEXES_IN_FLIGHT) as pool:
            for folder, its_index in zip(new, pool.map(_read_index, new), strict=True):
                self._notes[folder.uri, kind] = check_index(folder, its_index, kind)


def _read_index(folder: Folder) -> index.Index:
    assert folder.index is not None
    return index.from_json(storage.read(folder.index.uri, folder.index.size_bytes), folder.index.uri)


def _refuse_links_to_one(found: Sequence[Folder]) -> None:
    by_place: dict[str, Folder] = {}
    for folder in found:
        place = folder.uri if storage.is_remote(folder.uri) else os.path.realpath(folder.uri)
        other = by_place.setdefault(place, folder)
        if other is not folder:
            raise FolderDiffers(f"{other.uri} and {folder.uri} are one folder: let data.sources match one of them.")


def _matches(folder: str, pattern: str) -> bool:
    """Whole names, level by level: `*` never crosses a slash and `2018*` is no prefix of a longer path."""
    names, wanted = folder.split("/"), pattern.split("/")
    return len(names) == len(wanted) and all(map(fnmatch.fnmatchcase, names, wanted))
