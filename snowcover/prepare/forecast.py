"""A dry run: a few tiles are cut and thrown away, and the rest reckoned from them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from snowcover.data.tiles import Tile
from snowcover.prepare import pieces, raster
from snowcover.prepare.jobs import Job

SAMPLE = 24


@dataclass(frozen=True)
class Forecast:
    """About how many tiles a job would make, how large together, and for how long."""

    tiles: int
    size_bytes: int
    seconds: float


def forecast(job: Job, workers: int) -> Forecast:
    """From at most SAMPLE tiles spread over the job's."""
    sample = spread(job.tiles, SAMPLE)
    started = time.monotonic()
    with raster.settings(), job.opener() as source:
        found = [piece for tile in sample if (piece := pieces.cut(source, tile, job.cut))]
    seconds = time.monotonic() - started
    times = len(job.tiles) / len(sample)
    size_bytes = sum(len(piece.content) for piece in found)
    return Forecast(round(len(found) * times), round(size_bytes * times), seconds * times / workers)


def spread(tiles: Sequence[Tile], most: int) -> list[Tile]:
    """At most `most` of the tiles, evenly from first to last, all of them where there are no more."""
    count = min(most, len(tiles))
    return [tiles[(2 * i + 1) * len(tiles) // (2 * count)] for i in range(count)]
