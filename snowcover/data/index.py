"""`tiles.json`, which `python -m snowcover.prepare` leaves in each scene and collect: what was made, and from what.

Text in, text out; reading and writing files is left to the caller.
"""

import hashlib
import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from snowcover.data.tiles import parse, path
from snowcover.errors import UserError

NAME = "tiles.json"
AGAIN = "prepare this folder again with overwrite=true"
Setting = str | int | float | bool | tuple[str, ...] | tuple[int, ...] | tuple[float, ...] | None
Count = Annotated[int, Field(ge=0)]


class BadIndex(UserError):
    """A file called tiles.json is not the index of a scene or collect."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Entry(_Strict):
    """One tile that was made."""

    path: str
    """below the scene or collect: z/x/y.tif"""
    size_bytes: Count
    crc32: Count
    """zlib.crc32 of the file: shows a change since, though the size is the same"""
    observed_px: Count
    """pixels that are not nodata"""
    snow_px: Count | None = None
    """of these, the snow; None for imagery"""


class Origin(_Strict):
    """The file that the tiles were cut from."""

    name: str
    size_bytes: Count
    crc32: Count
    """zlib.crc32 of the file, and of GDAL's files next to it"""


class Index(_Strict):
    """A scene, collect or layer: complete once all its tiles are there."""

    version: Literal[2] = 2
    kind: Literal["scene", "collect", "layer"]
    complete: bool
    source: Origin
    settings: dict[str, Setting]
    """all that decides what the tiles hold"""
    tiles: tuple[Entry, ...] = ()
    files: dict[str, Count] = {}
    """size in bytes, by name, of what else was made: the preview, of a collect its mask and footprint"""

    @property
    def digest(self) -> str:
        """SHA-256 of source and settings: equal digests, equal tiles."""
        content = json.dumps([self.kind, self.source.model_dump(), self.settings], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def to_json(self) -> str:
        """The file's text, one tile a line; the same index gives the same bytes."""
        head = self.model_dump(mode="json", exclude={"tiles"}) | {"digest": self.digest}
        lines = ",\n".join(json.dumps(entry.model_dump(), separators=(",", ":")) for entry in self.tiles)
        return f'{json.dumps(head, indent=1, sort_keys=True)[:-2]},\n "tiles": [\n{lines}\n ]\n}}\n'


def from_json(text: str | bytes, uri: str) -> Index:
    """The index in a file's text; `uri` is only named in errors.

    Raises:
        BadIndex: a key is missing, unknown or of the wrong type, a path is no tile's, or the digest does not fit.
    """
    try:
        content = json.loads(text)
        digest = content.pop("digest", None)
        index = Index.model_validate_json(json.dumps(content))
    except (ValueError, AttributeError, ValidationError) as error:
        raise BadIndex(f"{uri} is not an index of tiles ({_first_line(error)}): {AGAIN}.") from error
    if wrong := [entry.path for entry in index.tiles if not is_path(entry.path)]:
        raise BadIndex(f"{uri} is not an index of tiles ({wrong[0]!r} is no z/x/y.tif): {AGAIN}.")
    if digest != index.digest:
        raise BadIndex(f"{uri} was changed by hand, its digest does not fit its settings: {AGAIN}.")
    return index


def is_path(name: str) -> bool:
    """Whether a name below a folder is z/x/y.tif and no more: a tile of that very folder."""
    tile = parse(name)
    return tile is not None and path(tile) == name


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        problem = error.errors()[0]
        return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
    return str(error).splitlines()[0]
