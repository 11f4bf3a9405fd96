"""Renders a sample of tiles without writing them: the estimate of a dry run, and the reason why there are no tiles."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from snowcover.data.tiles import Tile
from snowcover.prepare import raster, tile_rendering
from snowcover.prepare.jobs import Job, NothingToMake
from snowcover.prepare.tile_rendering import RenderedTile

SAMPLE = 24
SEARCHED = 400  # tiles searched for the one with the most observed pixels


@dataclass(frozen=True)
class Forecast:
    """Estimate of the number of tiles of a job, their total size, and the time to make them."""

    tiles: int
    size_bytes: int
    seconds: float


def forecast(job: Job, workers: int) -> Forecast:
    """Estimate from at most SAMPLE tiles spread over the job; from all tiles if none of the sample can be made.

    Raises: NothingToMake
    """
    sample = spread(job.tiles, SAMPLE)
    started = time.monotonic()
    sizes = [len(rendered.content) for rendered in _render(job, sample)]
    if not sizes:
        sample = list(job.tiles)
        sizes = [len(rendered.content) for rendered in _render(job, sample)]
    if not sizes:
        raise NothingToMake(why_none(job))
    seconds, times = time.monotonic() - started, len(job.tiles) / len(sample)
    return Forecast(round(len(sizes) * times), round(sum(sizes) * times), seconds * times / workers)


def why_none(job: Job) -> str:
    """Why no tile of a job can be made, and the way out."""
    without_minimum = replace(job, render=replace(job.render, min_valid=0.0))
    searched = spread(job.tiles, SEARCHED)
    observed_px = max((rendered.entry.observed_px for rendered in _render(without_minimum, searched)), default=0)
    searched_tiles = f"of {len(searched)} tiles of {job.source.uri} at zoom {job.tiles[0].z}"
    if not observed_px:
        return (
            f"none {searched_tiles} has an observed pixel: check its nodata value and its masks, and the tiles of "
            "cover if it is given."
        )
    share = observed_px / job.render.size_px**2
    return (
        f"none {searched_tiles} has the share min_valid={job.render.min_valid:g} of observed pixels, the highest is "
        f"{share:.2g}: give a smaller min_valid, or a larger zoom, whose tiles are smaller."
    )


def _render(job: Job, tiles: Sequence[Tile]) -> Iterator[RenderedTile]:
    with raster.settings(), job.opener() as source:
        for tile in tiles:
            if rendered := tile_rendering.render_tile(source, tile, job.render):
                yield rendered


def spread(tiles: Sequence[Tile], most: int) -> list[Tile]:
    """At most `most` of the tiles, evenly spread from first to last; all tiles if there are no more."""
    count = min(most, len(tiles))
    return [tiles[(2 * i + 1) * len(tiles) // (2 * count)] for i in range(count)]
