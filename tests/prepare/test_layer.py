"""Layers: an elevation and what is derived from it, across tiles, and rasters of anything else."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from snowcover.data.layer_names import TERRAIN_BANDS
from snowcover.data.tiles import Tile, parse, path
from snowcover.prepare.fill import UntaggedFill
from snowcover.prepare.layer import WrongLayerRaster
from snowcover.validation import ConfigError
from tests.prepare.command import prepare
from tests.prepare.rasters import write_raster

Array = np.ndarray[Any, Any]
ON_THE_MERIDIAN = Affine(3, 0, 499100, 0, -3, 4190900)  # where UTM's north is true north
SMALL = ("zoom=16", "tile_size=128")  # 3.8 m a pixel


def plane(slope_deg: float, aspect_deg: float, side_px: int = 600) -> Array:
    """[side_px, side_px] metres, falling towards the aspect."""
    rows, cols = np.indices((side_px, side_px)) * 3.0
    faces = math.radians(aspect_deg)
    return 2000 - math.tan(math.radians(slope_deg)) * ((cols - 900) * math.sin(faces) + (900 - rows) * math.cos(faces))


def made(source: Path, *overrides: str) -> dict[Tile, Array]:
    """Makes the tiles of a raster, and reads them, [C, H, W] each."""
    out = source.parent / "tiles"
    prepare(f"layer={source}", f"out={out}", *SMALL, *overrides)
    found = {}
    for file in out.rglob("*.tif"):
        with rasterio.open(file) as opened:
            tile = parse(str(file.relative_to(out)))
            assert tile is not None
            found[tile] = opened.read()
    return found


def elevation(folder: Path, values: Array, nodata: float | None = -9999, **options: Any) -> Path:
    values = values.astype(np.float32)
    return write_raster(folder / "dem.tif", values, transform=ON_THE_MERIDIAN, nodata=nodata, **options)


@pytest.mark.parametrize(("slope", "aspect"), [(30, 120), (5, 0), (60, 271.5)])
def test_a_plane_has_its_slope_and_faces_downhill_in_all_tiles(tmp_path: Path, slope: float, aspect: float) -> None:
    tiles = made(elevation(tmp_path, plane(slope, aspect)))
    assert len(tiles) > 8
    for bands in tiles.values():
        known = np.isfinite(bands).all(axis=0)
        metres, steepness, sin, cos = bands[:, known]
        assert np.ptp(metres) > 1
        assert np.abs(steepness - slope).max() < 0.05
        off = (np.degrees(np.arctan2(sin, cos)) - aspect + 180) % 360 - 180
        assert np.abs(off).max() < 0.2
        np.testing.assert_allclose(np.hypot(sin, cos), 1, atol=1e-5)


def test_level_ground_has_no_aspect(tmp_path: Path) -> None:
    for bands in made(elevation(tmp_path, np.full((600, 600), 1234.0))).values():
        known = np.isfinite(bands).all(axis=0)
        assert (bands[2:, known] == 0).all()
        np.testing.assert_allclose(bands[0, known], 1234, rtol=1e-6)
        assert bands[1, known].max() < 0.01


def test_slopes_are_continuous_across_the_edges_of_tiles(tmp_path: Path) -> None:
    rows, cols = np.indices((900, 900))
    tiles = made(elevation(tmp_path, 2000 + 40 * np.sin(cols / 29) + 30 * np.cos((rows + cols) / 31)))
    joined = 0
    for tile, bands in tiles.items():
        east = tiles.get(Tile(tile.z, tile.x + 1, tile.y))
        south = tiles.get(Tile(tile.z, tile.x, tile.y + 1))
        for axis, other in ((2, east), (1, south)):
            if other is None or np.isnan(bands).any() or np.isnan(other).any():
                continue
            joined += 1
            strip = np.concatenate([bands, other], axis=axis)[1:3]  # slope and sine, a tile on either side of the edge
            steps = np.abs(np.diff(strip, axis=axis)).mean(axis=3 - axis)  # from pixel to pixel, [2, 255]
            assert (steps[:, 127] < 1.2 * np.maximum(steps[:, 126], steps[:, 128])).all()
    assert joined > 10


def test_nodata_stays_nodata_and_takes_its_neighbours_slopes_with_it(tmp_path: Path) -> None:
    holed = plane(20, 90)
    holed[280:320, 280:320] = -9999
    tiles = made(elevation(tmp_path, holed))
    assert sum(bool(np.isnan(bands).any()) for bands in tiles.values()) > 1
    for bands in tiles.values():
        unknown = np.isnan(bands)
        assert (unknown == unknown[0]).all()  # of all bands
        assert np.nanmin(bands[0]) > 1000
    whole = np.concatenate([bands[1].ravel() for bands in tiles.values()])
    assert 0 < np.isnan(whole).mean() < 0.5
    assert np.nanmax(np.abs(whole - 20)) < 0.05  # also next to the hole: there is no cliff
    with rasterio.open(next((tmp_path / "tiles").rglob("*.tif"))) as file:
        assert math.isnan(file.nodata)
        assert file.descriptions == TERRAIN_BANDS
        assert file.dtypes[0] == "float32"


def test_the_folder_is_a_layer_by_its_index_and_a_second_run_leaves_it(tmp_path: Path) -> None:
    source = elevation(tmp_path, plane(10, 0))
    tiles = made(source)
    content = json.loads((tmp_path / "tiles/tiles.json").read_text())
    assert (content["kind"], content["complete"], content["settings"]["bands"]) == ("layer", True, list(TERRAIN_BANDS))
    assert {entry["path"] for entry in content["tiles"]} == set(map(path, tiles))
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "tiles").rglob("*")}
    made(source)
    assert before == {file: file.stat().st_mtime_ns for file in (tmp_path / "tiles").rglob("*")}


def test_an_interrupted_run_reuses_existing_tiles(tmp_path: Path) -> None:
    source = elevation(tmp_path, plane(10, 0))
    made(source)
    index = tmp_path / "tiles/tiles.json"
    whole = index.read_text()
    content = json.loads(whole)
    tile = tmp_path / "tiles" / content["tiles"][0]["path"]
    index.write_text(json.dumps({**content, "complete": False, "tiles": []}))
    tile.unlink()
    made(source)
    assert index.read_text() == whole
    assert tile.exists()


def test_feet_are_converted_to_metres(tmp_path: Path) -> None:
    tiles = made(elevation(tmp_path, plane(20, 90) / 0.3048, unit="ft"))
    assert all(np.nanmax(np.abs(bands[1] - 20)) < 0.05 for bands in tiles.values())


def test_a_layer_of_another_name_has_one_unchanged_band(tmp_path: Path) -> None:
    source = write_raster(
        tmp_path / "canopy.tif", (np.indices((600, 600))[1] / 20).astype(np.float32), transform=ON_THE_MERIDIAN
    )
    tiles = made(source, "layer_name=canopy_height")
    values = np.concatenate([bands.ravel() for bands in tiles.values()])
    assert {len(bands) for bands in tiles.values()} == {1}
    assert 0 <= np.nanmin(values) < np.nanmax(values) <= 30
    with rasterio.open(next((tmp_path / "tiles").rglob("*.tif"))) as file:
        assert file.descriptions == ("canopy_height",)


@pytest.mark.parametrize("name", ["elevation", "canopy_height"])
def test_an_untagged_fill_value_is_refused(tmp_path: Path, name: str) -> None:
    holed = plane(20, 90)
    holed[280:320, 280:320] = -9999
    with pytest.raises((WrongLayerRaster, UntaggedFill), match=r"dem\.tif holds .*nodata=-9999"):
        made(elevation(tmp_path, holed, nodata=None), f"layer_name={name}")


def test_a_raster_that_is_not_a_layer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongLayerRaster, match="has 2 bands; a layer is made of one"):
        made(elevation(tmp_path, np.stack([plane(1, 1)] * 2)))
    with pytest.raises(WrongLayerRaster, match="elevations are in furlong"):
        made(elevation(tmp_path, plane(1, 1), unit="furlong"))
    with pytest.raises(ConfigError, match="exactly one of"):
        prepare("layer=a.tif", "collect=b.tif", "out=c")
    with pytest.raises(ConfigError, match="bands is not for a layer"):
        prepare("layer=a.tif", "bands=[x]", "out=c")
    with pytest.raises(ConfigError, match="layer_name=aspect"):
        prepare("layer=a.tif", "layer_name=aspect", "out=c")
    with pytest.raises(ConfigError, match="is for layer=FILE"):
        prepare("scenes=a.tif", "layer_name=canopy", "out=c")
