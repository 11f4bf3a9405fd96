"""The grid of a map: the scene's own, the training's, another raster's, or one for all scenes of a date."""

import math
from collections.abc import Sequence

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from snowcover.data.tiles import HALF_WORLD_M
from snowcover.errors import UserError
from snowcover.predict.mapping import OutputGrid, SceneSource
from snowcover.prepare import raster
from snowcover.prepare.extent import boxes, ring
from snowcover.prepare.georeference import grid_of
from snowcover.prepare.reprojection import WEB_MERCATOR, Array, Grid, apply, project, wrap_to_grid
from snowcover.trained_model import TrainedModel

MOST_PX = 2**31 - 1  # along a side: GDAL's limit
EDGE_PX = 1e-6  # tolerance for rounded coordinates at pixel edges


class NoCommonGrid(UserError):
    """Scenes of a date, or a scene and the wanted grid, have no common grid."""


def own_grid(source: SceneSource) -> OutputGrid:
    """The scene's own grid."""
    return OutputGrid(*source.grid)


def training_grid(sources: Sequence[SceneSource], models: Sequence[TrainedModel]) -> OutputGrid:
    """The pixels of the training's tiles in EPSG:3857 that the scenes touch.

    Raises: NoCommonGrid
    """
    grids = {(model.zoom, model.tile_size) for model in models}
    if len(grids) > 1:
        described = " and ".join(f"zoom {zoom} with tiles of {size_px} px" for zoom, size_px in sorted(grids))
        raise NoCommonGrid(
            f"The networks were trained at {described}, so grid=training is not one grid: give like=RASTER."
        )
    ((zoom, size_px),) = grids
    pixel_m = 2 * HALF_WORLD_M / (size_px << zoom)
    world = Affine(pixel_m, 0, -HALF_WORLD_M, 0, -pixel_m, HALF_WORLD_M)
    parts = [box for source in sources for box in boxes(source.grid)]
    lefts, bottoms, rights, tops = zip(*parts, strict=True)
    return _snapped(WEB_MERCATOR, world, np.array([[*lefts, *rights], [*tops, *bottoms]]))


def grid_like(uri: str, path: str) -> OutputGrid:
    """The grid of another raster.

    Raises: BrokenRaster, MissingGeoreference
    """
    with raster.settings(), raster.opened(uri, path) as file:
        return OutputGrid(*grid_of(uri, file, None))


def joined_grid(sources: Sequence[SceneSource]) -> OutputGrid:
    """The first scene's grid, extended to contain all scenes.

    Raises: NoCommonGrid
    """
    first = sources[0].grid
    corners = [outline_in(source.grid, first) for source in sources]
    for source, places in zip(sources, corners, strict=True):
        if not np.isfinite(places).all():
            raise NoCommonGrid(f"{source.name} has no place in the grid of {sources[0].name}: map them separately.")
    return _snapped(first.crs, first.transform, np.concatenate(corners, axis=1))


def part_of(whole: OutputGrid, source: SceneSource) -> tuple[int, int, OutputGrid]:
    """First column, first row and grid of the part of a grid that a scene touches; of size 0 if it touches none."""
    places = apply(
        ~whole.transform, *outline_in(source.grid, Grid(whole.crs, whole.transform, whole.width, whole.height))
    )
    left, top = (max(0, math.floor(line.min() + EDGE_PX)) for line in places)
    right, bottom = (
        min(length, math.ceil(line.max() - EDGE_PX))
        for line, length in zip(places, (whole.width, whole.height), strict=True)
    )
    moved = whole.transform * Affine.translation(left, top)
    return left, top, OutputGrid(whole.crs, moved, max(0, right - left), max(0, bottom - top))


def outline_in(grid: Grid, target: Grid) -> Array:
    """x and y, [2, n], of a raster's edge in the CRS of another grid."""
    xs, ys = ring(grid, 65)
    if grid.crs == target.crs:
        return np.stack([xs, ys])
    return wrap_to_grid(target, *project(grid.crs, target.crs, xs, ys))


def _snapped(crs: CRS, transform: Affine, places: Array) -> OutputGrid:
    """The grid of whole pixels of a transform that contains points [2, n] in its CRS."""
    columns, rows = apply(~transform, *places)
    left, top = math.floor(columns.min() + EDGE_PX), math.floor(rows.min() + EDGE_PX)
    width, height = math.ceil(columns.max() - EDGE_PX) - left, math.ceil(rows.max() - EDGE_PX) - top
    if max(width, height) > MOST_PX:
        raise NoCommonGrid(f"The map would have {width:,} x {height:,} pixels: give like=RASTER of a coarser grid.")
    return OutputGrid(crs, transform * Affine.translation(left, top), max(1, width), max(1, height))
