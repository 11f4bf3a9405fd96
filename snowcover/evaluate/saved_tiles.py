"""Chunks from the tiles of saved runs: masks are the reference, and each run's network is a product."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from affine import Affine
from numpy.typing import NDArray

from snowcover.data.dates import date_in, days_apart
from snowcover.data.loader import Batch, TileLoader
from snowcover.data.manifest import Pair
from snowcover.data.tiles import HALF_WORLD_M, Tile, bounds
from snowcover.evaluate import strata
from snowcover.evaluate.chunk import Chunk
from snowcover.evaluate.distance import snow_edge_m
from snowcover.evaluate.saved_run import Key, SavedRun
from snowcover.evaluate.strata import Stratum

BATCH, WORKERS = 8, 2


@dataclass(frozen=True)
class TileBlocks:
    """Squares of about `block_m` on the ground; those with tiles are numbered from 0."""

    tiles: tuple[Tile, ...]
    block_m: float

    @cached_property
    def _side_m(self) -> float:
        """In metres of EPSG:3857, which shrink on the ground with latitude."""
        return self.block_m / _scale(float(np.mean([sum(bounds(tile)[1::2]) / 2 for tile in self.tiles])))

    @cached_property
    def _numbers(self) -> dict[tuple[int, int], int]:
        found = set()
        for tile in self.tiles:
            left, bottom, right, top = bounds(tile)
            rows = range(math.floor(-top / self._side_m), math.floor(-bottom / self._side_m) + 1)
            columns = range(math.floor(left / self._side_m), math.floor(right / self._side_m) + 1)
            found |= {(row, column) for row in rows for column in columns}
        return {place: number for number, place in enumerate(sorted(found))}

    @property
    def count(self) -> int:
        return len(self._numbers)

    @property
    def places(self) -> NDArray[np.int64]:
        """[count, 2], row and column of each block."""
        return np.array(list(self._numbers), np.int64).reshape(-1, 2)

    def of(self, tile: Tile, size_px: int) -> NDArray[np.int32]:
        """[size_px, size_px], number of each pixel's block."""
        left, _, right, top = bounds(tile)
        along = (np.arange(size_px) + 0.5) * (right - left) / size_px
        rows = np.floor((along - top) / self._side_m).astype(int)
        columns = np.floor((left + along) / self._side_m).astype(int)
        (lines, in_line), (posts, in_post) = (np.unique(side, return_inverse=True) for side in (rows, columns))
        numbers = [[self._numbers[int(row), int(column)] for column in posts] for row in lines]
        return np.array(numbers, np.int32)[np.ix_(in_line, in_post)]


