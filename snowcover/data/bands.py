"""What the bands of a raster are called, whoever wrote it. Pure.

A file says so by its bands' descriptions, else by their colours (GDAL's colour interpretation). Names are compared
without case, and the usual other words for a band mean it: R is red, NIR and near-infrared are nir. A name that only
counts ("Band 1") says nothing.
"""

import re
from collections.abc import Sequence

ALPHA = "alpha"
COLOURS = ("red", "green", "blue", ALPHA, "coastal", "yellow", "rededge", "nir", "swir", "mwir", "lwir", "tir")
ALIASES = {
    "b": "blue", "g": "green", "r": "red", "n": "nir", "rgb_red": "red", "rgb_green": "green", "rgb_blue": "blue",
    "nearinfrared": "nir", "near_infrared": "nir", "infrared": "nir", "nir1": "nir", "near_ir": "nir", "nearir": "nir",
    "red_edge": "rededge", "coastal_blue": "coastal", "coastal_aerosol": "coastal",
    "greeni": "green_i", "green1": "green_i",
}  # fmt: skip
KNOWN = {*COLOURS, *ALIASES.values()} - {ALPHA}
_COUNTED = re.compile(r"(band|layer|channel|lyr)?[ _.-]*\d+", re.IGNORECASE)
_IN_BRACKETS = re.compile(r"(.*?)\s*[(\[](.*)[)\]]")  # "Band 1 (Blue)", "Blue (450-515 nm)"


def canonical(name: str | None) -> str:
    """A band's name in our own words (blue, green, red, nir, ...), lower case; "" where it says nothing."""
    text = (name or "").strip()
    if parts := _IN_BRACKETS.fullmatch(text):
        known = [plain for part in parts.groups() if (plain := _plain(part)) in KNOWN]
        text = known[0] if known else parts[1] if _COUNTED.fullmatch(parts[1]) else text
    return "" if not text or _COUNTED.fullmatch(text) else _plain(text)


def _plain(text: str) -> str:
    plain = re.sub(r"[ .-]+", "_", text.strip().lower())
    return ALIASES.get(plain, ALIASES.get(plain.replace("_", ""), plain))


def names_in_file(descriptions: Sequence[str | None], colours: Sequence[str]) -> tuple[str, ...]:
    """The name of each band, "" where the file does not say, "alpha" for a band that is its mask.

    Args:
        descriptions: of the bands, as rasterio gives them.
        colours: names of GDAL's colour interpretation, such as "red" or "undefined"; "gray" says nothing.
    """
    return tuple(
        canonical(description) or (colour.lower() if colour.lower() in COLOURS else "")
        for description, colour in zip(descriptions, colours, strict=True)
    )
