"""The manifest: the frozen list of tile pairs that a run uses, listed once and kept as a file."""

import csv
import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from snowcover import storage
from snowcover.data.config import DataConfig, Source
from snowcover.data.dates import date_in, days_apart
from snowcover.data.folder import Folder
from snowcover.data.listing import Listing
from snowcover.data.tiles import Tile
from snowcover.errors import UserError

NAMED = 3  # how many unmatched tiles a message names
MOST_DAYS_APART = 7  # snow melts within days: a scene of another week is no picture of what was measured


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
    notes: tuple[str, ...] = ()
    """what to show the user before training"""

    @property
    def digest(self) -> str:
        """SHA-256 over what the pairs are, not where they lie: equal for a folder and its copy in S3."""
        lines = (f"{p.name} {p.collect} {p.date} {p.image_bytes} {p.mask_bytes}\n" for p in self.pairs)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def zoom(self) -> int | None:
        """Of all its tiles; None where they are of several."""
        zooms = {pair.z for pair in self.pairs}
        return zooms.pop() if len(zooms) == 1 else None

    def to_csv(self) -> str:
        """The text of manifest.csv: a heading, then a line per pair; `from_csv` reads it."""
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
    if len({(pair.image, pair.mask) for pair in pairs}) < len(pairs):
        raise BadManifest(f"{uri} is not a manifest: it lists a pair of tiles twice.")
    return Manifest(tuple(sorted(pairs)))


def manifest(data: DataConfig) -> Manifest:
    """The pairs that the config names: from its manifest file if it gives one, else by listing.

    Raises:
        NoTiles, Unmatched, BadManifest, TileTwice, FolderDiffers, StorageError
    """
    if data.manifest:
        return read(data.manifest)
    listed = Listing()
    parts = [_pair(source, listed) for source in data.sources]
    pairs = sorted(pair for part in parts for pair in part.pairs)
    _refuse_twice(pairs)
    result = Manifest(
        tuple(pairs),
        tuple(name for part in parts for name in part.images_without_mask),
        tuple(name for part in parts for name in part.masks_without_image),
        (*listed.notes, *(note for part in parts for note in part.notes)),
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


def read(uri: str) -> Manifest:
    """The manifest of an earlier run, at a path or s3:// uri.

    Raises:
        BadManifest, StorageError
    """
    try:
        return from_csv(storage.read(uri).decode(), uri)
    except UnicodeDecodeError as error:
        raise BadManifest(f"{uri} is not a manifest: it is no text.") from error


def _refuse_twice(pairs: Sequence[Pair]) -> None:
    images: dict[tuple[str, Tile], Pair] = {}
    seen = set()
    for pair in pairs:
        if (pair.image, pair.mask) in seen:
            raise NoTiles(f"data.sources names {pair.image} twice with the same mask: let each scene match one source.")
        seen.add((pair.image, pair.mask))
        other = images.setdefault((pair.scene, pair.tile), pair)
        if other.image != pair.image:
            raise NoTiles(
                f"{other.image} and {pair.image} are one tile of scenes of one name: leave one of them out, or rename "
                "its folder if it is another scene."
            )


def _pair(source: Source, listed: Listing) -> Manifest:
    collect = listed.collect(source.collect)
    if collect is None:
        folder = source.collect.rstrip("/")
        raise NoTiles(f"No mask tiles under {folder}/: it must be a collect, a folder of z/x/y.tif.")
    masks = collect.tiles
    scenes = [scene for pattern in source.patterns for scene in _scenes(pattern, listed)]
    images = [(scene, tile, file) for scene in scenes for tile, file in scene.tiles.items()]
    paired = [(scene, tile, file) for scene, tile, file in images if tile in masks]
    if not paired:
        raise NoTiles(
            f"None of the {len(images)} image tiles of {', '.join(source.patterns)} has a mask in {collect.uri}/: "
            f"image zooms {_zooms(tile for _, tile, _ in images)}, mask zooms {_zooms(masks)}; "
            "tile both at one zoom, over the same ground."
        )
    date = source.date or date_in(collect.name)
    seen = {tile for _, tile, _ in paired}
    return Manifest(
        tuple(
            Pair(scene.name, *tile, collect.name, date, file.uri, masks[tile].uri, file.size_bytes,
                 masks[tile].size_bytes)
            for scene, tile, file in paired
        ),
        tuple(file.uri for _, tile, file in images if tile not in masks),
        tuple(file.uri for tile, file in masks.items() if tile not in seen),
        _far_in_time(sorted({scene.name for scene, _, _ in paired}), collect.name, date),
    )  # fmt: skip


def _scenes(pattern: str, listed: Listing) -> list[Folder]:
    found = listed.scenes(pattern)
    if not found:
        raise NoTiles(f"No image tiles under {pattern.rstrip('/')}/: it must match scenes, folders of z/x/y.tif.")
    return found


def _far_in_time(scenes: Sequence[str], collect: str, date: str) -> tuple[str, ...]:
    apart = {scene: days_apart(date_in(scene), date) for scene in scenes}
    far = {scene: days for scene, days in apart.items() if days is not None and days > MOST_DAYS_APART}
    if not far:
        return ()
    names = [f"{scene}: {days} days" for scene, days in far.items()]
    return (f"{some(names, 'scene')} of another time than their masks, {collect}: snow may have come or gone.",)


def _zooms(tiles: Iterable[Tile]) -> str:
    return ", ".join(map(str, sorted({tile.z for tile in tiles})))
