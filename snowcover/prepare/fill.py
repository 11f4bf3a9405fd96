"""Values that stand for "nothing here" although no tag says so, such as -9999: looked for before any tile is made."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from snowcover.errors import UserError
from snowcover.prepare.pixels import Pixels, seen
from snowcover.prepare.positions import Array

STRIP_ROWS, STRIP_COLUMNS = 512, 16384  # read at once: 32 MB of float32
MANY = 0.001  # one value in more than this share of a raster's pixels, that nothing real can have, is a fill
LOOKED_AT = 100_000  # of a strip's suspicious values at most; all of a strip, and not some, are of one value in a fill
NO_MEASUREMENT = 1e10  # beyond it lie the fills of netCDF (9.97e36), ArcGIS (-3.4e38) and others, and nothing measured


class UntaggedFill(UserError):
    """Many pixels have a value that nothing real can have, and no tag calls it nodata."""


class NotAlpha(UserError):
    """A band is called alpha, but holds measurements."""


class Fill(NamedTuple):
    """One value and how many pixels have it."""

    value: float
    px: int


class Suspects:
    """Counts of values that cannot be measurements."""

    def __init__(self) -> None:
        self.counts: Counter[float] = Counter()

    def add(self, values: Array) -> None:
        """Values of any one shape, each of them suspicious."""
        step = -(-values.size // LOOKED_AT) if values.size else 1
        found, counts = np.unique(values.ravel()[::step], return_counts=True)
        for value, count in zip(found.tolist(), counts.tolist(), strict=True):
            self.counts[value] += count * step

    def most(self) -> Fill:
        """The most frequent one."""
        return Fill(*max(self.counts.items(), key=lambda item: item[1])) if self.counts else Fill(0, 0)


def strips(width: int, height: int) -> Iterator[Window]:
    """Windows that cover a raster once, top to bottom, each small enough for the memory."""
    for row in range(0, height, STRIP_ROWS):
        for column in range(0, width, STRIP_COLUMNS):
            yield Window(column, row, min(STRIP_COLUMNS, width - column), min(STRIP_ROWS, height - row))


def refuse_fill(uri: str, fill: Fill, all_px: int) -> None:
    """Raises: UntaggedFill"""
    if fill.px > MANY * all_px:
        raise UntaggedFill(
            f"{uri} holds the value {fill.value:.9g} in {fill.px / all_px:.1%} of its pixels, and no tag says that it "
            f"is nodata: give it, nodata={fill.value:.9g}, if nothing was observed there."
        )


def check_scene(uri: str, file: DatasetReader, pixels: Pixels, nodata: tuple[float, ...], given: float | None) -> None:
    """Look for one value in all bands that no imagery has: negative, or the greatest that the type can hold.

    Whoever gives nodata has said what the fill is. What has the file's own tag in unsigned whole numbers needs no
    look: the greatest number is saturation there, which is what snow looks like. Bytes never need it.

    Raises:
        UntaggedFill, NotAlpha
    """
    if pixels.alpha is not None:
        _check_alpha(uri, file, pixels.alpha)
    explained = pixels.dtype.startswith("uint") and (pixels.nodata is not None or pixels.has_mask)
    if given is not None or pixels.dtype == "uint8" or explained:
        return
    suspects = Suspects()
    for window in strips(file.width, file.height):
        bands = list(file.read(list(pixels.numbers), window=window))
        suspects.add(_impossible(bands, seen(bands, nodata, pixels.read_mask(file, window))))
    refuse_fill(uri, suspects.most(), file.width * file.height)


def _impossible(bands: list[Array], known: Array) -> Array:
    first = bands[0]
    top = np.iinfo(first.dtype).max if first.dtype.kind in "iu" else NO_MEASUREMENT
    with np.errstate(invalid="ignore"):
        found: Array = known & ((first < 0) | (first >= top))
    for band in bands[1:]:
        found &= band == first
    return first[found]


def _check_alpha(uri: str, file: DatasetReader, number: int) -> None:
    """GDAL calls the fourth of four bands of bytes alpha if nobody says otherwise, near-infrared too."""
    between = 0
    for window in strips(file.width, file.height):
        alpha = file.read(number, window=window)
        between += int(np.count_nonzero((alpha != 0) & (alpha != _opaque(alpha))))
    all_px = file.width * file.height
    if between > 0.05 * all_px:
        raise NotAlpha(
            f"{uri} calls its band {number} alpha, a mask, but {between / all_px:.0%} of its values "
            f"are neither 0 nor the greatest: if it is a measurement, name it, for example rio edit-info {uri} "
            f"--bidx {number} --description nir."
        )


def _opaque(alpha: Array) -> float:
    return float(np.iinfo(alpha.dtype).max) if alpha.dtype.kind in "iu" else float(alpha.max())


def distinct(values: Array, known: Iterable[float], most: int) -> dict[float, int] | None:
    """How often each value occurs, `known` ones looked for first; None where there are more than `most`."""
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
