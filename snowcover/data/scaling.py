"""What stored numbers mean as reflectance: by the config, by the tiles' files, and whether it can be. Pure."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from snowcover.errors import UserError

LEAST, MOST = 0.01, 2.0  # mean reflectance of any ground; deep water is darker, fresh snow facing the sun brighter
USUAL = 0.3


class WrongScaling(UserError):
    """What a tile's file says of scale and offset is not what the config or the other tiles say."""


class Scaling(NamedTuple):
    """Reflectance = stored * scale + offset."""

    scale: float
    offset: float


def of_bands(uri: str, scales: Sequence[float], offsets: Sequence[float]) -> Scaling | None:
    """What a file says of all its used bands; None where it says nothing, which GDAL gives as 1 and 0.

    Raises:
        WrongScaling: the bands differ, or what is said is no scale.
    """
    found = sorted({Scaling(*each) for each in zip(scales, offsets, strict=True)})
    for each in found:
        if not (math.isfinite(each.scale) and each.scale > 0 and math.isfinite(each.offset)):
            raise WrongScaling(
                f"{uri} says that it is of {_text(each)}: correct the file (gdal_edit.py -scale -offset)."
            )
    if len(found) > 1:
        raise WrongScaling(
            f"{uri} has bands of {' and '.join(map(_text, found))}, and data.scale is one for all: give its bands one "
            "scale (gdal_translate -unscale), or use one such band."
        )
    return None if found[0] == Scaling(1, 0) else found[0]


def refuse_other(uri: str, said: Scaling | None, like_uri: str, like: Scaling | None) -> None:
    """Hold a tile against another of the same run.

    Raises:
        WrongScaling
    """
    if said != like:
        raise WrongScaling(
            f"{uri} tells of {_text(said)}, {like_uri} of {_text(like)}: train on tiles of one scale, or write the one "
            "that they have into their files (gdal_edit.py -scale -offset)."
        )


def refuse_contradiction(uri: str, said: Scaling | None, given: Scaling) -> None:
    """Hold what a tile says against the config.

    Raises:
        WrongScaling
    """
    if said is None or all(math.isclose(*pair, rel_tol=1e-5, abs_tol=1e-12) for pair in zip(said, given, strict=True)):
        return
    raise WrongScaling(
        f"{uri} says that its numbers are of {_text(said)}, and the config of {_text(given)}: give data.scale="
        f"{said.scale:.9g} data.offset={said.offset:.9g}, or correct the files (gdal_edit.py -scale -offset)."
    )


def improbable(mean: Sequence[float], given: Scaling, dtype: str) -> str | None:
    """What to say of a mean reflectance that no ground has; None of any other.

    Args:
        mean: reflectance of each band.
        dtype: of the stored numbers.
    """
    reflectance = sum(mean) / len(mean)
    if LEAST <= reflectance <= MOST:
        return None
    stored = (reflectance - given.offset) / given.scale
    keys = f"data.scale={given.scale:g} " + (f"data.offset={given.offset:g} are" if given.offset else "is")
    warning = (
        f"The mean reflectance of the training tiles is {reflectance:.4g}, that of ground {LEAST:g} to {MOST:g}: "
        f"{keys} likely wrong"
    )
    if given.offset or stored <= 0:
        return f"{warning}."
    likely = 1 / 255 if dtype == "uint8" else 10.0 ** round(math.log10(USUAL / stored))
    return f"{warning}; data.scale={likely:.6g} would make it {stored * likely:.2g}."


def _text(scaling: Scaling | None) -> str:
    return "none" if scaling is None else f"scale {scaling.scale:.9g} and offset {scaling.offset:.9g}"
