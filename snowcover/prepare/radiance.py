"""Planet's radiance at the top of the atmosphere -> reflectance there, by a scene's metadata XML."""

import math
import re
from collections.abc import Iterable
from xml.etree import ElementTree

import numpy as np

from snowcover.errors import UserError
from snowcover.prepare.nodata import keep_off
from snowcover.prepare.reprojection import Array

_BANDS = ".//{*}bandSpecificMetadata"


class MissingCoefficients(UserError):
    """A scene's reflectance coefficients cannot be had."""


def metadata_beside(scene: str, files: Iterable[str]) -> str | None:
    """Of the files in a scene's folder, its metadata XML: NAME_metadata.xml, for a clip NAME_metadata_clip.xml."""
    name = scene.rsplit("/", 1)[-1].rsplit(".", 1)[0].removesuffix("_clip")
    wanted = re.compile(rf"{re.escape(name)}_metadata(_clip)?\.(?i:xml)")
    return next((uri for uri in sorted(files) if wanted.fullmatch(uri.rsplit("/", 1)[-1])), None)


def coefficients(xml: bytes, uri: str, bands: int) -> list[float]:
    """Per band, what a digital number is multiplied with to give reflectance (1 is white).

    Raises:
        MissingCoefficients: the file is no such metadata, or tells of other bands.
    """
    try:
        found = [(_number(band, "bandNumber"), _number(band, "reflectanceCoefficient")) for band in _bands(xml)]
    except (ElementTree.ParseError, TypeError, ValueError) as error:
        raise MissingCoefficients(
            f"{uri} is no Planet metadata ({error}): download the scene's metadata XML again."
        ) from error
    by_band = dict(found)
    if sorted(by_band) != list(range(1, bands + 1)):
        raise MissingCoefficients(
            f"{uri} has reflectance coefficients of {len(by_band)} bands, the scene has {bands}: "
            "put the metadata XML of this very scene beside it."
        )
    if wrong := [factor for factor in by_band.values() if not (math.isfinite(factor) and factor > 0)]:
        raise MissingCoefficients(
            f"{uri} has the reflectance coefficient {wrong[0]:g}: download the scene's metadata XML again."
        )
    return [by_band[band] for band in range(1, bands + 1)]


def _bands(xml: bytes) -> list[ElementTree.Element]:
    if b"<!DOCTYPE" in xml:
        raise ValueError("it defines a document type")  # entities of a hostile file could fill the memory
    return ElementTree.fromstring(xml).findall(_BANDS)


def _number(band: ElementTree.Element, name: str) -> float:
    return float(band.findtext(f"{{*}}{name}") or "")


def scaled(values: Array, factors: Array, seen: Array, nodata: float) -> Array:
    """Bands of [H, W, C] times their factors, in the same type; where not `seen` [H, W], nodata and only there."""
    result: Array = values * factors
    if values.dtype.kind in "iu":
        result = np.clip(np.rint(result), 0, np.iinfo(values.dtype).max)
    result = result.astype(values.dtype)
    result[seen == 0] = nodata
    keep_off(result, seen != 0, nodata)
    return result
