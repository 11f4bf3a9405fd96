"""The unit of a raster's values in its many spellings, and its length in metres."""

import re
from collections.abc import Iterator

from rasterio.io import DatasetReader

_SPELLINGS = {
    "m": "m meter meters metre metres",
    "cm": "cm centimeter centimeters centimetre centimetres",
    "mm": "mm millimeter millimeters millimetre millimetres",
    "dm": "dm decimeter decimeters decimetre decimetres",
    "km": "km kilometer kilometers kilometre kilometres",
    "ft": "ft foot feet international_foot us_survey_foot us_ft ft_us ftus us_foot",
    "in": "in inch inches",
}
UNITS = {word: unit for unit, words in _SPELLINGS.items() for word in words.split()}
IN_METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001, "dm": 0.1, "km": 1000.0, "ft": 0.3048, "in": 0.0254}
_NO_UNIT = {"", "1", "none", "unknown", "unitless", "undefined", "na", "n/a", "-"}
_KEYS = {"units", "unit", "unittype", "unit_type"}
_TEXTS = re.compile(r"(tifftag_imagedescription|(.*#)?(description|long_name)|band_?\d*)", re.IGNORECASE)
_IN_BRACKETS = re.compile(r"[\[(]\s*([A-Za-z][A-Za-z_ .-]*?)\s*[\])]")
_AT_THE_END = re.compile(
    r"(?:[_ ]|\bin )(cm|mm|ft|feet|foot|inch(?:es)?|\w{4,5}met(?:er|re)s?|met(?:er|re)s?)\s*$", re.I
)


def unit_of(file: DatasetReader, band: int) -> tuple[str, ...]:
    """All units that a file gives a band, "cm" for any spelling of it; a word that is not a length unit, unchanged."""
    stated = [word for word in _stated(file, band) if word.lower() not in _NO_UNIT]
    return tuple(dict.fromkeys([_normalised(word) for word in stated] + list(_in_texts(file, band))))


def _normalised(word: str) -> str:
    return UNITS.get(re.sub(r"[ .-]+", "_", word.strip().lower()), word.strip())


def _stated(file: DatasetReader, band: int) -> Iterator[str]:
    """Units in the fields and tags meant for units."""
    yield (file.units[band - 1] or "").strip()
    for tags in (file.tags(band), file.tags()):
        for key, text in tags.items():
            if key.rsplit("#", 1)[-1].lower() in _KEYS:
                yield text.strip()


def _in_texts(file: DatasetReader, band: int) -> Iterator[str]:
    """Units in descriptions of the band: "ASO Depth [m]", "snow_depth_cm"."""
    tags = {**file.tags(), **file.tags(band)}
    for text in [file.descriptions[band - 1] or "", *(text for key, text in tags.items() if _TEXTS.fullmatch(key))]:
        words = _IN_BRACKETS.findall(text) + _AT_THE_END.findall(text)
        yield from (UNITS[plain] for word in words if (plain := re.sub(r"[ .-]+", "_", word.lower())) in UNITS)
