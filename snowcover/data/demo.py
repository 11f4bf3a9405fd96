"""Demo data: a made-up mountain range seen by two satellite scenes and one lidar flight, as tiles."""

import json
import math
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.io import MemoryFile
from rasterio.transform import from_bounds

from snowcover import storage
from snowcover.data.demo_land import BANDS, NODATA, VIEWS, Field, Land, make_land, paint_scene, snow_mask
from snowcover.data.layer_names import TERRAIN_BANDS
from snowcover.data.terrain import pixel_m, terrain_bands
from snowcover.data.tiles import Tile, bounds, path
from snowcover.errors import UserError
from snowcover.labels import UNOBSERVED

RECIPE = 1  # raise it when the same settings come to mean other tiles
SETTINGS_FILE = "demo.json"
COLLECT = "ASO_demo_20180528"
CORNER = Tile(15, 5514, 12650)  # Tuolumne, Sierra Nevada
TERRAIN = "layers/terrain"
VALLEY_M = 3000.0  # elevation that heights are measured from


def make(folder: str, seed: int = 7, tiles_per_side: int = 5, tile_size: int = 256, layers: bool = False) -> None:
    """Write scenes/<scene>/z/x/y.tif and masks/<collect>/z/x/y.tif into `folder`, unless they are there; with `layers`
    also layers/terrain/z/x/y.tif, elevation with slope and aspect as prepare makes them.

    Images are uint16 (reflectance x 10000, nodata 0), masks uint8 (1 snow, 0 no snow, 255 unobserved), both
    `tile_size` pixels square. The same settings give the same bytes. All is written next to the folder first
    and renamed into place, so a folder is whole or absent, also when two processes make it at once.

    Raises: UserError when the folder holds anything else (it is left as it is) or a setting is too small.
    """
    if tiles_per_side < 1 or tile_size < 32:
        got = f"{tiles_per_side} and {tile_size}"
        raise UserError(f"Demo data need tiles_per_side >= 1 and tile_size >= 32, got {got}.")
    if storage.is_remote(folder):
        raise UserError(f"Demo data are made on this machine: give a local folder, got {folder}.")
    settings = {"recipe": RECIPE, "seed": seed, "tiles_per_side": tiles_per_side, "tile_size": tile_size}
    settings |= {"layers": True} if layers else {}
    target = Path(folder).absolute()
    unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        if not _is_made(target, settings):
            unfinished.mkdir(parents=True)
            _write(unfinished, settings)
            _put_in_place(unfinished, target, settings)
    except OSError as error:
        raise UserError(f"Demo data cannot be made in {target}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _is_made(target: Path, settings: dict[str, int]) -> bool:
    """True when the folder holds these demo tiles, False when it is absent or empty; else a UserError."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    try:
        found = json.loads((target / SETTINGS_FILE).read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise UserError(f"{target} holds no demo data: delete it or give another folder.") from None
    tiles = found.pop("tiles", None) if isinstance(found, dict) else None
    if found != settings:
        raise UserError(
            f"{target} holds demo data made with {found}, not {settings}: delete it or give another folder."
        )
    present = sum(1 for _ in target.rglob("*.tif"))
    if present != tiles:
        raise UserError(f"{target} holds {present} of its {tiles} demo tiles: delete it to make them again.")
    return True


def _put_in_place(unfinished: Path, target: Path, settings: dict[str, int]) -> None:
    try:
        unfinished.rename(target)  # succeeds on an absent or empty folder only
    except OSError:
        if not _is_made(target, settings):  # another process may have been faster: then all is well
            raise


def _write(folder: Path, settings: dict[str, int]) -> None:
    """Every tile that holds any data, and last the settings that they were made with."""
    count = 0
    land = make_land(np.random.default_rng([settings["seed"], 0]), settings["tiles_per_side"] * settings["tile_size"])
    for name, array, nodata in _rasters(land, settings["seed"]):
        for tile, part in _cut(array, settings["tile_size"]):
            if (part != nodata).any():
                storage.write(str(folder / name / path(tile)), _geotiff(tile, part, nodata))
                count += 1
    for tile, part in _terrain(land, settings) if "layers" in settings else ():
        storage.write(str(folder / TERRAIN / path(tile)), _geotiff(tile, part, math.nan, TERRAIN_BANDS))
        count += 1
    storage.write(str(folder / SETTINGS_FILE), json.dumps({**settings, "tiles": count}).encode())


def _rasters(land: Land, seed: int) -> Iterator[tuple[str, NDArray[np.generic], int]]:
    """(name, array [C, side, side], nodata) of the collect and of each scene."""
    yield f"masks/{COLLECT}", snow_mask(land, np.random.default_rng([seed, 1]))[None], UNOBSERVED
    for number, view in enumerate(VIEWS):
        yield f"scenes/{view.name}", paint_scene(land, view, np.random.default_rng([seed, 2, number])), NODATA


def _terrain(land: Land, settings: dict[str, int]) -> Iterator[tuple[Tile, Field]]:
    """Each tile with its TERRAIN_BANDS [4, tile_size, tile_size]; the land wraps around at its edges."""
    side_px, middle = settings["tile_size"], settings["tiles_per_side"] // 2
    on_ground_m = float(np.mean(pixel_m(Tile(CORNER.z, CORNER.x, CORNER.y + middle), side_px)))
    elevation_m = np.pad(VALLEY_M + land.height * np.float32(on_ground_m), 1, mode="wrap")
    for row in range(settings["tiles_per_side"]):
        for column in range(settings["tiles_per_side"]):
            tile = Tile(CORNER.z, CORNER.x + column, CORNER.y + row)
            rows, columns = (slice(i * side_px, (i + 1) * side_px + 2) for i in (row, column))
            yield tile, terrain_bands(elevation_m[rows, columns], tile)


def _cut(array: NDArray[np.generic], tile_size: int) -> Iterator[tuple[Tile, NDArray[np.generic]]]:
    for row in range(array.shape[1] // tile_size):
        for column in range(array.shape[2] // tile_size):
            rows, columns = (slice(i * tile_size, (i + 1) * tile_size) for i in (row, column))
            yield Tile(CORNER.z, CORNER.x + column, CORNER.y + row), array[:, rows, columns]


def _geotiff(tile: Tile, array: NDArray[np.generic], nodata: float, names: tuple[str, ...] = ()) -> bytes:
    count, height, width = array.shape
    transform = from_bounds(*bounds(tile), width, height)
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", crs="EPSG:3857", transform=transform, count=count, height=height, width=width,
            dtype=array.dtype, nodata=nodata, compress="deflate", predictor=3 if array.dtype.kind == "f" else 2,
        ) as raster:  # fmt: skip
            raster.write(array)
            raster.descriptions = names or (BANDS if count == len(BANDS) else ("snow",))
        return bytes(memory.getbuffer())
