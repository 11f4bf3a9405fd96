"""The files that a command reads: the scenes that its patterns match, each with a folder of its own."""

import fnmatch
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from snowcover import storage
from snowcover.data.index import is_path
from snowcover.errors import UserError
from snowcover.prepare import raster, scene
from snowcover.prepare.config import Config, ImageryConfig
from snowcover.sensors.planetscope import is_udm

_WILD = re.compile(r"[*?\[]")
_TIFF = re.compile(r"\.tiff?$", re.IGNORECASE)


class NoScenes(UserError):
    """No file matches, or two would share a folder."""


class OverwritesSource(UserError):
    """A source would be replaced by a file that is made from it."""


def scenes(config: Config) -> list[str]:
    """The uris of the scenes, sorted.

    Raises:
        NoScenes, MixedQuantities
    """
    found = sorted({file.uri for pattern in config.patterns for file in matching(pattern)})
    check_compatible(config, found)
    return found


def check_compatible(config: ImageryConfig, found: Sequence[str]) -> None:
    """Refuse scenes that one command cannot process, each in a folder of its name.

    Raises:
        NoScenes, MixedQuantities
    """
    if not found:
        raise NoScenes("scenes is an empty list: name at least one file.")
    names = [raster.stem(uri) for uri in found]
    named: dict[str, str] = {}
    for uri, name in zip(found, names, strict=True):
        other = named.setdefault(name.casefold(), uri)  # file systems may ignore case
        if other != uri:
            raise NoScenes(f"Two of the scenes, {other} and {uri}, would share a folder in out: give them apart.")
    if config.udm.file and len(found) > 1:
        raise NoScenes(f"udm.file names one mask, scenes names {len(found)} scenes: give one scene, or no udm.file.")
    scene.refuse_mixture(names, converts=config.radiance == "reflectance")


def matching(pattern: str, key: str = "scenes") -> list[storage.File]:
    """The files that match a pattern; masks next to the scenes (UDM) are left out.

    `*` never matches a slash, and no wildcard matches a leading dot. A pattern that ends in .tif also matches .TIF.

    Raises: NoScenes
    """
    literal = _WILD.split(pattern, maxsplit=1)[0]
    wanted = _without_case_of_ending(pattern).split("/")
    found = []
    for file in storage.list_files(_TIFF.sub("", literal)):
        names = _without_case_of_ending(file.uri).split("/")
        if not is_udm(file.uri) and len(names) == len(wanted) and all(map(_matches, names, wanted)):
            found.append(file)
    if exact := [file for file in found if file.uri == pattern]:
        return exact
    if not found:
        raise NoScenes(f"No file matches {key}={pattern}: check the path, and quote it where it has a *.")
    return found


def _without_case_of_ending(name: str) -> str:
    return _TIFF.sub(lambda ending: ending.group().lower(), name)


def _matches(name: str, wanted: str) -> bool:
    is_hidden = name.startswith(".") and not wanted.startswith(".")  # ._NAME.tif: written by macOS next to a file
    return not is_hidden and fnmatch.fnmatchcase(name, wanted)


def refuse_overwriting(uri: str, folder: str, products: tuple[str, ...]) -> None:
    """Refuse a source that lies in `folder` where a product or a tile will be written.

    Raises: OverwritesSource
    """
    for name in _names_below(uri, folder):
        if name in products or is_path(name):
            raise OverwritesSource(
                f"{uri} would be replaced by the {name} that is made from it: give another out=..., or move the source."
            )


def _names_below(uri: str, folder: str) -> Iterator[str]:
    """The source's name below a folder, by its path and, on the local disk, with links resolved."""
    if uri.startswith(f"{folder}/"):
        yield uri.removeprefix(f"{folder}/")
    if not storage.is_remote(uri) and not storage.is_remote(folder):
        real, above = Path(os.path.realpath(uri)), Path(os.path.realpath(folder))
        if real.is_relative_to(above):
            yield str(real.relative_to(above))
