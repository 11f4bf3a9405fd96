"""What a raster given as a snow map holds, by its tags, its type and its values; and what is none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.windows import Window

from snowcover.errors import UserError
from snowcover.evaluate.map_values import NotASnowMap, recognise
from snowcover.evaluate.products import read_products
from snowcover.evaluate.rasters import inspect_raster
from snowcover.prepare.reprojection import Grid
from tests.evaluate.test_config import config
from tests.prepare.rasters import TUOLUMNE, write_raster

NAN = np.nan


def read(path: Path) -> np.ndarray[Any, Any]:
    """[L, h, w], NaN where unobserved, as a map in its own grid is read."""
    file = inspect_raster(str(path), str(path.parent), None)
    with file.opened() as opened:
        values, seen = recognise(file).converted(*opened.read(Window(0, 0, file.grid.width, file.grid.height)))
    return np.where(seen, values, NAN)


def test_classes_are_snow_no_snow_and_unobserved(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "m.tif", np.array([[0, 1, 255]], np.uint8))
    assert np.array_equal(read(path), [[[0, 1, NAN]]], equal_nan=True)
    path = write_raster(tmp_path / "f.tif", np.array([[0, 1, NAN]], np.float32))
    assert np.array_equal(read(path), [[[0, 1, NAN]]], equal_nan=True)


def test_our_probability_is_scaled_and_cut_at_its_own_threshold(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "m.tif", np.array([[0, 58, 57, 200, 255]], np.uint8), nodata=255, scale=0.005,
                        names=("probability of snow",))  # fmt: skip
    with rasterio.open(path, "r+") as file:
        file.update_tags(SNOWCOVER_THRESHOLD="0.29")
    share, probability = read(path)[:, 0]
    assert np.array_equal(share, [0, 1, 0, 1, NAN], equal_nan=True)
    assert probability == pytest.approx([0, 0.29, 0.285, 1, NAN], nan_ok=True)


SOME = range(10, 90, 7)


@pytest.mark.parametrize(
    ("values", "dtype", "options", "shares"),
    [
        ([0, 40, 100, 200, 250, 255, *SOME], "uint8", {}, [0, 0.4, 1, NAN, NAN, NAN]),  # MODIS: night, cloud, fill
        ([0, 400, 1000, -9999, *range(0, 999, 30)], "int16", {}, [0, 0.4, 1, NAN]),  # Landsat's fSCA without its scale
        ([0, 400, 1000, -9999], "int16", {"scale": 0.001}, [0, 0.4, 1, NAN]),
        ([0.0, 0.4, 1, -9999], "float32", {}, [0, 0.4, 1, NAN]),
        ([0.0, 0.4, 0.2, NAN], "float64", {}, [0, 0.4, 0.2, NAN]),
        ([0.0, 40.5, 100, 7], "float32", {}, [0, 0.405, 1, 0.07]),
        ([0, 100, 100, 250], "uint8", {}, [0, 1, 1, NAN]),
    ],
)
def test_fractions_of_any_scale_are_shares_and_flags_are_none(
    tmp_path: Path, values: Any, dtype: str, options: Any, shares: Any
) -> None:
    path = write_raster(tmp_path / "m.tif", np.array([values], dtype), **options)
    assert read(path)[0, 0, : len(shares)] == pytest.approx(shares, nan_ok=True, abs=1e-7)


@pytest.mark.parametrize(
    ("values", "dtype", "options", "message"),
    [
        ([0.0, 4.2, 1.3, 0.7, 2.2], "float32", {}, "holds only 0, 0.7, 1.3, 2.2, 4.2, which are neither"),
        ([0, 3, 17, 4], "float32", {"unit": "m"}, "gives its numbers the unit m, which a snow map does not have"),
        ([0, 1, 2, 3], "uint8", {}, "holds only 0, 1, 2, 3, which are neither classes nor shares"),
        ([10, 20, 60, 80], "uint8", {}, "holds only 10, 20, 60, 80"),  # land cover
        (range(256), "uint8", {}, "holds numbers up to 255"),
        (range(0, 9000, 7), "uint16", {}, "holds numbers up to 8995"),
        ([0, 255, 255], "uint8", {}, "holds only 0, 255"),
        ([255, 255], "uint8", {"nodata": 255}, "has no observed pixel"),
        ([0, 1, 1], "uint8", {"nodata": 0}, "says that 0, which is no snow, is its nodata value"),
        ([0, 1], "uint8", {"names": ("standard deviation of the probability over the members",)}, "no snow map"),
    ],
)
def test_a_raster_that_is_not_a_snow_map_is_refused_with_a_hint(
    tmp_path: Path, values: Any, dtype: str, options: Any, message: str
) -> None:
    path = write_raster(tmp_path / "m.tif", np.array([list(values)], dtype), **options)
    with pytest.raises(NotASnowMap) as error:
        read(path)
    assert str(path) in str(error.value) and message in str(error.value)


def test_several_bands_are_refused(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "m.tif", np.zeros((3, 2, 2), np.uint8))
    with pytest.raises(UserError, match="has 3 bands, but one is needed"):
        inspect_raster(str(path), str(tmp_path), None)


GRID = Grid(rasterio.crs.CRS.from_epsg(32611), TUOLUMNE, 8, 4)


def products(maps: str, tmp_path: Path) -> Any:
    return read_products(config(maps, "reference=r.tif"), GRID, "20180528", str(tmp_path / "scratch"))


def test_where_maps_of_a_product_overlap_the_closest_in_time_counts(tmp_path: Path) -> None:
    first, second = np.zeros((4, 6), np.uint8), np.ones((4, 6), np.uint8)
    second[:, 0] = 255
    write_raster(tmp_path / "20180501_a_snow.tif", first)
    write_raster(tmp_path / "20180527_b_snow.tif", second, transform=TUOLUMNE * Affine.translation(2, 0))
    (product,) = products(f"maps={tmp_path}/*_snow.tif", tmp_path)
    assert (product.name, [one.scene for one in product.files]) == ("map", ["20180527_b", "20180501_a"])
    with product.opened() as opened:
        layers, of_file = opened.read(Window(0, 0, 8, 4))
    assert layers[0, 0].tolist() == [0, 0, 0, 1, 1, 1, 1, 1]
    assert of_file[0].tolist() == [1, 1, 1, 0, 0, 0, 0, 0]


def test_products_have_the_names_that_a_user_gave_or_those_of_their_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_raster(tmp_path / f"{name}.tif", np.ones((4, 8), np.uint8))
    assert [one.name for one in products(f"maps=[{tmp_path}/a.tif,{tmp_path}/b.tif]", tmp_path)] == ["a", "b"]
    named = products(f"maps={{forest: {tmp_path}/a.tif, network: [{tmp_path}/b.tif]}}", tmp_path)
    assert [one.name for one in named] == ["forest", "network"]


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        ("maps={folder}/*.tif", "maps of one product, map, are of"),
        ("maps=[{folder}/a_snow.tif,{folder}/other/a_snow.tif]", "maps has two products called a_snow"),
        ("maps={{forest: {folder}/nothing.tif}}", "No file matches maps.forest="),
    ],
)
def test_maps_that_do_not_go_together_are_refused(tmp_path: Path, maps: str, message: str) -> None:
    for name in ("a_snow", "other/a_snow"):
        write_raster(tmp_path / f"{name}.tif", np.ones((4, 8), np.uint8))
    write_raster(tmp_path / "a_probability.tif", np.full((4, 8), 0.3, np.float32))
    with pytest.raises(UserError) as error:
        products(maps.format(folder=tmp_path), tmp_path)
    assert message in str(error.value)
