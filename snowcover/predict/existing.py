"""Maps that exist in `out`: complete ones are kept, those of other models or settings are refused."""

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

IN_FLIGHT = 16  # STAC items read at once


class OtherMaps(UserError):
    """The folder holds maps of other models or settings."""


@dataclass(frozen=True)
class ExistingMap:
    """A complete map of an earlier command."""

    name: str
    uri: str
    """of its STAC item"""
    content: Mapping[str, Any]
    sizes: Mapping[str, int]
    """in bytes, of the files in its folder, by name"""

    @property
    def settings(self) -> Settings:
        return dict(self.content["properties"][SETTINGS])

    @property
    def files(self) -> list[str]:
        """Names of its files, without the item."""
        return [asset["href"].removeprefix("./") for asset in self._made]

    @property
    def totals(self) -> Totals:
        properties = self.content["properties"]
        return Totals(observed_km2=properties[f"{OURS}observed_km2"], snow_km2=properties[f"{OURS}snow_km2"])

    @property
    def is_whole(self) -> bool:
        """Whether all its files exist with their recorded sizes."""
        return all(self.sizes.get(asset["href"].removeprefix("./")) == asset["file:size"] for asset in self._made)

    def was_made_from(self, scenes: Sequence[ListedScene]) -> bool:
        """Whether it was made from these files; those in S3 are compared by size alone, without a download."""
        recorded = self.content["properties"][f"{OURS}sources"]
        now = [(scene.uri.rsplit("/", 1)[-1], scene.size_bytes, scene.checksum()) for scene in scenes]
        return len(recorded) == len(now) and all(
            (source["name"], source["size_bytes"]) == (name, size) and checksum in (None, source["crc32"])
            for source, (name, size, checksum) in zip(recorded, now, strict=True)
        )

    @property
    def _made(self) -> list[Mapping[str, Any]]:
        return [asset for asset in self.content["assets"].values() if asset["href"].startswith("./")]


def maps_in(out: str) -> dict[str, ExistingMap]:
    """The complete maps in `out`, by name.

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
        return {item.name: item for item in found if item is not None}


def refuse_mixture(found: Mapping[str, ExistingMap], out: str, settings: Settings) -> None:
    """Refuse an `out` that holds maps of other networks or settings.

    Raises: OtherMaps
    """
    others = {name: item for name, item in found.items() if differences(item.settings, settings)}
    if others:
        name, other = next(iter(sorted(others.items())))
        raise OtherMaps(
            f"{out} holds {len(others)} map{'s' if len(others) > 1 else ''} of other models or settings, such as "
            f"{name} ({', '.join(differences(other.settings, settings))}): choose another out, or set overwrite=true "
            "to replace those of the scenes named now."
        )


def _read(out: str, name: str, sizes: Mapping[str, int]) -> ExistingMap | None:
    """None if the item is not ours."""
    uri = f"{out}/{name}/{name}.json"
    try:
        content = json.loads(storage.read(uri))
        content["properties"][SETTINGS], content["assets"]
    except (ValueError, KeyError, TypeError):
        return None
    return ExistingMap(name, uri, content, sizes)


def stale(found: ExistingMap, kept: Sequence[str]) -> Iterator[str]:
    """Uris of a replaced map's files that the new map does not have."""
    folder = found.uri.rpartition("/")[0]
    for name in found.files:
        if name not in kept:
            yield f"{folder}/{name}"
