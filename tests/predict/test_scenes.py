"""Which scenes a command maps, and how each is read: by its bands' names, its own scale, its UDM, its tiles."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

from snowcover.data.tiles import Tile
from snowcover.errors import UserError
from snowcover.out_command import checked
from snowcover.predict.config import Config
from snowcover.predict.geotiff_scene import GeoTiffScene, MissingBands
from snowcover.predict.models import load
from snowcover.predict.products import NoDate, Scene, open_scene, products
from snowcover.predict.scenes import NotForTiles, list_scenes
from snowcover.predict.tile_scene import MixedZooms, TileScene
from snowcover.prepare.sources import NoScenes
from snowcover.trained_model import TrainedModel
from tests.making import BANDS, write_tile
from tests.predict.making import composed, reflectance, stored, write_checkpoint, write_scene
from tests.prepare.rasters import write_raster


def config(folder: Path, *overrides: str, scenes: str = "*.tif") -> Config:
    given = composed(f"model={folder}/best.ckpt", f"scenes={folder}/{scenes}", f"out={folder}/maps", *overrides)
    return checked(Config, given)


def opened(folder: Path, *overrides: str, scenes: str = "*.tif") -> Scene:
    chosen = config(folder, *overrides, scenes=scenes)
    (only,) = list_scenes(chosen)
    return open_scene(chosen, only, str(folder))


def model(folder: Path, **metadata: object) -> TrainedModel:
    write_checkpoint(folder / "best.ckpt", **metadata)  # type: ignore[arg-type]
    return load(config(folder))[0]


def whole(scene: Scene, bands: tuple[str, ...] = BANDS) -> tuple[np.ndarray, np.ndarray]:
    with scene.open(bands) as source:
        return source.read(Window(0, 0, scene.grid.width, scene.grid.height))


def test_bands_are_taken_by_name_in_the_networks_order(tmp_path: Path) -> None:
    values = stored(reflectance())
    write_scene(tmp_path / "right.tif")
    write_raster(tmp_path / "x/other.tif", values[[3, 2, 0, 1]], nodata=0, names=("nir", "red", "blue", "green"))
    wanted, valid = whole(opened(tmp_path, scenes="right.tif"))
    found, also_valid = whole(opened(tmp_path / "x"))
    assert np.array_equal(found, wanted)
    assert np.array_equal(valid, also_valid)
    assert np.array_equal(wanted, np.moveaxis(values, 0, 2))
    assert np.array_equal(valid == 0, (values == 0).all(axis=0))


def test_a_scene_without_one_of_the_bands_is_refused(tmp_path: Path) -> None:
    write_raster(tmp_path / "rgb.tif", stored(reflectance())[:3], nodata=0, names=BANDS[:3])
    scene = opened(tmp_path)
    with pytest.raises(
        MissingBands, match=r"rgb\.tif has the bands blue, green, red, and the network takes .*: nir is"
    ):
        scene.conversion(model(tmp_path))


def test_a_pixel_that_only_other_bands_see_is_unobserved(tmp_path: Path) -> None:
    values = np.concatenate([stored(reflectance()), stored(reflectance())[:1]])
    values[:4, 50, 60] = 0
    write_raster(tmp_path / "five.tif", values, nodata=0, names=(*BANDS, "swir"))
    found, valid = whole(opened(tmp_path))
    assert not valid[50, 60]
    assert not found[50, 60].any()


def test_a_scenes_own_scale_is_converted_to_the_trainings(tmp_path: Path) -> None:
    values = stored(reflectance(), 2.75e-5, -0.2)
    write_raster(tmp_path / "landsat.tif", values, nodata=0, names=BANDS, scale=2.75e-5, offset=-0.2)
    factor, summand = opened(tmp_path).conversion(model(tmp_path))
    back = (values[:, 40, 60] * factor + summand) * 1e-4
    assert back == pytest.approx(values[:, 40, 60] * 2.75e-5 - 0.2)
    assert opened(tmp_path).conversion(model(tmp_path, scale=2.75e-5, offset=-0.2)) is None


def test_a_file_without_a_scale_has_the_trainings(tmp_path: Path) -> None:
    write_scene(tmp_path / "plain.tif")
    assert opened(tmp_path).conversion(model(tmp_path, scale=2.75e-5, offset=-0.2)) is None


def test_a_udm_next_to_the_scene_masks_unusable_pixels(tmp_path: Path) -> None:
    name = "20180528_181110_1025_3B_AnalyticMS"
    write_scene(tmp_path / f"{name}_SR_clip.tif")
    flags = np.zeros((90, 120), np.uint8)
    flags[40:60, 50:70] = 1 << 2
    flags[:10, :] = 1 << 1  # "cloud", which is often snow
    write_raster(
        tmp_path / f"{name}_DN_udm_clip.tif", flags, crs="EPSG:32611", transform=opened(tmp_path).grid.transform
    )
    values, valid = whole(opened(tmp_path))
    assert not valid[40:60, 50:70].any()
    assert valid[:10, 60:].all()
    assert not values[40:60, 50:70].any()
    assert whole(opened(tmp_path, "udm.use=false"))[1][40:60, 50:70].all()


def test_tiles_are_assembled_with_holes_where_tiles_are_missing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tiles = {(x, y): rng.integers(1, 9000, (4, 64, 64)).astype(np.uint16) for x, y in ((0, 0), (1, 0), (1, 2))}
    for (x, y), values in tiles.items():
        write_tile(tmp_path / "scene", Tile(13, 1378 + x, 3162 + y), values, descriptions=BANDS)
    scene = opened(tmp_path, scenes="scene")
    assert isinstance(scene, TileScene)
    assert scene.grid[2:] == (128, 192)
    values, valid = whole(scene)
    for (x, y), wanted in tiles.items():
        part = np.s_[y * 64 : y * 64 + 64, x * 64 : x * 64 + 64]
        assert np.array_equal(values[part], np.moveaxis(wanted, 0, 2))
    assert valid.sum() == 3 * 64 * 64
    with scene.open(BANDS) as source:
        part, _ = source.read(Window(50, 40, 60, 30))
    assert np.array_equal(part, values[40:70, 50:110])
    with rasterio.open(tmp_path / "scene/13/1379/3162.tif") as file:
        assert scene.grid.transform.c + 64 * scene.grid.transform.a == pytest.approx(file.bounds.left)
        assert scene.grid.transform.f == pytest.approx(file.bounds.top)


def test_tiles_of_two_zooms_are_not_one_scene(tmp_path: Path) -> None:
    for tile in (Tile(13, 1378, 3162), Tile(14, 2756, 6324)):
        write_tile(tmp_path / "scene", tile, np.ones((4, 64, 64), np.uint16), descriptions=BANDS)
    with pytest.raises(MixedZooms, match="holds tiles of zooms 13, 14"):
        opened(tmp_path, scenes="scene")


def test_keys_of_geotiffs_are_refused_for_tiles(tmp_path: Path) -> None:
    write_tile(tmp_path / "scene", Tile(13, 1378, 3162), np.ones((4, 64, 64), np.uint16))
    with pytest.raises(NotForTiles, match="is a folder of tiles, and crs applies to GeoTIFFs only"):
        list_scenes(config(tmp_path, "crs=EPSG:32611", scenes="scene"))


def test_scenes_of_one_name_or_none_are_refused(tmp_path: Path) -> None:
    for name in ("a/s.tif", "b/S.tif"):
        write_scene(tmp_path / name)
    with pytest.raises(NoScenes, match=r"Two of the scenes, .*a/s\.tif and .*b/S\.tif"):
        list_scenes(config(tmp_path, scenes="*/*.tif"))
    with pytest.raises(NoScenes, match=r"No GeoTIFF and no folder of z/x/y tiles matches scenes=.*/none"):
        list_scenes(config(tmp_path, scenes="none*"))


def test_a_mosaic_takes_the_scenes_of_each_date(tmp_path: Path) -> None:
    for name in ("20180528_a", "20180528_b", "20180604_a"):
        write_scene(tmp_path / f"{name}.tif")
    chosen = config(tmp_path, "mosaic=date")
    found = products(chosen, list_scenes(chosen))
    assert [(one.name, len(one.scenes)) for one in found] == [("20180528", 2), ("20180604", 1)]
    write_scene(tmp_path / "undated.tif")
    with pytest.raises(NoDate, match=r"undated\.tif has no date"):
        products(chosen, list_scenes(chosen))


def test_scenes_that_prepare_refuses_are_refused_here(tmp_path: Path) -> None:
    write_raster(tmp_path / "nowhere.tif", stored(reflectance()), crs=None, names=BANDS, nodata=0)
    with pytest.raises(UserError, match="does not say its coordinate reference system"):
        opened(tmp_path)
    assert isinstance(opened(tmp_path, "crs=EPSG:32611"), GeoTiffScene)
