"""The manifest: the frozen list of tile pairs that a run uses, listed once and kept as a file."""

import csv
import fnmatch
import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from snowcover import storage
from snowcover.config import DataConfig, Source
from snowcover.data import index
from snowcover.data.tiles import Tile, parse
from snowcover.errors import UserError

NAMED = 3  # how many unmatched tiles a message names


class NoTiles(UserError):
    """A source has no image tiles, no mask tiles, or none that belong together."""


class Unmatched(UserError):
    """Images without a mask where the config allows none."""


class BadManifest(UserError):
    """A file given as data.manifest is not a manifest."""


@dataclass(frozen=True, order=True)
class Pair:
    """An image tile and the mask tile of the same ground."""

    scene: str
    z: int
    x: int
    y: int
    collect: str
    date: str
    image: str
    mask: str
    image_bytes: int
    mask_bytes: int

    @property
    def tile(self) -> Tile:
        return Tile(self.z, self.x, self.y)

    @property
    def name(self) -> str:
        return f"{self.scene}/{self.z}/{self.x}/{self.y}"


@dataclass(frozen=True)
class Manifest:
    """Pairs in a fixed order, with what was left out of them."""

    pairs: tuple[Pair, ...]
    images_without_mask: tuple[str, ...] = ()
    masks_without_image: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 over what the pairs are, not where they lie: equal for a folder and its copy in S3."""
        lines = (f"{p.name} {p.collect} {p.date} {p.image_bytes} {p.mask_bytes}\n" for p in self.pairs)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def to_csv(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(field.name for field in fields(Pair))
        writer.writerows([getattr(pair, field.name) for field in fields(Pair)] for pair in self.pairs)
        return text.getvalue()


def from_csv(text: str, uri: str) -> Manifest:
    """The manifest in a CSV text; `uri` is only named in errors.

    Raises:
        BadManifest: a column is missing or a value is not of its type.
    """
    rows = csv.DictReader(io.StringIO(text))
    names = [field.name for field in fields(Pair)]
    if rows.fieldnames != names:
        raise BadManifest(f"{uri} is not a manifest: its first line must be {','.join(names)}.")
    try:
        pairs = [Pair(**{f.name: f.type(row[f.name]) for f in fields(Pair)}) for row in rows]  # type: ignore[operator]
    except (TypeError, ValueError) as error:
        raise BadManifest(f"{uri} is not a manifest: line {rows.line_num}: {error}.") from error
    if not pairs:
        raise BadManifest(f"{uri} is an empty manifest: it lists no pairs.")
    return Manifest(tuple(sorted(pairs)))


def manifest(data: DataConfig) -> Manifest:
    """The pairs that the config names: from its manifest file if it gives one, else by listing.

    Raises:
        NoTiles, Unmatched, BadManifest, StorageError
    """
    if data.manifest:
        return from_csv(storage.read(data.manifest).decode(), data.manifest)
    listed = Listing()
    parts = [_pair(source, listed) for source in data.sources]
    pairs = sorted(pair for part in parts for pair in part.pairs)
    if twice := [name for name, count in Counter((p.image, p.mask) for p in pairs).items() if count > 1]:
        raise NoTiles(f"data.sources names {twice[0][0]} twice with the same mask: let each scene match one source.")
    result = Manifest(
        tuple(pairs),
        tuple(name for part in parts for name in part.images_without_mask),
        tuple(name for part in parts for name in part.masks_without_image),
    )
    if data.unmatched == "error" and result.images_without_mask:
        raise Unmatched(
            f"{some(result.images_without_mask)} without a mask: tile the collect first, or set data.unmatched=skip."
        )
    return result


def some(names: Sequence[str], noun: str = "image") -> str:
    """`12 images (a, b, c, ...)`, for a message."""
    shown = ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
    return f"{len(names)} {noun}{'s' if len(names) != 1 else ''} ({shown})"


class Listing:
    """Listings by prefix, each asked for once though several sources may share it."""

    def __init__(self) -> None:
        self._files: dict[str, list[storage.File]] = {}

    def __call__(self, prefix: str) -> list[storage.File]:
        if prefix not in self._files:
            self._files[prefix] = storage.list_files(prefix)
        return self._files[prefix]

    def folder(self, folder: str) -> list[storage.File]:
        """The tiles of one scene or collect, from the index that prepare left there if it is complete."""
        uri = f"{folder}/{index.NAME}"
        try:
            found = index.from_json(storage.read(uri), uri)
        except storage.MissingFile:
            return self(f"{folder}/")
        if not found.complete:
            return self(f"{folder}/")
        return [storage.File(f"{folder}/{entry.path}", entry.size_bytes) for entry in found.tiles]


def _pair(source: Source, listed: Listing) -> Manifest:
    collect = source.collect.rstrip("/")
    masks = {tile: file for _, tile, file in _tiles(listed.folder(collect))}
    if not masks:
        raise NoTiles(f"No mask tiles under {collect}/: it must be a collect, a folder of z/x/y.tif.")
    images = [found for pattern in source.patterns for found in _scene_tiles(pattern, listed)]
    paired = [(folder, tile, file) for folder, tile, file in images if tile in masks]
    if not paired:
        raise NoTiles(
            f"None of the {len(images)} image tiles of {', '.join(source.patterns)} has a mask in {collect}/: "
            f"image zooms {_zooms(tile for _, tile, _ in images)}, mask zooms {_zooms(masks)}; "
            "tile both at one zoom, over the same ground."
        )
    name = collect.rsplit("/", 1)[-1]
    date = source.date or _date(name)
    seen = {tile for _, tile, _ in paired}
    return Manifest(
        tuple(
            Pair(folder.rsplit("/", 1)[-1], *tile, name, date, file.uri, masks[tile].uri, file.size_bytes,
                 masks[tile].size_bytes)
            for folder, tile, file in paired
        ),
        tuple(file.uri for _, tile, file in images if tile not in masks),
        tuple(file.uri for tile, file in masks.items() if tile not in seen),
    )  # fmt: skip


def _scene_tiles(pattern: str, listed: Listing) -> list[tuple[str, Tile, storage.File]]:
    """Image tiles in every scene folder that the pattern matches as a whole."""
    pattern = pattern.rstrip("/")
    literal = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    files = listed.folder(pattern) if literal == pattern else listed(literal)
    found = [found for found in _tiles(files) if _matches(found[0], pattern)]
    if not found:
        raise NoTiles(f"No image tiles under {pattern}/: it must match scenes, folders of z/x/y.tif.")
    return found


def _tiles(files: Iterable[storage.File]) -> Iterable[tuple[str, Tile, storage.File]]:
    for file in files:
        tile = parse(file.uri)
        if tile is not None:
            yield file.uri.rsplit("/", 3)[0], tile, file


def _matches(folder: str, pattern: str) -> bool:
    """Whole names, level by level: `*` never crosses a slash and `2018*` is no prefix of a longer path."""
    names, wanted = folder.split("/"), pattern.split("/")
    return len(names) == len(wanted) and all(map(fnmatch.fnmatchcase, names, wanted))


def _zooms(tiles: Iterable[Tile]) -> str:
    return ", ".join(map(str, sorted({tile.z for tile in tiles})))


def _date(collect: str) -> str:
    """The flight's date in a collect's name, YYYYMMDD, or nothing."""
    match = re.search(r"(?<!\d)(19|20)\d{6}(?!\d)", collect)
    return match.group() if match else ""
