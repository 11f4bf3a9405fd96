"""A scene in one GeoTIFF, with its UDM, as input of the mapping."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from rasterio.enums import Resampling
from rasterio.windows import Window

from snowcover.errors import UserError
from snowcover.predict.thumbnail import Thumbnail, size_px
from snowcover.prepare import raster, scene
from snowcover.prepare.imagery import Imagery
from snowcover.prepare.names import true_colour
from snowcover.prepare.nodata import seen
from snowcover.prepare.reprojection import Array, Floats, Grid
from snowcover.sensors import planetscope
from snowcover.trained_model import TrainedModel


class MissingBands(UserError):
    """A scene lacks bands that a network needs."""


@dataclass(frozen=True)
class GeoTiffScene:
    """See mapping.SceneSource."""

    imagery: Imagery

    @property
    def name(self) -> str:
        return self.imagery.name

    @property
    def grid(self) -> Grid:
        return self.imagery.raster.grid

    @contextmanager
    def open(self, bands: Sequence[str]) -> "Iterator[SelectedBands]":
        """Raises: MissingBands, BrokenRaster"""
        indices = self._indices(bands)
        with self.imagery.opened() as source:
            yield SelectedBands(source, indices)

    def conversion(self, model: TrainedModel) -> tuple[Floats, Floats] | None:
        """Raises: MissingBands"""
        indices = list(self._indices(model.bands))
        pixels, factors = self.imagery.raster.pixels, self.imagery.factors
        if factors is not None:
            scales, offsets = np.array(factors) / planetscope.REFLECTANCE_SCALE, np.zeros(len(factors))
        elif pixels.is_scaled:
            scales, offsets = np.array(pixels.scales), np.array(pixels.offsets)
        else:
            return None  # a file without scale is taken to have the training's
        factor = scales[indices] / model.scale
        summand = (offsets[indices] - model.offset) / model.scale
        if np.allclose(factor, 1, rtol=1e-5, atol=0) and np.abs(summand).max() * model.scale < 1e-6:
            return None
        return factor, summand

    def thumbnail(self, bands: Sequence[str]) -> Thumbnail:
        """Raises: BrokenRaster"""
        found = self.imagery.raster
        numbers = [found.pixels.numbers[index] for index in true_colour(self.imagery.names)]
        width, height = size_px(found.grid.width, found.grid.height)
        with raster.settings(), raster.opened(found.uri, found.path) as file:
            values = file.read(numbers, out_shape=(len(numbers), height, width), resampling=Resampling.average)
        return Thumbnail.of(np.moveaxis(values, 0, 2), found.grid)

    def _indices(self, bands: Sequence[str]) -> tuple[int, ...]:
        names = self.imagery.names
        if missing := [band for band in bands if band not in names]:
            raise MissingBands(
                f"{self.imagery.raster.uri} has the bands {', '.join(names)}, and the network takes "
                f"{', '.join(bands)}: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing: use "
                "another scene, or name the scene's bands correctly with bands=[...]."
            )
        return tuple(names.index(band) for band in bands)


class SelectedBands:
    """A selection of a scene's bands, in the network's order; see warp.Source."""

    continuous = True

    def __init__(self, source: scene.SceneSource, indices: Sequence[int]) -> None:
        self._source, self._indices = source, list(indices)
        self._is_all = self._indices == list(range(source.bands))
        self._drops_bands = len(set(indices)) < source.bands

    @property
    def grid(self) -> Grid:
        return self._source.grid

    @property
    def bands(self) -> int:
        return len(self._indices)

    @property
    def dtype(self) -> str:
        return self._source.dtype

    @property
    def nodata(self) -> float:
        return self._source.nodata

    def read(self, window: Window) -> tuple[Array, Array]:
        """A pixel is observed if the scene observes it in all its bands, and in the selected bands alone."""
        values, valid = self._source.read(window)
        if self._is_all:
            return values, valid
        chosen = np.ascontiguousarray(values[..., self._indices])
        if self._drops_bands:
            valid &= seen(list(np.moveaxis(chosen, 2, 0)), self._source.unobserved, None).view(np.uint8)
            chosen[valid == 0] = 0
        return chosen, valid
