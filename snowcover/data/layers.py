"""Layers of a place, read as channels: tiles without a date, and the light on the ground at a scene's time."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snowcover.data import geotiff
from snowcover.data.bands import ALPHA, names_in_file
from snowcover.data.dates import instant_in
from snowcover.data.fill_values import refuse_untagged_fill
from snowcover.data.folder import Folder
from snowcover.data.layer_names import ASPECT_BANDS, ILLUMINATION, SLOPE, all_channels, bands_of, channels_of
from snowcover.data.listing import Listing
from snowcover.data.observed import equals
from snowcover.data.place import check_place
from snowcover.data.raster_mask import dataset_mask
from snowcover.data.terrain import illumination, rise_downhill, sun_position
from snowcover.data.tile_bytes import tile_bytes
from snowcover.data.tiles import Tile, bounds, longitude_latitude, path
from snowcover.errors import UserError
from snowcover.storage.cache import Cache

Array = np.ndarray[Any, Any]
NAMED = 3  # how many tiles a message names


class NoLayer(UserError):
    """A layer has no tiles, or none where a scene has one."""


class WrongLayer(UserError):
    """A layer's tile does not hold what its name says, or is of another size than the image."""


class NoTime(UserError):
    """Illumination is asked for of a scene whose name does not say when it was taken."""


@dataclass(frozen=True)
class LayerReader:
    """Reads the layers of one data config; safe to share between threads."""

    places: Mapping[str, str]
    """folder or s3:// prefix of each layer, in the order of their channels"""
    folders: Mapping[str, Folder] = field(repr=False)
    """by place"""
    notes: tuple[str, ...] = ()
    """what to show the user about the folders"""
    cache: Cache | None = None

    @classmethod
    def of(cls, places: Mapping[str, str], cache: Cache | None = None) -> "LayerReader | None":
        """The layers at these places, listed; None of no layers.

        Raises:
            NoLayer, TileTwice, FolderDiffers, BadIndex, StorageError
        """
        if not places:
            return None
        listing = Listing()
        folders = {place: _listed(name, place, listing) for name, place in places.items()}
        return cls(places, folders, tuple(listing.notes), cache)

    @property
    def channels(self) -> tuple[str, ...]:
        return all_channels(self.places)

    def check(self, wanted: Iterable[tuple[str, Tile]]) -> None:
        """Refuse scenes (by name) and tiles of them that the layers do not reach, before any is read.

        Raises:
            NoLayer, NoTime
        """
        wanted = list(wanted)
        for scene in dict.fromkeys(scene for scene, _ in wanted):
            self.check_time(scene)
        for name, place in self.places.items():
            there = self.folders[place].tiles
            if missing := sorted({tile for _, tile in wanted if tile not in there}):
                shown = ", ".join(map(path, missing[:NAMED])) + (", ..." if len(missing) > NAMED else "")
                raise NoLayer(
                    f"The layer {name}, {place}, has no tile where {len(missing)} image tiles lie ({shown}): make its "
                    "tiles of a raster that covers all of the ground (python -m snowcover.prepare layer=...), at the "
                    "zoom of the images."
                )

    def check_time(self, scene: str) -> None:
        """Raises: NoTime"""
        if ILLUMINATION in self.places and instant_in(scene) is None:
            raise NoTime(
                f"The scene {scene} does not say at what time it was taken, so where the sun stood is not known: name "
                "it by date and time in UTC (20180528_181110_...), or leave illumination out of the layers."
            )

    def digest(self, tiles: Iterable[Tile]) -> str:
        """SHA-256 over what the layers of these tiles are, not where they lie."""
        lines = [
            f"{name} {path(tile)} {self.folders[place].tiles[tile].size_bytes}\n"
            for name, place in self.places.items()
            for tile in sorted(set(tiles))
        ]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def reaches(self, tile: Tile) -> bool:
        """Whether every layer has this tile."""
        return all(tile in folder.tiles for folder in self.folders.values())

    def read(self, scene: str, tile: Tile, size_px: tuple[int, int]) -> Array:
        """All channels [L, H, W] float32 of a scene's tile, NaN where there are no data, or no tile.

        To be called in `geotiff.environment()`.

        Args:
            size_px: height and width of the image's tile.

        Raises:
            WrongLayer, NoTime, BrokenTile, WrongPlace, UntaggedFill, StorageError: naming the file.
        """
        stored = {place: self._bands(place, tile, size_px) for place in self.folders}
        parts = [
            part
            for name, place in self.places.items()
            for part in (
                [_lit(stored[place], scene, tile)]
                if name == ILLUMINATION
                else [stored[place][channel] for channel in channels_of(name)]
            )
        ]
        return np.stack(parts)

    def _bands(self, place: str, tile: Tile, size_px: tuple[int, int]) -> dict[str, Array]:
        """By name, [H, W] each: all that the layers of one place need."""
        names = [name for name, its in self.places.items() if its == place]
        wanted = list(dict.fromkeys(band for name in names for band in bands_of(name)))
        file = self.folders[place].tiles.get(tile)
        if file is None:
            return {band: np.full(size_px, np.nan, np.float32) for band in wanted}
        return _read(file.uri, tile_bytes(file, self.cache), tile, wanted, size_px)


