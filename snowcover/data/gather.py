"""From a data config to the tiles of a run: generate -> list -> split -> survey."""

import csv
import hashlib
import io
from dataclasses import dataclass

from snowcover.baselines.forest import MOST_PIXELS
from snowcover.baselines.sample import PixelSample
from snowcover.components import make
from snowcover.config import Config
from snowcover.data.loader import READS_IN_FLIGHT
from snowcover.data.manifest import Manifest, Pair, manifest
from snowcover.data.reading import PairReader, WrongSize
from snowcover.data.scaling import Scaling, improbable
from snowcover.data.split import sides
from snowcover.data.survey import Survey, survey


@dataclass(frozen=True)
class Tiles:
    """The tiles of a run: which, on what side, and what they hold."""

    manifest: Manifest
    sides: list[str]
    """train, val or test of each pair of the manifest"""
    survey: Survey
    read: PairReader
    notes: tuple[str, ...] = ()
    """what to tell the user before training, although nothing is refused"""

    def of(self, side: str) -> list[Pair]:
        """The pairs of one side, in the manifest's order: train, val or test."""
        return [pair for pair, its in zip(self.manifest.pairs, self.sides, strict=True) if its == side]

    @property
    def digest(self) -> str:
        """SHA-256 over what the run learns from, not where it lies: its pairs, and what their layers are."""
        layers = self.read.layers
        if layers is None:
            return self.manifest.digest
        of_layers = layers.digest(pair.tile for pair in self.manifest.pairs)
        return hashlib.sha256(f"{self.manifest.digest} {of_layers}".encode()).hexdigest()

    def split_csv(self) -> str:
        """scene, z, x, y, side of each pair."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["scene", "z", "x", "y", "side"])
        writer.writerows(
            [pair.scene, *pair.tile, side] for pair, side in zip(self.manifest.pairs, self.sides, strict=True)
        )
        return text.getvalue()


def gather(config: Config) -> Tiles:
    """The run's tiles, each of them read once and found whole.

    Raises:
        UserError: no tiles, a side that is empty or of one class, a tile that is broken or unlike the others.
    """
    data = config.data
    if data.generate and not data.manifest:
        make(data.generate, "data.generate")
    found = manifest(data)
    its_sides = sides(found.pairs, data.split, config.seed)
    read = PairReader.of(data)
    if read.layers is not None:
        read.layers.check((pair.scene, pair.tile) for pair in found.pairs)
    threads = config.hw.data_workers * READS_IN_FLIGHT
    scaling = Scaling(data.scale, data.offset)
    sample = PixelSample(MOST_PIXELS, config.seed) if config.trainer.forest else None
    layers = read.layers.channels if read.layers else ()
    held = survey(found.pairs, its_sides, read, scaling, threads, sample, layers)
    _, height, width = held.shape
    if height != width and data.augment.flips_and_rotations:
        raise WrongSize(
            f"The tiles are {width} x {height} pixels, which cannot be turned: cut square tiles, or give "
            "data.augment.flips_and_rotations=false."
        )
    told = (improbable(held.mean, scaling, held.dtype), held.layers and held.layers.note())
    of_layers = read.layers.notes if read.layers else ()
    return Tiles(found, its_sides, held, read, (*found.notes, *of_layers, *(note for note in told if note)))
