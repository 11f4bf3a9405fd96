"""What a collect's numbers are: a mask, depths by their scale and unit, or neither, and then refused."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from snowcover.prepare.collect import Rule, WrongCollect
from snowcover.prepare.existing import OtherSettings
from snowcover.prepare.fill import UntaggedFill
from tests.prepare.command import finish, prepare
from tests.prepare.cutting import collect_job, tiles
from tests.prepare.rasters import shared, write_mask, write_raster

Array = np.ndarray[Any, Any]
SIDE_PX = 90
ROWS, COLUMNS = np.mgrid[:SIDE_PX, :SIDE_PX]
CM = (ROWS * 7 + COLUMNS * 3) % 260  # whole centimetres, so that each way of storing them is exact
CM[CM == 10] = 11  # 0.1 m in feet is not
UNSEEN = ROWS + COLUMNS < 30
TRUE_MASK = np.where(UNSEEN, 255, CM >= 10)


def stored(numbers: Array, dtype: str) -> Array:
    return np.where(UNSEEN, -9999, numbers).astype(dtype)


WAYS: dict[str, tuple[Array, dict[str, Any], tuple[str, ...]]] = {
    "float_metres": (stored(CM / 100, "float32"), {}, ()),
    "int16_centimetres_by_scale": (stored(CM, "int16"), {"scale": 0.01}, ()),
    "int16_millimetres_by_scale": (stored(CM * 10, "int16"), {"scale": 0.001}, ()),
    "scale_and_offset": (stored(CM - 100, "int16"), {"scale": 0.01, "offset": 1}, ()),
    "scale_and_unit_m": (stored(CM, "int16"), {"scale": 0.01, "unit": "metre"}, ()),
    "unit_cm": (stored(CM, "float32"), {"unit": "cm"}, ()),
    "unit_in_capitals": (stored(CM * 10, "int32"), {"unit": "Millimeters"}, ()),
    "unit_ft": (stored(CM / 30.48, "float32"), {"unit": "US survey foot"}, ()),
    "description": (stored(CM, "float64"), {"names": ("Snow depth [cm]",)}, ()),
    "name_of_the_variable": (stored(CM, "float32"), {"names": ("snow_depth_cm",)}, ()),
    "given": (stored(CM, "int16"), {}, ("depth_unit=cm",)),
    "given_against_the_file": (stored(CM, "int16"), {"scale": 0.01, "unit": "cm"}, ("depth_unit=m",)),
}


@pytest.mark.parametrize("way", WAYS)
def test_depths_are_metres_however_they_are_stored(way: str, tmp_path: Path) -> None:
    numbers, options, overrides = WAYS[way]
    path = write_raster(tmp_path / "flight.tif", numbers, nodata=-9999, **options)
    job = collect_job(path, *overrides)
    assert job.rule is not None
    mask, out_of_range_px = job.rule.mask(numbers)
    assert (mask == TRUE_MASK).all()
    assert out_of_range_px == 0


def test_a_depth_at_the_threshold_is_snow_in_whole_centimetres_too() -> None:
    cm = np.arange(1, 3000).astype("int16")
    for threshold in cm[:300].tolist():
        mask, _ = Rule(None, threshold / 100, 0, 30, scale_m=0.01).mask(cm)
        assert np.argmax(mask == 1) == threshold - 1


def test_unobserved_follows_from_stored_numbers_and_from_the_files_mask(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "flight.tif", CM.astype("int16"), nodata=20, scale=0.01)
    write_mask(path, ~UNSEEN, inside=True)
    values, _ = tiles(collect_job(path))
    reference = write_raster(
        tmp_path / "float.tif", stored(np.where(CM == 20, -9999, CM / 100), "float32"), nodata=-9999
    )
    assert (values == tiles(collect_job(reference))[0]).all()


WHOLE = CM.astype("int16")
CLASSES = (CM // 60).astype("uint8")  # 0 to 4
BINARY = (CM >= 100).astype("uint8")
REFUSED: dict[str, tuple[Array, dict[str, Any], str]] = {
    "mask_of_255": (BINARY * 255, {}, "holds only 0 and 255, and no tag says what 255 is.*nodata=255"),
    "mask_of_255_in_int16": ((BINARY * 255).astype("int16"), {}, "only 0 and 255: is it a mask with other codes"),
    "mask_of_255_in_floats": ((BINARY * 255).astype("float32"), {}, "only 0 and 255: is it a mask with other codes"),
    "mask_of_100": (BINARY * 100, {}, "only 0 and 100: is it a mask with other codes"),
    "one_and_two": (BINARY + 1, {}, "only 1 and 2: is it a mask with other codes"),
    "one_and_two_in_floats": ((BINARY + 1).astype("float32"), {}, "only 1 and 2: is it a mask with other codes"),
    "classes": (CLASSES, {}, "only 0, 1, 2, 3 and 4: .*of classes"),
    "classes_in_floats": (CLASSES.astype("float32"), {}, "only 0, 1, 2, 3 and 4: .*of classes"),
    "many_classes": (CM.astype("uint8") // 10, {}, "only 26 different whole numbers: .*of classes"),
    "bare_ground_as_nodata": (BINARY, {"nodata": 0}, "0, which is no snow, is its nodata.*--unset-nodata"),
    "bare_ground_as_nodata_in_floats": (BINARY.astype("float32"), {"nodata": 0}, "0, which is no snow, is its nodata"),
    "no_depth_as_nodata": ((CM / 100).astype("float32"), {"nodata": 0}, "0, which is no snow, is its nodata"),
    "mask_with_a_fill": (stored(BINARY.astype("int16"), "int16"), {}, "only -9999, 0 and 1.*nodata=-9999"),
    "mask_with_a_scale": (BINARY, {"scale": 0.01}, "only 0 and 1 with a scale of 0.01"),
    "whole_numbers": (WHOLE, {}, "whole numbers with neither a scale nor a unit.*depth_unit=cm"),
    "shallow_whole_numbers": (WHOLE // 5, {}, "whole numbers with neither a scale nor a unit.*depth_unit=cm"),
    "centimetres_in_floats": (CM.astype("float32"), {}, r"depths above 30 m in \d+%.*depth_unit=cm"),
    "wrong_scale": (WHOLE * 100, {"scale": 0.1}, r"depths above 30 m in \d+%.*depth_unit=cm"),
    "water_equivalent": (WHOLE, {"unit": "kg m-2"}, "the unit kg m-2, which is not a unit of snow depth"),
    "scale_or_unit": (WHOLE, {"scale": 0.01, "unit": "cm"}, "a scale of 0.01 and the unit cm.*depth_unit=m or"),
    "two_units": (WHOLE, {"unit": "m", "names": ("depth (cm)",)}, r"several units \(m, cm\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_neither_a_mask_nor_depths_is_refused_with_a_hint(name: str, tmp_path: Path) -> None:
    numbers, options, message = REFUSED[name]
    path = write_raster(tmp_path / "flight.tif", numbers, **options)
    with pytest.raises(WrongCollect, match=rf"flight\.tif .*{message}") as caught:
        prepare(f"collect={path}", f"out={tmp_path}/out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("fill", [-9999, 32767])
def test_a_fill_value_among_depths_is_refused_with_a_hint(fill: int, tmp_path: Path) -> None:
    path = write_raster(tmp_path / "flight.tif", np.where(UNSEEN, fill, CM / 100).astype("float32"))
    with pytest.raises(UntaggedFill, match=rf"flight\.tif holds the value {fill} in 5\.\d% .*nodata={fill}"):
        collect_job(path)
    job = collect_job(path, f"nodata={fill}")
    assert job.rule is not None
    assert (job.rule.mask(np.where(UNSEEN, fill, CM / 100).astype("float32"))[0] == TRUE_MASK).all()


def test_masks_stay_masks_with_or_without_an_alpha_band(tmp_path: Path) -> None:
    grey_alpha = np.stack([BINARY, np.where(UNSEEN, 0, 255).astype("uint8")])
    path = write_raster(tmp_path / "mask.tif", grey_alpha, colours=("gray", "alpha"), alpha="yes")
    job = collect_job(path)
    assert job.rule is not None
    assert job.rule.is_mask
    tagged = write_raster(tmp_path / "tagged.tif", np.where(UNSEEN, 255, BINARY).astype("uint8"), nodata=255)
    assert (tiles(job)[0] == tiles(collect_job(tagged))[0]).all()


def test_tiles_made_with_another_scale_of_the_same_file_are_not_reused(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "flight.tif", stored(CM, "int16"), nodata=-9999, scale=0.02)
    command = (f"collect={path}", f"out={tmp_path}/out", "zoom=16", "tile_size=64")
    prepare(*command)
    size_bytes = path.stat().st_size
    write_raster(path, stored(CM, "int16"), nodata=-9999, scale=0.01)
    assert path.stat().st_size == size_bytes
    with pytest.raises(OtherSettings, match=r"depth_scale_m was 0\.02 and is 0\.01 now"):
        prepare(*command)


@pytest.fixture(scope="module")
def everest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Array]:
    """A folder with depths made from the real mask, and that mask."""
    folder = tmp_path_factory.mktemp("everest")
    with rasterio.open(shared("landsat7_everest") / "everest_snow_mask.tif") as file:
        mask, place = file.read(1), {"crs": file.crs.to_string(), "transform": file.transform}
    rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]]
    cm = np.where(mask == 1, 10 + (rows + columns) % 280, (rows * columns) % 10)
    write_raster(folder / "cm.tif", np.where(mask == 255, -9999, cm).astype("int16"), nodata=-9999, scale=0.01, **place)
    write_raster(folder / "inner.tif", np.where(mask == 255, 0, cm / 100).astype("float32"), **place)
    write_mask(folder / "inner.tif", mask != 255, inside=True)
    return folder, mask


@pytest.mark.process
@pytest.mark.parametrize("name", ["cm", "inner"])
def test_a_real_mask_comes_back_from_depths_made_of_it(name: str, everest: tuple[Path, Array]) -> None:
    folder, mask = everest
    status, output, errors = finish(folder, f"collect={name}.tif", f"out={name}", "zoom=13", "tile_size=64")
    assert (status, errors) == (0, "")
    shares = re.search(r"is snow depth: (.*)% snow, (.*)% no snow, (.*)% unobserved", output)
    assert shares
    assert [float(share) for share in shares.groups()] == [
        round(100 * (mask == value).mean(), 1) for value in (1, 0, 255)
    ]
    with rasterio.open(folder / name / "mask.tif") as file:
        assert (file.read(1) == mask).all()