def _listed(name: str, place: str, listing: Listing) -> Folder:
    found = listing.layer(place)
    if found is None:
        raise NoLayer(
            f"The layer {name} has no tiles under {place.rstrip('/')}/: give a layer, a folder of z/x/y.tif, as "
            "`python -m snowcover.prepare layer=...` makes them."
        )
    return found


def _read(uri: str, content: bytes, tile: Tile, wanted: Sequence[str], size_px: tuple[int, int]) -> dict[str, Array]:
    with geotiff.opened(uri, content) as file:
        check_place(uri, file, tile)
        if (file.height, file.width) != size_px:
            raise WrongLayer(
                f"{uri} has {file.width} x {file.height} pixels, the image tile of its place {size_px[1]} x "
                f"{size_px[0]}: tile both with the same tile size."
            )
        names = names_in_file(file.descriptions, [colour.name for colour in file.colorinterp])
        numbers = _numbers(uri, names, wanted)
        stored = geotiff.read(uri, file, numbers)
        mask = dataset_mask(uri, file, names)
        factors = [(file.scales[number - 1], file.offsets[number - 1]) for number in numbers]
        nodata = file.nodata
    seen = np.ones(stored.shape[1:], bool) if mask is None else mask != 0
    if nodata is None and mask is None:
        for band in stored:
            refuse_untagged_fill(uri, band[None], np.isfinite(band))
    return {
        name: _values(band, seen & ~equals(band, nodata), *factor)
        for name, band, factor in zip(wanted, stored, factors, strict=True)
    }


def _values(stored: Array, seen: Array, scale: float, offset: float) -> Array:
    """[H, W] float32: what the numbers of a band stand for, NaN where there are none."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = stored.astype(np.float32) if (scale, offset) == (1, 0) else stored * np.float64(scale) + offset
        return np.where(seen & np.isfinite(values), values, np.nan).astype(np.float32)


def _numbers(uri: str, names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Numbers, from 1, of the wanted bands; the only band of a file that names none is the only one wanted."""
    data = [number for number, name in enumerate(names, start=1) if name != ALPHA]
    if len(data) == len(wanted) == 1 and not names[data[0] - 1]:
        return data
    if wrong := [name for name in wanted if list(names).count(name) != 1]:
        raise WrongLayer(
            f"{uri} says that its bands are {', '.join(name or '(no name)' for name in names)}, and the layer needs "
            f"one called {wrong[0]}: make the tiles with `python -m snowcover.prepare layer=...`, or name the layer as "
            "its band is."
        )
    return [list(names).index(name) + 1 for name in wanted]


def _lit(bands: Mapping[str, Array], scene: str, tile: Tile) -> Array:
    """[H, W] cosine of the sun's angle to the ground, 0 where it faces away; shadows that other ground throws are not
    in it."""
    time = instant_in(scene)
    if time is None:
        raise NoTime(f"The scene {scene} does not say at what time it was taken.")
    left, bottom, right, top = bounds(tile)
    sun = sun_position(time, *longitude_latitude((left + right) / 2, (bottom + top) / 2))
    rise = rise_downhill(bands[SLOPE], *(bands[name] for name in ASPECT_BANDS))
    return np.maximum(illumination(rise, *sun), np.float32(0))
