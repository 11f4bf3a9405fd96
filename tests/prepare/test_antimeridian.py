"""Rasters across the 180th meridian and around a pole: all their tiles, each pixel where GDAL's warp puts it."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from matplotlib.image import imread
from rasterio.crs import CRS
from rasterio.features import geometry_mask
from rasterio.transform import from_bounds
from rasterio.warp import Resampling, reproject, transform_geom

from snowcover.data.tiles import Tile, bounds, parse
from snowcover.errors import UserError
from snowcover.prepare import aoi, preview
from snowcover.prepare.reprojection import Grid, period
from snowcover.prepare.zoom import candidates, fitting_zoom
from tests.prepare.command import prepare
from tests.prepare.rasters import write_raster

DEGREES = "EPSG:4326"


def waves(height: int, width: int) -> np.ndarray[Any, Any]:
    """[height, width] uint16, smooth, never 0."""
    rows, columns = np.mgrid[:height, :width]
    return (3000 + 1500 * np.sin(columns / 17) + 1000 * np.cos(rows / 13)).astype(np.uint16)


def scene_tiles(folder: Path, name: str, *overrides: str) -> dict[Tile, np.ndarray[Any, Any]]:
    prepare(f"scenes={folder}/{name}.tif", f"out={folder}/out", "bands=[grey]", "tile_size=64", *overrides)
    paths = [(parse(str(path)), path) for path in (folder / "out" / name).rglob("*.tif")]
    return {tile: rasterio.open(path).read(1) for tile, path in paths if tile}


def by_gdal(values: np.ndarray[Any, Any], crs: str, transform: Affine, tile: Tile) -> np.ndarray[Any, Any]:
    there = np.zeros((64, 64), values.dtype)
    reproject(
        values, there, src_transform=transform, src_crs=crs, src_nodata=0, dst_crs="EPSG:3857", dst_nodata=0,
        dst_transform=from_bounds(*bounds(tile), 64, 64), resampling=Resampling.bilinear,
    )  # fmt: skip
    return there


# name: transform of a raster in degrees, its width and height
ACROSS = {
    "179 to 181": (Affine(0.01, 0, 179, 0, -0.01, 17), 200, 100),
    "-181 to -179": (Affine(0.01, 0, -181, 0, -0.01, 17), 200, 100),
    "178 to 182, south up": (Affine(0.01, 0, 178, 0, 0.01, 16), 400, 100),
    "190 to 192, as in 0 to 360": (Affine(0.01, 0, 190, 0, -0.01, 17), 200, 100),
}


@pytest.mark.parametrize("name", ACROSS)
def test_a_raster_in_degrees_gives_all_its_tiles_on_both_sides_of_the_break(name: str, tmp_path: Path) -> None:
    transform, width, height = ACROSS[name]
    values = waves(height, width)
    write_raster(tmp_path / "scene.tif", values, crs=DEGREES, transform=transform, nodata=0)
    made = scene_tiles(tmp_path, "scene", "zoom=9", "min_valid=0")
    # the same raster where nothing breaks, a whole number of tiles further east, has as many
    shift = Affine.translation(-90, 0)
    unbroken = candidates(Grid(CRS.from_epsg(4326), shift * transform, width, height), 9)
    assert {((tile.x + 128) % 512, tile.y) for tile in unbroken} == {(tile.x, tile.y) for tile in made}
    for tile, found in made.items():
        middle, longitude = transform.c + width * transform.a / 2, (tile.x + 0.5) / 512 * 360 - 180
        turn = next(turn for turn in (-360, 0, 360) if abs(middle + turn - longitude) < 180)  # GDAL is shown the tile's
        expected = by_gdal(values, DEGREES, Affine.translation(turn, 0) * transform, tile)
        assert ((found == 0) == (expected == 0)).mean() > 0.995  # at the very edge, by an eighth of a pixel
        both = (found != 0) & (expected != 0)
        assert np.abs(found.astype(int) - expected)[both].max() <= 12  # a slope of 100 a pixel, off by an eighth


def test_a_raster_of_the_whole_world_from_0_to_360_is_that_from_minus_180_to_180(tmp_path: Path) -> None:
    values = waves(90, 180)
    write_raster(tmp_path / "here.tif", values, crs=DEGREES, transform=Affine(2, 0, -180, 0, -2, 90), nodata=0)
    rolled = np.roll(values, -90, axis=1)
    write_raster(tmp_path / "there.tif", rolled, crs=DEGREES, transform=Affine(2, 0, 0, 0, -2, 90), nodata=0)
    for zoom, count in ((0, 1), (2, 16)):
        here, there = (scene_tiles(tmp_path, name, f"zoom={zoom}", "overwrite=true") for name in ("here", "there"))
        assert set(here) == set(there)
        assert len(here) == count
        for tile, found in here.items():
            assert (there[tile] != 0).all()
            off = np.abs(found.astype(int) - there[tile]) > 1
            assert off.mean() <= 0.04  # a raster's two ends are not joined: half a pixel of 2 degrees at 0 and at 180


def test_a_mercator_raster_that_continues_beyond_the_maps_edge_is_wrapped(tmp_path: Path) -> None:
    edge, values = 20037508.342789244, waves(64, 128)
    write_raster(
        tmp_path / "scene.tif", values, "EPSG:3857", Affine(1000, 0, edge - 64000, 0, -1000, 2_000_000), nodata=0
    )
    made = scene_tiles(tmp_path, "scene", "zoom=9", "min_valid=0")
    assert {tile.x for tile in made} == {511, 0}
    shifted = Affine(1000, 0, -edge - 64000, 0, -1000, 2_000_000)
    tile = max(made, key=lambda tile: (tile.x == 0, (made[tile] != 0).sum()))
    expected = by_gdal(values, "EPSG:3857", shifted, tile)
    both = (made[tile] != 0) & (expected != 0)
    assert both.any()
    assert np.abs(made[tile].astype(int) - expected)[both].max() <= 1


@pytest.mark.parametrize(
    ("crs", "x", "transform"),
    [
        ("EPSG:32660", 1023, Affine(30, 0, 643000, 0, -30, 7000000)),
        ("EPSG:32601", 0, Affine(30, 0, 343000, 0, -30, 7000000)),
    ],
)
def test_utm_tiles_on_both_sides_of_the_break_are_gdals(crs: str, x: int, transform: Affine, tmp_path: Path) -> None:
    values = waves(600, 600)
    write_raster(tmp_path / "scene.tif", values, crs=crs, transform=transform, nodata=0)
    made = scene_tiles(tmp_path, "scene", "zoom=10", "min_valid=0")
    assert {tile.x for tile in made} == {0, 1023}
    for tile, found in made.items():
        assert ((found == 0) == (by_gdal(values, crs, transform, tile) == 0)).mean() > 0.99
    height, width = imread(io.BytesIO((tmp_path / "out/scene/preview.png").read_bytes())).shape[:2]
    assert max(height, width) < 1300


def test_the_preview_covers_both_sides_of_the_break_and_has_a_maximum_size() -> None:
    laid = preview.layout([Tile(15, x, y) for x in (32766, 32767, 0, 1) for y in (7, 8)])
    assert (laid.left, laid.across, laid.down) == (32766, 4, 2)
    assert laid.cell(Tile(15, 0, 8)) == (1, 2)
    for across, down in ((32768, 3), (600, 2), (2, 9000), (1024, 1024)):
        laid = preview.layout([Tile(15, 0, 0), Tile(15, across // 2, 0), Tile(15, across - 1, down - 1)])
        rows, columns = laid.shape
        assert max(rows, columns) * laid.side_px <= 1024
        assert laid.side_px >= 2


def test_a_preview_of_more_tiles_than_pixels_is_the_same_in_whatever_order_they_come() -> None:
    tiles = [Tile(13, x, 5) for x in range(3000)]
    pictures = []
    for order in (tiles, tiles[::-1]):
        mosaic = preview.Mosaic(preview.layout(tiles), 255, True)
        side_px = mosaic.layout.side_px
        for tile in order:
            mosaic.place(tile, np.full((side_px, side_px, 1), tile.x % 2, np.uint8))
        pictures.append(mosaic.picture())
    assert (pictures[0] == pictures[1]).all()
    assert pictures[0].size <= 1024 * 1024 * 3


@pytest.mark.parametrize(("crs", "sign"), [("EPSG:3413", 1), ("EPSG:3031", -1)])
def test_a_raster_that_holds_the_pole_gives_what_web_mercator_covers(crs: str, sign: int, tmp_path: Path) -> None:
    values, transform = waves(200, 200), Affine(20000, 0, -2e6, 0, -20000, 2e6)
    write_raster(tmp_path / "polar.tif", values, crs=crs, transform=transform, nodata=0)
    made = scene_tiles(tmp_path, "polar", "zoom=4", "min_valid=0")
    assert {tile.x for tile in made} == set(range(16))
    assert (0 if sign > 0 else 15) in {tile.y for tile in made}
    for tile, found in made.items():
        expected = by_gdal(values, crs, transform, tile)
        assert ((found == 0) == (expected == 0)).mean() > 0.99


def test_a_raster_wholly_beyond_the_map_is_refused(tmp_path: Path) -> None:
    write_raster(tmp_path / "pole.tif", waves(50, 50), "EPSG:3413", Affine(1000, 0, -25000, 0, -1000, 25000))
    with pytest.raises(UserError, match=r"pole\.tif lies wholly beyond 85\.06 degrees"):
        prepare(f"scenes={tmp_path}/pole.tif", f"out={tmp_path}/out", "bands=[grey]")


def test_the_pixel_of_a_raster_on_the_break_is_not_the_worlds_width() -> None:
    grid = Grid(CRS.from_epsg(4326), Affine(0.001, 0, 179, 0, -0.001, 17), 2000, 1000)
    west = grid._replace(transform=Affine.translation(-100, 0) * grid.transform)
    assert fitting_zoom(grid, 512) == fitting_zoom(west, 512)


@pytest.mark.parametrize("left", [179.0, -181.0])
def test_a_footprint_is_cut_at_the_break_and_covers_its_own_tiles(left: float, tmp_path: Path) -> None:
    depths = np.full((100, 200), 0.5, np.float32)
    write_raster(tmp_path / "flight.tif", depths, DEGREES, Affine(0.01, 0, left, 0, -0.01, 17))
    made = f"collect={tmp_path}/flight.tif", "zoom=9", "tile_size=64", "min_valid=0"
    prepare(*made, f"out={tmp_path}/masks")
    geometry = json.loads((tmp_path / "masks/footprint.geojson").read_text())["features"][0]["geometry"]
    ends = [point[0] for polygon in geometry["coordinates"] for ring in polygon for point in ring]
    assert {min(ends), max(ends)} == {-180, 180}
    assert {abs(end) for end in ends} == {179, 180}
    prepare(*made, f"out={tmp_path}/again", f"cover={tmp_path}/masks/footprint.geojson")
    tiles = [{parse(str(path)) for path in (tmp_path / out).rglob("9/*/*.tif")} for out in ("masks", "again")]
    assert tiles[0] == tiles[1]
    assert {tile.x for tile in tiles[0] if tile} >= {0, 511}


@pytest.mark.parametrize("crs", ["EPSG:3857", "EPSG:3832"])  # the second breaks elsewhere, at 30 degrees west
def test_a_footprint_of_a_raster_whose_x_continues_is_cut_too(crs: str, tmp_path: Path) -> None:
    break_x = {"EPSG:3857": 20037508.342789244, "EPSG:3832": 20037508.342789244 / 6}[crs]
    transform = Affine(100, 0, break_x - 20000, 0, -100, 1_000_000)
    write_raster(tmp_path / "flight.tif", np.full((100, 400), 0.5, np.float32), crs, transform)
    prepare(f"collect={tmp_path}/flight.tif", f"out={tmp_path}/masks", "zoom=9", "tile_size=64", "min_valid=0")
    geometry = json.loads((tmp_path / "masks/footprint.geojson").read_text())["features"][0]["geometry"]
    widths = [np.ptp([point[0] for point in ring]) for polygon in geometry["coordinates"] for ring in polygon]
    assert max(widths) < 0.2
    assert sum(widths) == pytest.approx(40000 / 40075016.7 * 360, abs=0.01)


def test_a_utm_footprint_holds_all_observed_ground_on_both_sides(tmp_path: Path) -> None:
    transform = Affine(30, 0, 643000, 0, -30, 7000000)
    write_raster(tmp_path / "flight.tif", np.full((600, 600), 0.5, np.float32), "EPSG:32660", transform)
    prepare(f"collect={tmp_path}/flight.tif", f"out={tmp_path}/masks", "zoom=10", "tile_size=64")
    geometry = json.loads((tmp_path / "masks/footprint.geojson").read_text())["features"][0]["geometry"]
    back = transform_geom("EPSG:4326", "EPSG:32660", geometry)
    outside = geometry_mask([back], (600, 600), transform)
    assert outside.mean() < 0.001


@pytest.mark.parametrize("ring", [(179.5, 180.5), (179.5, -179.5), (-180.5, -179.5)])
def test_a_footprint_written_across_the_break_covers_both_sides(ring: tuple[float, float], tmp_path: Path) -> None:
    west, east = ring
    corners = [[west, 16], [east, 16], [east, 17], [west, 17], [west, 16]]
    (tmp_path / "area.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [corners]}))
    write_raster(tmp_path / "scene.tif", waves(100, 200), DEGREES, Affine(0.01, 0, 179, 0, -0.01, 17), nodata=0)
    made = scene_tiles(tmp_path, "scene", "zoom=10", "min_valid=0", f"cover={tmp_path}/area.geojson")
    assert {tile.x for tile in made} == {1022, 1023, 0, 1}
    assert aoi.read(f"{tmp_path}/area.geojson", 10).digest


def test_what_repeats_around_the_world_is_known_by_its_projection() -> None:
    around = {4326: 360, 4807: 400, 3857: 40075016.68557849, 3395: 40075016.68557849, 3832: 40075016.68557849}
    for code, length in around.items():
        assert period(CRS.from_epsg(code)) == pytest.approx(length, rel=1e-9)
    assert [period(CRS.from_epsg(code)) for code in (32611, 3413, 2154)] == [None] * 3
