"""Tiles whose every pixel is a real PlanetScope spectrum: ground as the demo's, painted with labelled pixels."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from snowcover.data.demo_land import BANDS, Field, noise
from snowcover.data.tiles import Tile
from tests.making import write_tile

SNOW, SHADOWED_SNOW, ICE, ROCK, WATER = "12345"  # the classes of PlanetScope_training_data.csv
CLASSES = (SNOW, SHADOWED_SNOW, ICE, ROCK, WATER)
SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}  # of the rows of each class, and so of the spectra
Spectra = dict[str, NDArray[np.float32]]
"""[rows, 4] reflectance (blue, green, red, nir) of each class, darkest first"""


def spectra(table: Path, seed: int = 0) -> dict[str, Spectra]:
    """The labelled pixels, divided at random: no spectrum of one side of the split is on another."""
    with table.open() as file:
        rows = [row for row in csv.DictReader(file) if all(row[band] for band in ("Blue", "Green", "Red", "NIR"))]
    rng = np.random.default_rng(seed)
    divided: dict[str, Spectra] = {side: {} for side in SHARES}
    for kind in CLASSES:
        values = np.array(
            [[row[band] for band in ("Blue", "Green", "Red", "NIR")] for row in rows if row["class"] == kind]
        )
        drawn = rng.permutation(values.astype(np.float32))
        ends = np.round(np.cumsum(list(SHARES.values())) * len(drawn)).astype(int)
        for side, part in zip(SHARES, np.split(drawn, ends[:-1]), strict=True):
            divided[side][kind] = part[np.argsort(part.sum(axis=1))]
    return divided


def paint_site(
    root: Path, of: dict[str, Spectra], tiles_per_side: dict[str, int], size: int = 256, seed: int = 0
) -> list[dict[str, str]]:
    """A scene and a collect for each side of the split, on ground of its own; returns them as data.sources.

    The collects are of three days, so that data.split.by=date with val_names=[20210602] and test_names=[20210603] holds
    the grounds, and the spectra, apart.
    """
    sources = []
    for number, (split, side_tiles) in enumerate(tiles_per_side.items()):
        date = f"2021060{number + 1}"
        rng = np.random.default_rng([seed, number])
        kinds = ground(side_tiles * size, rng)
        image, mask = paint(kinds, of[split], rng), np.isin(kinds, (SNOW, SHADOWED_SNOW)).astype(np.uint8)
        for row, column in np.ndindex(side_tiles, side_tiles):
            part = np.s_[:, row * size : (row + 1) * size, column * size : (column + 1) * size]
            tile = Tile(15, 5514 + 20 * number + column, 12650 + row)
            write_tile(root / "scenes" / f"{date}_181110", tile, image[part], descriptions=BANDS)
            write_tile(root / "masks" / f"ASO_{date}", tile, mask[None][part], nodata=255)
        sources.append({"scenes": f"{root}/scenes/{date}_181110", "collect": f"{root}/masks/ASO_{date}"})
    return sources


def ground(side: int, rng: np.random.Generator) -> NDArray[np.str_]:
    """What each pixel [side, side] is: patches of all CLASSES, each on about as much ground."""
    fields = [noise(rng, side, 3.5, 5) for _ in CLASSES]
    return np.asarray(CLASSES)[np.argmax(fields, axis=0)]


def paint(kinds: NDArray[np.str_], of: Spectra, rng: np.random.Generator) -> NDArray[np.uint16]:
    """uint16 [4, side, side], reflectance x 10000: neighbours of one class are of a like brightness."""
    side = len(kinds)
    rank: Field = 0.8 * noise(rng, side, 2.6, 4) + 0.6 * noise(rng, side, 0)
    place = norm.cdf(rank / rank.std())  # between 0 and 1, evenly
    image = np.zeros((side, side, 4), np.float32)
    for kind in CLASSES:
        here = kinds == kind
        image[here] = of[kind][(place[here] * len(of[kind])).astype(int)]
    return np.clip(1e4 * image.transpose(2, 0, 1), 1, 65535).astype(np.uint16)
