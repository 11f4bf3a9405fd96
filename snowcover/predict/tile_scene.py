"""A scene in a folder of z/x/y tiles, read as in training and presented as one raster."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property

import cv2
import numpy as np
from affine import Affine
from rasterio.windows import Window

from snowcover.data import geotiff
from snowcover.data.bands import names_in_file
from snowcover.data.folder import Folder
from snowcover.data.reading import PairReader, WrongSize
from snowcover.data.scaling import Scaling, refuse_other
from snowcover.data.tiles import Tile, bounds
from snowcover.errors import UserError
from snowcover.predict.thumbnail import LONGEST_PX, Thumbnail
from snowcover.prepare.names import true_colour
from snowcover.prepare.reprojection import WEB_MERCATOR, Array, Floats, Grid
from snowcover.prepare.zoom import first_column
from snowcover.storage import File, read
from snowcover.trained_model import TrainedModel

CACHE_BYTES = 64 << 20  # of tiles in memory, shared by all threads: neighbouring windows share tiles


class MixedZooms(UserError):
    """A folder holds tiles of several zooms, which overlap."""


class TileScene:
    """See mapping.SceneSource. Missing tiles are unobserved."""

    def __init__(self, folder: Folder, nodata: float | None) -> None:
        """Raises: MixedZooms, BrokenTile, StorageError"""
        self.name = folder.name
        self.uri = folder.uri
        self._nodata = 0.0 if nodata is None else nodata
        self._tiles: Mapping[Tile, File] = folder.tiles
        zooms = sorted({tile.z for tile in folder.tiles})
        if len(zooms) > 1:
            raise MixedZooms(
                f"{folder.uri} holds tiles of zooms {', '.join(map(str, zooms))}: leave those of one zoom."
            )
        self._zoom = zooms[0]
        self._left, self._top = first_column(list(folder.tiles)), min(tile.y for tile in folder.tiles)
        self._cache: OrderedDict[tuple[Tile, tuple[str, ...]], tuple[Array, Array]] = OrderedDict()
        self._lock = threading.Lock()
        self._first = min(folder.tiles)
        uri = self._tiles[self._first].uri
        with geotiff.environment(), geotiff.opened(uri, read(uri)) as file:
            self.size_px = int(file.width)
            self.dtype: str = np.dtype(file.dtypes[0]).name if file.dtypes[0] != "float64" else "float32"
            self._names = names_in_file(file.descriptions, [colour.name for colour in file.colorinterp])

    @cached_property
    def grid(self) -> Grid:
        across = max(self._column(tile) for tile in self._tiles) + 1
        down = max(tile.y for tile in self._tiles) - self._top + 1
        left, bottom, right, top = bounds(Tile(self._zoom, self._left, self._top))
        transform = Affine((right - left) / self.size_px, 0, left, 0, (bottom - top) / self.size_px, top)
        return Grid(WEB_MERCATOR, transform, across * self.size_px, down * self.size_px)

    @contextmanager
    def open(self, bands: Sequence[str]) -> "Iterator[TileMosaic]":
        """Raises: what `tile` raises."""
        yield TileMosaic(self, tuple(bands))

    def conversion(self, model: TrainedModel) -> tuple[Floats, Floats] | None:
        """Raises: WrongBands, BrokenTile"""
        scaling = self._scaling(tuple(model.bands))
        if scaling is None:
            return None
        factor, summand = scaling.scale / model.scale, (scaling.offset - model.offset) / model.scale
        if abs(factor - 1) < 1e-5 and abs(summand) * model.scale < 1e-6:
            return None
        return np.full(len(model.bands), factor), np.full(len(model.bands), summand)

    def at(self, column: int, row: int) -> Tile | None:
        """The tile in a cell of the mosaic, None if missing."""
        tile = Tile(self._zoom, (self._left + column) % (1 << self._zoom), self._top + row)
        return tile if tile in self._tiles else None

    def tile(self, tile: Tile, bands: tuple[str, ...]) -> tuple[Array, Array]:
        """Values [H, W, C], 0 where unobserved, and observed [H, W] uint8; do not modify.

        Raises: BrokenTile, WrongPlace, WrongBands, WrongSize, WrongScaling, StorageError
        """
        with self._lock:
            if (tile, bands) in self._cache:
                self._cache.move_to_end((tile, bands))
                return self._cache[tile, bands]
        values, valid, scaling = self._read(tile, bands)
        refuse_other(self._tiles[tile].uri, scaling, self._tiles[self._first].uri, self._scaling(bands))
        if values.shape[:2] != (self.size_px, self.size_px):
            raise WrongSize(
                f"{self._tiles[tile].uri} has {values.shape[1]} x {values.shape[0]} pixels, the first tile of its "
                f"folder {self.size_px} x {self.size_px}: make all tiles of a scene with one tile size."
            )
        with self._lock:
            self._cache[tile, bands] = values, valid
            while len(self._cache) > max(4, CACHE_BYTES // (values.nbytes + valid.nbytes)):
                self._cache.popitem(last=False)
        return values, valid

    def thumbnail(self, bands: Sequence[str]) -> Thumbnail:
        """Raises: what `tile` raises."""
        across, down = self.grid.width // self.size_px, self.grid.height // self.size_px
        side_px = max(1, min(self.size_px, LONGEST_PX // max(across, down)))
        step = -(-max(across, down) * side_px // LONGEST_PX)  # skips tiles if there are more than pixels
        shown = true_colour(bands)
        values = np.zeros((-(-down // step) * side_px, -(-across // step) * side_px, len(shown)), np.float32)
        for tile in self._tiles:
            column, row = self._column(tile), tile.y - self._top
            if column % step or row % step:
                continue
            full = self.tile(tile, tuple(bands))[0][..., shown].astype(np.float32)
            small = cv2.resize(full, (side_px, side_px), interpolation=cv2.INTER_AREA).reshape(side_px, side_px, -1)
            top, left = row // step * side_px, column // step * side_px
            values[top : top + side_px, left : left + side_px] = small
        return Thumbnail.of(values, self.grid)

    def _column(self, tile: Tile) -> int:
        return (tile.x - self._left) % (1 << self._zoom)

    def _scaling(self, bands: tuple[str, ...]) -> Scaling | None:
        if bands not in (scalings := self.__dict__.setdefault("_scalings", {})):
            scalings[bands] = self._read(self._first, bands)[2]
        found: Scaling | None = scalings[bands]
        return found

    def _read(self, tile: Tile, bands: tuple[str, ...]) -> tuple[Array, Array, Scaling | None]:
        with geotiff.environment():
            image, seen, scaling = PairReader(bands, self._nodata).image(self._tiles[tile], tile)
        return np.ascontiguousarray(np.moveaxis(image, 0, 2)), seen.astype(np.uint8), scaling


class TileMosaic:
    """A folder's tiles as one raster; see warp.Source."""

    continuous = True
    nodata = 0.0

    def __init__(self, scene: TileScene, bands: tuple[str, ...]) -> None:
        self._scene, self._bands = scene, bands

    @property
    def grid(self) -> Grid:
        return self._scene.grid

    @property
    def bands(self) -> int:
        return len(self._bands)

    @property
    def dtype(self) -> str:
        return self._scene.dtype

    def read(self, window: Window) -> tuple[Array, Array]:
        """Stored numbers [H, W, C] and observed [H, W] uint8; both are 0 where a tile is missing."""
        values = np.zeros((window.height, window.width, self.bands), self.dtype)
        valid = np.zeros((window.height, window.width), np.uint8)
        side_px = self._scene.size_px
        for row in range(window.row_off // side_px, -(-(window.row_off + window.height) // side_px)):
            for column in range(window.col_off // side_px, -(-(window.col_off + window.width) // side_px)):
                if (tile := self._scene.at(column, row)) is not None:
                    found, seen = self._scene.tile(tile, self._bands)
                    rows, tile_rows = _overlap(row, window.row_off, window.height, side_px)
                    columns, tile_columns = _overlap(column, window.col_off, window.width, side_px)
                    values[rows, columns] = found[tile_rows, tile_columns]
                    valid[rows, columns] = seen[tile_rows, tile_columns]
        return values, valid


def _overlap(cell: int, start: int, length: int, side_px: int) -> tuple[slice, slice]:
    """The overlap of a window and a tile along one side, relative to the window's start and to the tile's."""
    first, end = max(cell * side_px, start), min((cell + 1) * side_px, start + length)
    return slice(first - start, end - start), slice(first - cell * side_px, end - cell * side_px)
