"""What lies in `out` already: maps that are complete stay, those of other models or settings are refused."""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from snowcover import storage
from snowcover.errors import UserError
from snowcover.predict.facts import Settings, differences
from snowcover.predict.raster_files import Totals
from snowcover.predict.scenes import ListedScene
from snowcover.predict.stac import OURS, SETTINGS

IN_FLIGHT = 16  # items read at once


class OtherMaps(UserError):
    """The place holds maps that were made otherwise."""


@dataclass(frozen=True)
class ExistingMap:
    """A map that an earlier command has completed."""

    name: str
    uri: str
    """of its item"""
    content: Mapping[str, Any]
    sizes: Mapping[str, int]
    """in bytes, of the files in its folder, by name"""

    @property
    def settings(self) -> Settings:
        return dict(self.content["properties"][SETTINGS])

    @property
    def files(self) -> list[str]:
        """Names of what was made, the item left out."""
        return [asset["href"].removeprefix("./") for asset in self._made]

    @property
    def totals(self) -> Totals:
        told = self.content["properties"]
        return Totals(observed_km2=told[f"{OURS}observed_km2"], snow_km2=told[f"{OURS}snow_km2"])

    @property
    def is_whole(self) -> bool:
        """Whether all its files are there, of the sizes that they were made with."""
        return all(self.sizes.get(asset["href"].removeprefix("./")) == asset["file:size"] for asset in self._made)

    def is_of(self, scenes: Sequence[ListedScene]) -> bool:
        """Whether it was made of these files; in S3 the size alone tells, for a look at each byte is a download."""
        then = self.content["properties"][f"{OURS}sources"]
        now = [(scene.uri.rsplit("/", 1)[-1], scene.size_bytes, scene.checksum()) for scene in scenes]
        return len(then) == len(now) and all(
            (one["name"], one["size_bytes"]) == (name, size) and checksum in (None, one["crc32"])
            for one, (name, size, checksum) in zip(then, now, strict=True)
        )

    @property
    def _made(self) -> list[Mapping[str, Any]]:
        return [asset for asset in self.content["assets"].values() if asset["href"].startswith("./")]


def maps_in(out: str) -> dict[str, ExistingMap]:
    """The complete maps in a place, by name.

    Raises: StorageError
    """
    storage.remove_leftovers(out)
    folders: dict[str, dict[str, int]] = {}
    for file in storage.list_files(f"{out}/"):
        folder, slash, name = file.uri.removeprefix(f"{out}/").rpartition("/")
        if slash and "/" not in folder:
            folders.setdefault(folder, {})[name] = file.size_bytes
    names = [name for name, sizes in folders.items() if f"{name}.json" in sizes]
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        found = pool.map(lambda name: _read(out, name, folders[name]), names)
        return {one.name: one for one in found if one is not None}


def refuse_mixture(found: Mapping[str, ExistingMap], out: str, settings: Settings) -> None:
    """Refuse a place where maps of other networks or settings lie.

    Raises: OtherMaps
    """
    others = {name: one for name, one in found.items() if differences(one.settings, settings)}
    if others:
        name, other = next(iter(sorted(others.items())))
        raise OtherMaps(
            f"{out} holds {len(others)} map{'s' if len(others) > 1 else ''} made otherwise, such as {name} "
            f"({', '.join(differences(other.settings, settings))}): choose another out, or set overwrite=true to "
            "replace those of the scenes named now."
        )


def _read(out: str, name: str, sizes: Mapping[str, int]) -> ExistingMap | None:
    """None of an item that is not ours."""
    uri = f"{out}/{name}/{name}.json"
    try:
        content = json.loads(storage.read(uri))
        content["properties"][SETTINGS], content["assets"]
    except (ValueError, KeyError, TypeError):
        return None
    return ExistingMap(name, uri, content, sizes)


def stale(found: ExistingMap, kept: Sequence[str]) -> Iterator[str]:
    """Uris of files that belong to a map which is replaced, and not to the one that replaces it."""
    folder = found.uri.rpartition("/")[0]
    for name in found.files:
        if name not in kept:
            yield f"{folder}/{name}"
