"""From a data config to the tiles of a run: generate -> list -> split -> statistics."""

import csv
import hashlib
import io
from dataclasses import dataclass

from snowcover.baselines.forest import MOST_PIXELS
from snowcover.baselines.sample import PixelSample
from snowcover.components import instantiate
from snowcover.config import Config
from snowcover.data.loader import READS_IN_FLIGHT
from snowcover.data.manifest import Manifest, Pair, manifest
from snowcover.data.reading import PairReader, WrongSize
from snowcover.data.scaling import Scaling, improbable
from snowcover.data.split import assign_splits
from snowcover.data.statistics import DatasetStatistics, compute_statistics


@dataclass(frozen=True)
class TileDataset:
    """The tiles of a run: which, in which split, and what they hold."""

    manifest: Manifest
    splits: list[str]
    """train, val or test of each pair of the manifest"""
    statistics: DatasetStatistics
    read: PairReader
    notes: tuple[str, ...] = ()
    """what to show the user before training, although nothing is refused"""

    def of(self, split: str) -> list[Pair]:
        """The pairs of one split, in the manifest's order: train, val or test."""
        return [pair for pair, its in zip(self.manifest.pairs, self.splits, strict=True) if its == split]

    @property
    def digest(self) -> str:
        """SHA-256 over what the run learns from, not where it lies: its pairs, and what their layers are."""
        layers = self.read.layers
        if layers is None:
            return self.manifest.digest
        of_layers = layers.digest(pair.tile for pair in self.manifest.pairs)
        return hashlib.sha256(f"{self.manifest.digest} {of_layers}".encode()).hexdigest()

    def split_csv(self) -> str:
        """scene, z, x, y, split of each pair."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["scene", "z", "x", "y", "side"])
        writer.writerows(
            [pair.scene, *pair.tile, split] for pair, split in zip(self.manifest.pairs, self.splits, strict=True)
        )
        return text.getvalue()


def load_dataset(config: Config) -> TileDataset:
    """The run's tiles, each of them read once and found whole.

    Raises:
        UserError: no tiles, a split that is empty or of one class, a tile that is broken or unlike the others.
    """
    data = config.data
    if data.generate and not data.manifest:
        instantiate(data.generate, "data.generate")
    found = manifest(data)
    splits = assign_splits(found.pairs, data.split, config.seed)
    read = PairReader.of(data)
    if read.layers is not None:
        read.layers.check((pair.scene, pair.tile) for pair in found.pairs)
    threads = config.hw.data_workers * READS_IN_FLIGHT
    scaling = Scaling(data.scale, data.offset)
    sample = PixelSample(MOST_PIXELS, config.seed) if config.trainer.forest else None
    layers = read.layers.channels if read.layers else ()
    found_statistics = compute_statistics(found.pairs, splits, read, scaling, threads, sample, layers)
    _, height, width = found_statistics.shape
    if height != width and data.augment.flips_and_rotations:
        raise WrongSize(
            f"The tiles are {width} x {height} pixels, which cannot be turned: cut square tiles, or give "
            "data.augment.flips_and_rotations=false."
        )
    notes = (
        improbable(found_statistics.mean, scaling, found_statistics.dtype),
        found_statistics.layers and found_statistics.layers.note(),
    )
    of_layers = read.layers.notes if read.layers else ()
    return TileDataset(
        found, splits, found_statistics, read, (*found.notes, *of_layers, *(note for note in notes if note))
    )
