"""PlanetScope's four-band products: bands, scale, masks of unusable pixels, and the coefficients of radiance. Pure.

Formats: https://docs.planet.com/data/imagery/planetscope/ and https://docs.planet.com/data/imagery/udm/
"""

import math
import re
from collections.abc import Iterable
from typing import Literal, get_args
from xml.etree import ElementTree

from snowcover.errors import UserError

BANDS = ("blue", "green", "red", "nir")  # of a four-band file, in its order
REFLECTANCE_SCALE = 10000  # of surface reflectance: 1 is stored as 10000

Quantity = Literal["surface reflectance", "TOA radiance", "unknown"]
Udm2Band = Literal["clear", "snow", "shadow", "light_haze", "heavy_haze", "cloud", "confidence", "unusable"]
UDM2_BANDS: tuple[Udm2Band, ...] = get_args(Udm2Band)
UDM2_UNUSABLE = UDM2_BANDS.index("unusable")  # holds the bits of the older UDM

_ANALYTIC = re.compile(r"_AnalyticMS(_SR)?(_|$)")
# 20180528_181110_1025_3B_AnalyticMS_SR_clip -> 20180528_181110_1025; newer names have 4 parts, ..._26_2262
_ACQUISITION = re.compile(r"(\d{8}_\d{6}_\w+?)_[13][AB]_")
_UDM = re.compile(r"_udm(2?)(_|\.|$)", re.IGNORECASE)
_XML_BANDS = ".//{*}bandSpecificMetadata"


class MissingCoefficients(UserError):
    """A scene's reflectance coefficients are missing or wrong."""


def quantity(name: str) -> Quantity:
    """What the numbers of a scene of this name mean."""
    match = _ANALYTIC.search(name)
    if match is None:
        return "unknown"
    return "surface reflectance" if match.group(1) else "TOA radiance"


def is_udm(uri: str) -> bool:
    """Whether a file is a mask of unusable pixels, by its name."""
    return _UDM.search(_name(uri)) is not None


def udm_of(scene: str, files: Iterable[str]) -> str | None:
    """Of the files in a scene's folder, the UDM2 of the same acquisition, else its UDM."""
    acquisition = _ACQUISITION.match(_name(scene))
    if acquisition is None:
        return None
    found = {}
    for uri in files:
        name = _name(uri)
        kind = _UDM.search(name)
        if kind and name.lower().endswith((".tif", ".tiff")) and name.startswith(acquisition.group(1) + "_"):
            found[kind.group(1)] = uri
    return found.get("2", found.get(""))


def metadata_of(scene: str, files: Iterable[str]) -> str | None:
    """Of the files in a scene's folder, its metadata XML: NAME_metadata.xml, for a clip NAME_metadata_clip.xml."""
    name = _name(scene).rsplit(".", 1)[0].removesuffix("_clip")
    wanted = re.compile(rf"{re.escape(name)}_metadata(_clip)?\.(?i:xml)")
    return next((uri for uri in sorted(files) if wanted.fullmatch(_name(uri))), None)


def reflectance_coefficients(xml: bytes, uri: str, bands: int) -> list[float]:
    """Per band, what a digital number of radiance is multiplied by to give TOA reflectance (1 is white).

    Raises:
        MissingCoefficients: the file is no such metadata, or describes other bands.
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
            "put the metadata XML of this very scene next to it."
        )
    if wrong := [factor for factor in by_band.values() if not (math.isfinite(factor) and factor > 0)]:
        raise MissingCoefficients(
            f"{uri} has the reflectance coefficient {wrong[0]:g}: download the scene's metadata XML again."
        )
    return [by_band[band] for band in range(1, bands + 1)]


def _bands(xml: bytes) -> list[ElementTree.Element]:
    if b"<!DOCTYPE" in xml:
        raise ValueError("it defines a document type")  # entities of a hostile file could fill the memory
    return ElementTree.fromstring(xml).findall(_XML_BANDS)


def _number(band: ElementTree.Element, name: str) -> float:
    return float(band.findtext(f"{{*}}{name}") or "")


def _name(uri: str) -> str:
    return uri.rsplit("/", 1)[-1]
