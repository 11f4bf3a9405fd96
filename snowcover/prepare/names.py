"""What the bands of a scene are called: by its file, by the user, or by the product that it is. Never a guess."""

from collections.abc import Sequence

from snowcover.data.bands import KNOWN, canonical
from snowcover.errors import UserError
from snowcover.prepare.raster import Raster
from snowcover.prepare.scene import UnknownBands
from snowcover.sensors import planetscope


class ContradictedBands(UserError):
    """The user's names of bands are others than the file's, or one name is there twice."""


def band_names(raster: Raster, given: Sequence[str] | None) -> tuple[str, ...]:
    """Canonical names of a scene's bands of data, in the file's order.

    Raises:
        UnknownBands, ContradictedBands
    """
    said = _said(raster)
    names = said if given is None else _given(raster, said, given)
    if not any(names) and len(names) == len(planetscope.BANDS):
        return planetscope.BANDS
    if not all(names):
        raise UnknownBands(_unknown(raster, said))
    if twice := [name for name in names if names.count(name) > 1]:
        raise ContradictedBands(f"{raster.uri} has two bands called {twice[0]}: {_way_out(raster)}.")
    return names


def _said(raster: Raster) -> tuple[str, ...]:
    """The file's own names; the colours of a Planet product say only how its writer shows it, not what they are."""
    pixels = raster.pixels
    if planetscope.quantity(raster.name) == "unknown":
        return pixels.names
    return tuple(name if named else "" for name, named in zip(pixels.names, pixels.described, strict=True))


def _given(raster: Raster, said: Sequence[str], given: Sequence[str]) -> tuple[str, ...]:
    names = tuple(canonical(name) or name.lower() for name in given)
    if len(names) != len(said):
        raise UnknownBands(
            f"{raster.uri} has {len(said)} bands, bands names {len(names)} ({', '.join(given)}): name them all, in the "
            "file's order."
        )
    for number, (ours, theirs) in enumerate(zip(names, said, strict=True)):
        if ours != theirs and (theirs in KNOWN or ours in said):
            raise ContradictedBands(
                f"{raster.uri} calls its bands {_list(said)}, but bands calls number {number + 1} {ours}: leave bands "
                f"out to take the file's word, or {_way_out(raster)}."
            )
    return names


def _unknown(raster: Raster, said: Sequence[str]) -> str:
    if not any(said):
        return f"{raster.uri} has {len(said)} bands without names: name them in the file's order, bands=[...]."
    return f"{raster.uri} names only some of its bands ({_list(said)}): name them all in the file's order, bands=[...]."


def _list(names: Sequence[str]) -> str:
    return ", ".join(name or "no name" for name in names)


def _way_out(raster: Raster) -> str:
    return f"correct the file's own, each like rio edit-info {raster.uri} --bidx 1 --description blue"


def true_colour(names: Sequence[str]) -> tuple[int, ...]:
    """Indices of red, green and blue by name, else of the first three bands, of a single band alone."""
    if {"red", "green", "blue"} <= set(names):
        return tuple(names.index(name) for name in ("red", "green", "blue"))
    return (2, 1, 0) if len(names) >= 3 else (0,)