@dataclass(frozen=True)
class SavedTiles:
    """The runs and tiles to evaluate."""

    runs: tuple[SavedRun, ...]
    keys: tuple[Key, ...]
    block_m: float
    device: str = "auto"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(run.name for run in self.runs)

    @property
    def with_probabilities(self) -> tuple[str, ...]:
        """Products with probabilities other than 0 and 1."""
        return tuple(run.name for run in self.runs if run.kind != "brightness")

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        return tuple(self.runs[0].pairs[key] for key in self.keys)

    @cached_property
    def blocks(self) -> TileBlocks:
        return TileBlocks(tuple(dict.fromkeys(pair.tile for pair in self.pairs)), self.block_m)

    def is_seen(self, pair: Pair) -> bool:
        """Whether a run was trained on the ground of this tile, perhaps at another date."""
        return any(pair.tile in run.seen for run in self.runs)

    @cached_property
    def scenes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(pair.scene for pair in self.pairs))

    @cached_property
    def gaps_days(self) -> dict[str, float]:
        """Scene -> days to its collect, NaN if a date is unknown."""
        gaps = {pair.scene: days_apart(date_in(pair.scene), pair.date) for pair in self.pairs}
        return {scene: math.nan if gap is None else float(gap) for scene, gap in gaps.items()}

    @cached_property
    def strata(self) -> tuple[Stratum, ...]:
        return (strata.SNOW_EDGE, *strata.of_scenes(self.scenes, self.gaps_days.values()))

    def chunks(self) -> Iterator[Chunk]:
        """One chunk per tile, in order.

        Raises: UserError, naming a file that cannot be read.
        """
        from snowcover.predict.members import devices

        device = devices(self.device)[0]
        readers = list({id(run.pairs): run for run in self.runs}.values())  # a run and its baselines share tiles
        source = [next(i for i, reader in enumerate(readers) if reader.pairs is run.pairs) for run in self.runs]
        loaders = [TileLoader([run.pairs[key] for key in self.keys], run.read, BATCH, WORKERS) for run in readers]
        for run in self.runs:
            run.model.mapper.to(device)
        waiting = iter(self.pairs)
        for batches in zip(*loaders, strict=True):
            predictions = [_probability(run, batches[i], device) for run, i in zip(self.runs, source, strict=True)]
            for number, mask in enumerate(batches[0].mask.numpy()):
                yield self._chunk(next(waiting), mask, [of_run[number] for of_run in predictions])

    def _chunk(self, pair: Pair, mask: NDArray[np.uint8], probability: Sequence[NDArray[np.float32]]) -> Chunk:
        height, width = mask.shape
        left, bottom, right, top = bounds(pair.tile)
        place = Affine((right - left) / width, 0, left, 0, (bottom - top) / height, top)
        share = {
            run.name: np.where(np.isnan(values), np.nan, values >= run.model.threshold).astype(np.float32)
            for run, values in zip(self.runs, probability, strict=True)
        }
        by_name = dict(zip(self.names, probability, strict=True))
        return Chunk(
            row=pair.y * height, col=pair.x * width, transform=place, snow=mask, depth_m=None, share=share,
            probability={name: by_name[name] for name in self.with_probabilities}, strata=self._bins(pair, mask, place),
            block=self.blocks.of(pair.tile, height), trained=np.full(mask.shape, self.is_seen(pair)), elevation_m=None,
        )  # fmt: skip

    def _bins(self, pair: Pair, mask: NDArray[np.uint8], place: Affine) -> dict[str, NDArray[np.int16]]:
        side_m = place.a * _scale(place.f + place.e * len(mask) / 2)
        edge_m = certain_distances(snow_edge_m(mask, (side_m, side_m)), side_m)
        found = {strata.SNOW_EDGE.name: strata.bins_of(strata.SNOW_EDGE, edge_m)}
        for stratum in self.strata[1:]:
            value = self.scenes.index(pair.scene) if stratum.name == "scene" else self.gaps_days[pair.scene]
            found[stratum.name] = strata.bins_of(stratum, np.full(mask.shape, value, np.float32))
        return found


def certain_distances(edge_m: NDArray[np.floating], side_m: float) -> NDArray[np.floating]:
    """Distances [H, W] to the snow's edge, NaN where a neighbouring tile may have a nearer edge."""
    height, width = edge_m.shape
    rows, columns = (np.minimum(np.arange(side), np.arange(side)[::-1]) + 0.5 for side in (height, width))
    border_m = np.minimum(rows[:, None], columns[None]) * side_m
    farthest_m = max(edge for edge in strata.SNOW_EDGE.edges if math.isfinite(edge))
    return np.where((edge_m <= border_m) | (border_m >= farthest_m), edge_m, np.nan)


def _probability(run: SavedRun, batch: Batch, device: torch.device) -> NDArray[np.float32]:
    """Probability [B, H, W], NaN where the image is unobserved; baselines see only the bands."""
    mapper = run.model.mapper
    with torch.inference_mode():
        probability: NDArray[np.float32] = mapper(batch.image[:, : mapper.channels].to(device)).float().cpu().numpy()
    return probability


def _scale(y_m: float) -> float:
    """Ground metres per metre of EPSG:3857 at a northing."""
    return 1 / math.cosh(y_m / (HALF_WORLD_M / math.pi))
