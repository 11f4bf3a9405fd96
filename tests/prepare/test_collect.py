"""Depth to mask: what is snow, what is not, and what nobody knows."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.features import geometry_mask
from rasterio.warp import transform_geom
from rio_cogeo.cogeo import cog_validate

from snowcover.prepare.collect import Rule
from tests.prepare.command import prepare
from tests.prepare.rasters import depth, write_raster


@given(st.lists(st.floats(width=32) | st.sampled_from([-9999.0, 0.0, 30.0]), min_size=1), st.floats(0.05, 2))
def test_every_depth_is_snow_or_not_or_unknown_by_the_rule(depths: list[float], threshold: float) -> None:
    mask, out_of_range_px = Rule(-9999, threshold, 0, 30).mask(np.array(depths, np.float32))
    for metres, value in zip(np.array(depths, np.float32), mask, strict=True):
        known = not np.isnan(metres) and metres != -9999 and 0 <= metres <= 30
        assert value == (int(metres >= np.float32(threshold)) if known else 255)
    assert out_of_range_px == sum(bool(m != -9999 and (m < 0 or m > 30)) for m in np.array(depths, np.float32))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("collect")
    write_raster(folder / "flight.tif", depth(), nodata=-9999)
    prepare(f"collect={folder}/flight.tif", f"out={folder}/masks/20180528", "depth_threshold_m=0.5", "min_valid=0")
    return folder


def test_the_mask_is_a_valid_cloud_optimised_geotiff_of_the_depths(made: Path) -> None:
    path = made / "masks/20180528/mask.tif"
    valid, errors, warnings = cog_validate(path, strict=True)
    assert (valid, errors, warnings) == (True, [], [])
    metres = depth()
    with np.errstate(invalid="ignore"):
        expected = np.where((metres >= 0) & (metres <= 30), metres >= 0.5, 255)
    with rasterio.open(path) as file:
        assert (file.nodata, file.dtypes) == (255, ("uint8",))
        assert file.transform == rasterio.open(made / "flight.tif").transform
        assert (file.read(1) == expected).all()


def test_the_footprint_holds_all_observed_ground_and_little_else(made: Path) -> None:
    shapes = json.loads((made / "masks/20180528/footprint.geojson").read_text())
    geometry = transform_geom("EPSG:4326", "EPSG:32611", shapes["features"][0]["geometry"])
    with rasterio.open(made / "masks/20180528/mask.tif") as file:
        observed = file.read(1) != 255
        outside = geometry_mask([geometry], observed.shape, file.transform)  # by pixel centres
    assert not (observed & outside).any()
    assert (~outside).sum() < 1.03 * observed.sum()


def test_mask_tiles_hold_the_three_values_and_have_a_nodata_tag(made: Path) -> None:
    tiles = list((made / "masks/20180528/15").rglob("*.tif"))
    assert len(tiles) >= 4
    values = set()
    for path in tiles:
        with rasterio.open(path) as file:
            assert (file.nodata, file.dtypes, file.crs.to_epsg(), file.shape) == (255, ("uint8",), 3857, (512, 512))
            values |= set(np.unique(file.read(1)))
    assert values == {0, 1, 255}


MASKS = {
    "bytes_with_255": (np.array([0, 1, 255], np.uint8), 255),
    "bytes_without_tag": (np.array([0, 1, 255], np.uint8), None),
    "one_class": (np.array([1, 1, 1], np.uint8), None),
    "one_class_and_nodata": (np.array([0, 0, 7], np.uint8), 7),
    "floats_with_nan": (np.array([0, 1, np.nan], np.float32), np.nan),
    "nodata_zero_is_unobserved": (np.array([0, 1, 1], np.int16), 0),
}


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_is_kept_unchanged(name: str, tmp_path: Path) -> None:
    kinds, nodata = MASKS[name]
    stored = np.random.default_rng(0).choice(kinds, (300, 300))
    source = write_raster(tmp_path / "mask.tif", stored, nodata=nodata)
    confirmed = ["nodata=0"] if nodata == 0 else []  # by default refused: 0 is no snow
    prepare(f"collect={source}", f"out={tmp_path}/out", "depth_threshold_m=3", *confirmed)
    unknown = np.isnan(stored) if stored.dtype.kind == "f" else (stored == nodata) | (stored == 255)
    expected = np.where(unknown, 255, stored)
    with rasterio.open(tmp_path / "out/mask.tif") as file:
        assert (file.read(1) == expected).all()


def test_another_threshold_moves_snow_to_bare_ground_only(tmp_path: Path) -> None:
    source = write_raster(tmp_path / "flight.tif", depth(300), nodata=-9999)
    masks = []
    for threshold in (0.1, 1.5):
        prepare(f"collect={source}", f"out={tmp_path}/{threshold}", f"depth_threshold_m={threshold}")
        masks.append(rasterio.open(tmp_path / f"{threshold}/mask.tif").read(1))
    shallow, deep = masks
    assert ((shallow == 255) == (deep == 255)).all()
    assert (deep == 1).sum() < (shallow == 1).sum()
    assert (shallow[deep == 1] == 1).all()
