"""A tile lies where its path says, by its own coordinates, or is refused."""

from pathlib import Path
from typing import Any

import pytest
from affine import Affine
from rasterio.crs import CRS
from rasterio.transform import from_bounds

from snowcover.data.dataset import load_dataset
from snowcover.data.place import WrongPlace
from snowcover.data.reading import PairReader, RawPair
from snowcover.data.tiles import Tile, bounds
from tests.making import BANDS, config, pair_of, snowy, sources, write_tile

TILE = Tile(15, 5500, 12600)


def at(tile: Tile, size: int = 64) -> Affine:
    return from_bounds(*bounds(tile), size, size)


def read(root: Path, of_image: dict[str, Any] | None = None, of_mask: dict[str, Any] | None = None) -> RawPair:
    image, mask = snowy(1)
    files = (
        write_tile(root / "scene", TILE, image, **(of_image or {})),
        write_tile(root / "collect", TILE, mask, 255, **(of_mask or {})),
    )
    return PairReader(BANDS, 0)(pair_of(*files, TILE))


WRONG = {
    "tms": (
        at(Tile(15, 5500, 2**15 - 1 - 12600)),
        r"those of 15/5500/20167\.tif, so this folder is laid out in TMS rows",
    ),
    "z/y/x": (at(Tile(15, 12600, 5500)), r"those of 15/12600/5500\.tif, so this folder is laid out as z/y/x"),
    "neighbour": (at(Tile(15, 5501, 12600)), r"those of 15/5501/12600\.tif: rename it"),
    "zoom": (at(Tile(14, 2750, 6300)), r"those of 14/2750/6300\.tif: rename it"),
    "half a pixel": (at(TILE) * Affine.translation(0.5, 0.5), "are those of no tile: make the tiles again"),
    "turned": (at(TILE) * Affine.rotation(90, (32, 32)), "are those of no tile|rows are stored"),
    "south up": (at(TILE) * Affine.translation(0, 64) * Affine.scale(1, -1), "rows are stored from south to north"),
}


@pytest.mark.parametrize("side", ["image", "mask"])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_tile_that_lies_elsewhere_than_its_path_says_is_refused(tmp_path: Path, side: str, wrong: str) -> None:
    transform, text = WRONG[wrong]
    folder = "scene" if side == "image" else "collect"
    with pytest.raises(WrongPlace, match=rf"{folder}/15/5500/12600\.tif does not lie where its path says: .*{text}"):
        read(tmp_path, **{f"of_{side}": {"transform": transform}})


def test_a_tile_in_another_coordinate_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongPlace, match=r"is in EPSG:32611, and a tile z/x/y is in EPSG:3857"):
        read(tmp_path, {"crs": "EPSG:32611"})
    with pytest.raises(WrongPlace, match=r"is in EPSG:4326"):
        read(tmp_path, None, {"crs": "EPSG:4326"})


def test_a_tile_without_coordinates_is_refused_with_the_command_that_gives_them(tmp_path: Path) -> None:
    left, bottom, right, top = bounds(TILE)
    with pytest.raises(WrongPlace, match="does not say where it lies") as failure:
        read(tmp_path, None, {"crs": None, "transform": None})
    assert f"-a_ullr {left!r} {top!r} {right!r} {bottom!r} {tmp_path}/collect/15/5500/12600.tif" in str(failure.value)


SPHERE = (
    "+proj=merc +a=6378137 +b=6378137 +lat_ts=0 +lon_0=0 +x_0=0 +y_0=0 +k=1 +units=m +nadgrids=@null +wktext +no_defs"
)


@pytest.mark.parametrize("crs", [None, "EPSG:3857", "ESRI:102100", "EPSG:3785", CRS.from_proj4(SPHERE)])
def test_the_other_names_of_web_mercator_and_rounded_coordinates_are_understood(tmp_path: Path, crs: Any) -> None:
    left, bottom, right, top = (round(edge, 1) for edge in bounds(TILE))
    assert read(tmp_path, {"crs": crs, "transform": from_bounds(left, bottom, right, top, 64, 64)}).has_snow


def test_masks_in_tms_rows_at_the_equator_are_refused_though_all_of_them_find_an_image(tmp_path: Path) -> None:
    rows = 2**15
    for index in range(24):
        tile = Tile(15, 100 + index // 6, rows // 2 - 3 + index % 6)
        image, mask = snowy(index)
        write_tile(tmp_path / "scenes/20180528_a", tile, image)
        flipped = Tile(15, tile.x, rows - 1 - tile.y)
        write_tile(tmp_path / "masks/ASO_20180528", flipped, mask, nodata=255, transform=at(tile))
    with pytest.raises(WrongPlace, match="laid out in TMS rows, counted from the south: rename each y"):
        load_dataset(config("data=tiles", sources(tmp_path)))
