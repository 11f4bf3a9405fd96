"""Detects untagged fill values, such as -9999, before any tile is made."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from snowcover.data.fill_values import USUAL_FILLS
from snowcover.errors import UserError
from snowcover.prepare.nodata import seen
from snowcover.prepare.pixels import Pixels
from snowcover.prepare.reprojection import Array

STRIP_ROWS, STRIP_COLUMNS = 512, 16384  # read at once: 32 MB of float32
MANY = 0.001  # an impossible value in more than this share of a raster's pixels is a fill value
SAMPLED = 100_000  # suspicious values per strip at most; a fill value covers whole areas
NO_MEASUREMENT = 1e10  # above are fill values of netCDF (9.97e36), ArcGIS (-3.4e38) and others, but no measurements


class UntaggedFill(UserError):
    """Many pixels have an impossible value that no tag declares as nodata."""


class NotAlpha(UserError):
    """A band is tagged as alpha, but holds measurements."""


class Fill(NamedTuple):
    """A value and the number of pixels that have it."""

    value: float
    px: int


class Suspects:
    """Counts of values that cannot be measurements."""

    def __init__(self) -> None:
        self.counts: Counter[float] = Counter()

    def add(self, values: Array) -> None:
        """Count suspicious values, of any shape."""
        step = -(-values.size // SAMPLED) if values.size else 1
        found, counts = np.unique(values.ravel()[::step], return_counts=True)
        for value, count in zip(found.tolist(), counts.tolist(), strict=True):
            self.counts[value] += count * step

    def most(self) -> Fill:
        """The most frequent one."""
        return Fill(*max(self.counts.items(), key=lambda item: item[1])) if self.counts else Fill(0, 0)


def strips(width: int, height: int) -> Iterator[Window]:
    """Windows that cover a raster once, top to bottom, each small enough to hold in memory."""
    for row in range(0, height, STRIP_ROWS):
        for column in range(0, width, STRIP_COLUMNS):
            yield Window(column, row, min(STRIP_COLUMNS, width - column), min(STRIP_ROWS, height - row))


def refuse_fill(uri: str, fill: Fill, all_px: int, otherwise: str = "") -> None:
    """Raises: UntaggedFill"""
    if fill.px > MANY * all_px:
        raise UntaggedFill(
            f"{uri} holds the value {fill.value:.9g} in {fill.px / all_px:.1%} of its pixels, and no tag says that it "
            f"is nodata: give it, nodata={fill.value:.9g}, if nothing was observed there{otherwise}."
        )


@dataclass(frozen=True)
class Impossible:
    """Values that imagery cannot have in all bands of many pixels."""

    zero: bool
    negative: bool
    top: float
    """this value and above; infinite if saturated snow may have the largest number"""

    def of(self, bands: Sequence[Array], known: Array) -> Array:
        """The impossible values [n] among the observed pixels, `known` [H, W]."""
        first = bands[0]
        with np.errstate(invalid="ignore"):
            odd: Array = first >= self.top
            if self.negative:
                odd |= first < 0
            if self.zero:
                odd |= first == 0
        odd &= known
        for band in bands[1:]:
            odd &= band == first
        return first[odd]


def impossible(pixels: Pixels, nodata: Sequence[float]) -> Impossible | None:
    """The impossible values of a scene, by its type and tags; None if it has none.

    Unsigned integers with a nodata value or a mask may be saturated, as snow is; bytes always may.
    """
    kind = np.dtype(pixels.dtype)
    has_nodata = pixels.nodata is not None or pixels.has_mask
    top = NO_MEASUREMENT if kind.kind == "f" else float(np.iinfo(kind).max)
    if pixels.dtype == "uint8" or (kind.kind == "u" and has_nodata):
        top = np.inf
    found = Impossible(0 not in nodata and not pixels.has_mask, kind.kind != "u", top)
    return found if found.zero or found.negative or np.isfinite(top) else None


def check_scene(uri: str, file: DatasetReader, pixels: Pixels, nodata: Sequence[float], given: float | None) -> None:
    """Look for one impossible value in all bands, unless the user gave nodata.

    Raises:
        UntaggedFill, NotAlpha
    """
    if pixels.alpha is not None:
        _check_alpha(uri, file, pixels.alpha)
    odd = impossible(pixels, nodata)
    if given is not None or odd is None:
        return
    suspects = Suspects()
    for window in strips(file.width, file.height):
        bands = list(file.read(list(pixels.numbers), window=window))
        suspects.add(odd.of(bands, seen(bands, nodata, pixels.read_mask(file, window))))
    own = nodata[0] if nodata else 0
    refuse_fill(uri, suspects.most(), file.width * file.height, f", else what is nodata, nodata={own:.9g}")


def check_layer(uri: str, file: DatasetReader, pixels: Pixels, nodata: Sequence[float], given: float | None) -> None:
    """Look for one usual or huge fill value in many pixels of a layer.

    Raises:
        UntaggedFill
    """
    if given is not None or pixels.has_mask or pixels.nodata is not None:
        return
    suspects = Suspects()
    for window in strips(file.width, file.height):
        values = file.read(pixels.numbers[0], window=window)
        odd = np.isin(values, USUAL_FILLS) | (np.abs(values) >= NO_MEASUREMENT)
        suspects.add(values[odd & seen([values], nodata, None)])
    refuse_fill(uri, suspects.most(), file.width * file.height)


def _check_alpha(uri: str, file: DatasetReader, number: int) -> None:
    """GDAL takes the fourth of four uint8 bands for alpha by default, even if it is near-infrared."""
    between = 0
    for window in strips(file.width, file.height):
        alpha = file.read(number, window=window)
        between += int(np.count_nonzero((alpha != 0) & (alpha != _opaque(alpha))))
    all_px = file.width * file.height
    if between > 0.05 * all_px:
        raise NotAlpha(
            f"{uri} tags its band {number} as alpha, a mask, but {between / all_px:.0%} of its values "
            f"are neither 0 nor the greatest: if it is a measurement, name it, for example rio edit-info {uri} "
            f"--bidx {number} --description nir."
        )


def _opaque(alpha: Array) -> float:
    return float(np.iinfo(alpha.dtype).max) if alpha.dtype.kind in "iu" else float(alpha.max())


def distinct(values: Array, known: Iterable[float], most: int) -> dict[float, int] | None:
    """How often each value occurs, `known` values counted first; None if there are more than `most`."""
    sample = values[:: max(1, values.size // 10_000)]
    if len(np.unique(sample)) > most:
        return None
    counts: dict[float, int] = {}
    rest, guesses = values, list(known)
    while rest.size:
        value = guesses.pop() if guesses else rest[0].item()
        hits = rest == value
        count = int(np.count_nonzero(hits))
        if count:
            counts[value] = count
            rest = rest[~hits]
        if len(counts) > most:
            return None
    return counts
