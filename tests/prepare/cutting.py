"""Tiles of one source without the command around them: no preview, no index, nothing written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.io import DatasetReader, MemoryFile

from snowcover.data.observed import observed
from snowcover.prepare import jobs, raster, tile_rendering
from snowcover.prepare.config import Config
from snowcover.prepare.jobs import Job
from snowcover.validation import check
from tests.prepare.command import composed

Array = np.ndarray[Any, Any]
SMALL = ("zoom=18", "tile_size=64", "min_valid=0", "out=unused")  # 2.4 m a pixel, about those of rasters.TUOLUMNE


def scene_job(path: Path, *overrides: str) -> Job:
    config = check(Config, composed(f"scenes={path}", *SMALL, *overrides))
    return jobs.scene_job(config, str(path), str(path.parent), None)


def collect_job(path: Path, *overrides: str) -> Job:
    config = check(Config, composed(f"collect={path}", *SMALL, *overrides))
    return jobs.collect_job(config, str(path.parent), None)


@contextmanager
def first_tile(job: Job) -> Iterator[DatasetReader]:
    """The first tile that is made, as any program opens it."""
    with raster.settings(), job.opener() as source:
        made = (tile_rendering.render_tile(source, tile, job.render) for tile in job.tiles)
        content = next(rendered.content for rendered in made if rendered is not None)
    with MemoryFile(content) as memory, memory.open() as file:
        yield file


def tiles(job: Job) -> tuple[Array, Array]:
    """All tiles [tiles, C, H, W], nodata where not made, and where each says that it is observed, [tiles, H, W]."""
    values, seen = [], []
    with raster.settings(), job.opener() as source:
        for tile in job.tiles:
            rendered = tile_rendering.render_tile(source, tile, job.render)
            if rendered is None:
                values.append(np.full((source.bands, 64, 64), job.render.nodata, source.dtype))
                seen.append(np.zeros((64, 64), bool))
                continue
            with MemoryFile(rendered.content) as memory, memory.open() as file:
                values.append(file.read())
                seen.append(observed(list(values[-1]), file.nodata))
            assert rendered.entry.observed_px == np.count_nonzero(seen[-1])
    return np.stack(values), np.stack(seen)
