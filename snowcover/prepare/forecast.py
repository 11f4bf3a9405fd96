"""A few tiles are cut and thrown away: what a dry run reckons from, and what says why there are none."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from snowcover.data.tiles import Tile
from snowcover.prepare import raster, tile_rendering
from snowcover.prepare.jobs import Job, NothingToMake
from snowcover.prepare.tile_rendering import Piece

SAMPLE = 24
SEARCHED = 400  # tiles looked at for the fullest one


@dataclass(frozen=True)
class Forecast:
    """About how many tiles a job would make, how large together, and for how long."""

    tiles: int
    size_bytes: int
    seconds: float


def forecast(job: Job, workers: int) -> Forecast:
    """From at most SAMPLE tiles spread over the job's, and where none of them can be made, from all of them.

    Raises: NothingToMake
    """
    sample = spread(job.tiles, SAMPLE)
    started = time.monotonic()
    sizes = [len(piece.content) for piece in _cut(job, sample)]
    if not sizes:
        sample = list(job.tiles)
        sizes = [len(piece.content) for piece in _cut(job, sample)]
    if not sizes:
        raise NothingToMake(why_none(job))
    seconds, times = time.monotonic() - started, len(job.tiles) / len(sample)
    return Forecast(round(len(sizes) * times), round(sum(sizes) * times), seconds * times / workers)


def why_none(job: Job) -> str:
    """Why no tile of a job can be made, and the way out."""
    any_share = replace(job, cut=replace(job.cut, min_valid=0.0))
    searched = spread(job.tiles, SEARCHED)
    observed_px = max((piece.entry.observed_px for piece in _cut(any_share, searched)), default=0)
    what = f"of {len(searched)} tiles of {job.source.uri} at zoom {job.tiles[0].z}"
    if not observed_px:
        return (
            f"in none {what} a pixel is observed: look at its nodata value and its masks, and at the tiles of cover "
            "if it is given."
        )
    share = observed_px / job.cut.size_px**2
    return (
        f"none {what} is observed to min_valid={job.cut.min_valid:g} of its pixels, the fullest to {share:.2g}: give a "
        "smaller min_valid, or a larger zoom, whose tiles are smaller."
    )


def _cut(job: Job, tiles: Sequence[Tile]) -> Iterator[Piece]:
    with raster.settings(), job.opener() as source:
        for tile in tiles:
            if piece := tile_rendering.cut(source, tile, job.cut):
                yield piece


def spread(tiles: Sequence[Tile], most: int) -> list[Tile]:
    """At most `most` of the tiles, evenly from first to last, all of them where there are no more."""
    count = min(most, len(tiles))
    return [tiles[(2 * i + 1) * len(tiles) // (2 * count)] for i in range(count)]
