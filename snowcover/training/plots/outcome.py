"""The plots of a finished run."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from snowcover.compat import raw_tensor
from snowcover.data.dataset import TileDataset
from snowcover.data.manifest import Pair
from snowcover.data.reading import RawPair
from snowcover.epoch_line import epoch_number
from snowcover.labels import BARE, SNOW
from snowcover.models.mapper import SnowMapper
from snowcover.scoring import calibration
from snowcover.training.module import TestTotals
from snowcover.training.plots.learning import draw_learning_curves
from snowcover.training.plots.scores import draw_confusion, draw_precision_recall, draw_reliability
from snowcover.training.plots.split import draw_split_map
from snowcover.training.plots.tiles import TilePicture, draw_tiles

DRAWN_TILES = 4
PROBABILITY_BINS = 256  # of the curve of precision against recall


def draw_split(folder: Path, dataset: TileDataset) -> None:
    """Draw which tile is in which split into split.png."""
    pairs = zip(dataset.manifest.pairs, dataset.splits, strict=True)
    draw_split_map(folder / "split.png", [(*pair.tile, split) for pair, split in pairs])


def draw_outcome(
    folder: Path,
    history: Sequence[Mapping[str, float]],
    totals: TestTotals,
    dataset: TileDataset,
    mapper: SnowMapper,
    bands: Sequence[str],
) -> None:
    """Draw how the run learned, and what it makes of the test tiles."""
    temperature = float(mapper.temperature)
    bare, snow = calibration.probability_histogram(totals.logits, temperature, PROBABILITY_BINS)
    curves = [{**row, "epoch": epoch_number(int(row["epoch"])), "lr": row["lr_at_end"]} for row in history]
    draw_learning_curves(folder / "learning_curves.png", curves)
    draw_confusion(folder / "confusion.png", *totals.counts, title="Test tiles")
    draw_precision_recall(folder / "precision_recall.png", snow, bare, title="Snow on test tiles")
    before, after = (calibration.reliability(totals.logits, value) for value in (1.0, temperature))
    draw_reliability(folder / "reliability.png", before, after, temperature, title="Test tiles")
    draw_tiles(folder / "tiles.png", _samples(dataset.of("test"), dataset.read, mapper), bands)


def _samples(pairs: Sequence[Pair], read: Callable[[Pair], RawPair], mapper: SnowMapper) -> list[TilePicture]:
    """Test tiles to look at: spread evenly over those that have both snow and bare ground, else over all."""
    raw = [(pair, read(pair)) for pair in _spread(pairs, 3 * DRAWN_TILES)]
    mixed = [sample for sample in raw if {BARE, SNOW} <= set(sample[1].mask.flat)] or raw
    return [_sample(pair, tiles, mapper) for pair, tiles in _spread(mixed, DRAWN_TILES)]


def _sample(pair: Pair, raw: RawPair, mapper: SnowMapper) -> TilePicture:
    with torch.inference_mode():
        probability = mapper(raw_tensor(raw.network_input)[None])[0]
    return TilePicture(pair.name, raw.image, raw.mask, probability.numpy())


def _spread(items: Sequence[Any], count: int) -> list[Any]:
    return [items[index * len(items) // count] for index in range(count)] if len(items) > count else list(items)
