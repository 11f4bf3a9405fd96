"""Which pixels were not observed, however the file says so; and that nothing of them gets into a tile."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from snowcover import storage
from snowcover.data.observed import observed
from snowcover.errors import UserError
from snowcover.prepare.collect import WrongCollect
from snowcover.prepare.fill import NotAlpha, UntaggedFill
from snowcover.prepare.nodata import WrongNodata, keep_off
from snowcover.prepare.pixels import MixedBands, SeveralImages
from snowcover.prepare.radiance import to_reflectance
from snowcover.prepare.scene import WrongType
from snowcover.prepare.udm import WrongUdm
from snowcover.sensors.planetscope import MissingCoefficients, reflectance_coefficients
from tests.prepare.command import finish, prepare
from tests.prepare.cutting import collect_job, first_tile, scene_job, tiles
from tests.prepare.rasters import depth, imagery, shared, write_mask, write_raster
from tests.servers import Bucket

Array = np.ndarray[Any, Any]
SIDE_PX = 90


def swath() -> Array:
    """[SIDE_PX, SIDE_PX] bool, a slanted swath."""
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX]
    observed_px: Array = (columns + rows // 3 > 20) & (columns + rows // 3 < 95)
    return observed_px


def stack(dtype: str = "uint16") -> Array:
    return (imagery(SIDE_PX) | 1).astype(dtype)


def nan_without_tag(path: Path) -> tuple[str, ...]:
    write_raster(path, np.where(swath(), stack("float32"), np.float32(np.nan)))
    return ()


def nan_in_one_band_and_another_tag(path: Path) -> tuple[str, ...]:
    values = stack("float32")
    values[2][~swath()] = np.nan
    write_raster(path, values, nodata=-1)
    return ()


def infinite(path: Path) -> tuple[str, ...]:
    values = stack("float32")
    values[0][~swath()], values[1][~swath()] = np.inf, -np.inf
    write_raster(path, values, nodata=np.nan)
    return ()


def nodata_in_some_bands(path: Path) -> tuple[str, ...]:
    values = stack("int16")
    values[:2, ~swath()] = -9999
    write_raster(path, values, nodata=-9999)
    return ()


def nodata_as_float32_rounds_it(path: Path) -> tuple[str, ...]:
    write_raster(path, np.where(swath(), stack("float32"), np.float32(-3.4028230607370965e38)), nodata=-3.40282306e38)
    return ()


def fill_given(path: Path) -> tuple[str, ...]:
    write_raster(path, np.where(swath(), stack("int16"), -9999).astype("int16"))
    return ("nodata=-9999",)


def fill_given_besides_the_tag(path: Path) -> tuple[str, ...]:
    write_raster(path, np.where(swath(), stack("float32"), np.float32(-9999)), nodata=np.nan)
    return ("nodata=-9999",)


def mask_inside(path: Path) -> tuple[str, ...]:
    write_raster(path, stack(), nodata=0)
    write_mask(path, swath(), inside=True)
    return ()


def mask_beside(path: Path) -> tuple[str, ...]:
    write_raster(path, stack())
    write_mask(path, swath(), inside=False)
    return ()


def alpha_band(path: Path) -> tuple[str, ...]:
    values = np.concatenate([stack(), np.where(swath(), 65535, 0).astype("uint16")[None]])
    write_raster(path, values, colours=("blue", "green", "red", "nir", "alpha"), photometric="minisblack", alpha="yes")
    return ()


WAYS: list[Callable[[Path], tuple[str, ...]]] = [
    nan_without_tag, nan_in_one_band_and_another_tag, infinite, nodata_in_some_bands, nodata_as_float32_rounds_it,
    fill_given, fill_given_besides_the_tag, mask_inside, mask_beside, alpha_band,
]  # fmt: skip


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Array, Array]:
    """The tiles of the same scene with 0 in all bands where it was not observed, and where they are observed."""
    path = tmp_path_factory.mktemp("reference") / "scene.tif"
    write_raster(path, np.where(swath(), stack(), 0).astype("uint16"), nodata=0)
    return tiles(scene_job(path))


@pytest.mark.parametrize("write", WAYS, ids=lambda write: write.__name__)
def test_each_way_to_mark_unobserved_pixels_gives_the_same_tiles(
    write: Callable[[Path], tuple[str, ...]], reference: tuple[Array, Array], tmp_path: Path
) -> None:
    overrides = write(tmp_path / "scene.tif")
    values, seen = tiles(scene_job(tmp_path / "scene.tif", *overrides))
    wanted, wanted_seen = reference
    assert values.shape == wanted.shape
    assert (seen == wanted_seen).all()
    pixels = np.moveaxis(values, 1, -1)[seen]
    assert np.abs(pixels - np.moveaxis(wanted, 1, -1)[seen].astype(float)).max() <= 1


def test_floating_point_gets_a_nodata_value_that_no_measurement_has(tmp_path: Path) -> None:
    nan_without_tag(tmp_path / "scene.tif")
    with first_tile(scene_job(tmp_path / "scene.tif")) as file:
        assert np.isnan(file.nodata)
    nodata_as_float32_rounds_it(tmp_path / "scene.tif")
    with first_tile(scene_job(tmp_path / "scene.tif")) as file:
        values = file.read(1)
        assert (values == file.nodata).any()  # by the plainest of comparisons
        assert values[values != file.nodata].min() > 0


@given(
    st.sampled_from(
        [("uint16", 0), ("int16", -1), ("int16", -32768), ("uint8", 255), ("float32", 0.0), ("float32", -1.0)]
    )
)
def test_no_observed_pixel_is_taken_for_nodata(kind: tuple[str, float]) -> None:
    dtype, nodata = kind
    near = np.array([nodata, nodata * (1 + 1e-7), 0, 7], dtype)
    values = np.stack(np.meshgrid(near, near), axis=-1).reshape(4, 4, 2)
    before = values.copy()
    keep_off(values, np.ones((4, 4), bool), nodata)
    assert observed([values[..., 0], values[..., 1]], nodata).all()
    assert np.abs(values.astype(float) - before).max() <= (1 if dtype != "float32" else 1e-6)


def scene_with(dtype: str, fill: float, nodata: float | None = None) -> Callable[[Path], Path]:
    return lambda path: write_raster(path, np.where(swath(), stack("float32"), fill).astype(dtype), nodata=nodata)


FILLS = {
    "int16_-9999": (scene_with("int16", -9999), "nodata=-9999"),
    "int16_32767": (scene_with("int16", 32767), "nodata=32767"),
    "uint16_65535": (scene_with("uint16", 65535), "nodata=65535"),
    "float_-9999_besides_nan": (scene_with("float32", -9999, np.nan), "nodata=-9999"),
    "float_of_arcgis": (scene_with("float32", -3.4028234663852886e38), "nodata=-3.40282347e\\+38"),
    "float_of_netcdf": (scene_with("float32", 9.969209968386869e36), "nodata=9.96920997e\\+36"),
    "zero_besides_another_tag": (scene_with("uint16", 0, 65535), "nodata=0"),
    "zero_besides_nan": (scene_with("float32", 0, np.nan), "nodata=0"),
    "zero_in_bytes_besides_another_tag": (
        lambda path: write_raster(
            path,
            np.where(swath(), stack() // 30 + 1, 0).astype("uint8"),
            nodata=255,
            photometric="minisblack",
        ),
        "nodata=0",
    ),
    "landsat_0_after_its_scale": (scene_with("float32", -0.2), "nodata=-0.2"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FILLS)
def test_an_untagged_fill_value_is_refused_with_a_hint(name: str, tmp_path: Path) -> None:
    write, way_out = FILLS[name]
    path = write(tmp_path / "scene.tif")
    with pytest.raises(UntaggedFill, match=rf"scene\.tif holds the value .* no tag says.*{way_out}") as caught:
        scene_job(path)
    given = str(caught.value).split("give it, ")[1].split(", if")[0]
    seen = tiles(scene_job(path, given))[1]
    assert 0 < seen.mean() < 0.9
    kept = str(caught.value).split("what is nodata, ")[1].removesuffix(".")
    assert tiles(scene_job(path, kept))[1].mean() > seen.mean()


def test_saturated_snow_is_not_a_fill_value(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "scene.tif", np.where(swath(), stack(), 65535).astype("uint16"), nodata=0)
    assert tiles(scene_job(path))[0].max() == 65535
    write_raster(
        path, np.where(swath(), 100, np.full((4, SIDE_PX, SIDE_PX), 255)).astype("uint8"), photometric="minisblack"
    )
    assert tiles(scene_job(path))[0].max() == 255


def test_alpha_is_a_mask_and_not_a_band(tmp_path: Path) -> None:
    values = (stack() // 30).astype("uint8")
    values[3] = np.where(swath(), 255, 0)
    path = write_raster(tmp_path / "scene.tif", values)  # GDAL calls four bands of bytes red, green, blue and alpha
    job = scene_job(path)
    assert job.render.tags.names == ("red", "green", "blue")
    assert 0 < tiles(job)[1].mean() < 0.9
    values[3] = values[0] + 1
    write_raster(path, values)
    with pytest.raises(NotAlpha, match="band 4 as alpha.*--bidx 4 --description nir"):
        scene_job(path)


def test_a_fourth_band_that_is_described_is_data_in_the_tiles_too(tmp_path: Path) -> None:
    values = np.maximum(stack() // 30, 1).astype("uint8")
    values[3, :30] = 0
    path = write_raster(tmp_path / "scene.tif", values, names=("blue", "green", "red", "nir"))
    job = scene_job(path)
    with first_tile(job) as file:
        assert file.descriptions == ("blue", "green", "red", "nir")
        assert (file.dataset_mask() == 255).all() == observed(list(file.read()), 0).all()
    values[3] += 5
    write_raster(tmp_path / "bright.tif", values, names=("blue", "green", "red", "nir"))
    assert (tiles(job)[1] == tiles(scene_job(tmp_path / "bright.tif"))[1]).all()


def test_black_is_a_measurement_where_the_file_has_a_mask(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "scene.tif", np.zeros((4, SIDE_PX, SIDE_PX), "uint16"))
    assert not tiles(scene_job(path))[1].any()
    write_mask(path, swath(), inside=True)
    assert tiles(scene_job(path))[1].any()


@pytest.mark.parametrize("given", [-1, 70000, 0.5])
def test_a_nodata_value_that_the_type_cannot_hold_is_refused(given: float, tmp_path: Path) -> None:
    path = write_raster(tmp_path / "scene.tif", stack())
    with pytest.raises(WrongNodata, match=rf"nodata={given:g} cannot be in .*scene\.tif, whose pixels are uint16"):
        scene_job(path, f"nodata={given}")


VRT = """<VRTDataset rasterXSize="90" rasterYSize="90"><SRS>EPSG:32611</SRS>
<GeoTransform>280000, 3, 0, 4190000, 0, -3</GeoTransform>{bands}</VRTDataset>"""
VRT_BAND = """<VRTRasterBand dataType="{dtype}" band="{band}"><NoDataValue>{nodata}</NoDataValue>
<SimpleSource><SourceFilename relativeToVRT="1">scene.tif</SourceFilename>
<SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"""


@pytest.mark.parametrize(("second", "difference"), [(("Float32", 0), "types"), (("UInt16", 7), "nodata values")])
def test_bands_that_differ_in_kind_are_refused(second: tuple[str, float], difference: str, tmp_path: Path) -> None:
    write_raster(tmp_path / "scene.tif", stack())
    bands = [VRT_BAND.format(dtype=d, band=b, nodata=n) for b, (d, n) in enumerate([("UInt16", 0), second], start=1)]
    (tmp_path / "mixed.vrt").write_text(VRT.format(bands="".join(bands)))
    with pytest.raises(MixedBands, match=rf"mixed\.vrt has bands of different {difference}"):
        scene_job(tmp_path / "mixed.vrt")


def test_files_of_several_images_and_of_no_measurements_are_refused(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "pages.tif", stack())
    write_raster(path, stack(), append_subdataset="YES")
    with pytest.raises(SeveralImages, match=r"pages\.tif holds 2 rasters"):
        scene_job(path)
    palette = write_raster(tmp_path / "palette.tif", stack("uint8")[:1], photometric="palette")
    with rasterio.open(palette, "r+") as file:
        file.write_colormap(1, {1: (255, 255, 255)})
    with pytest.raises(WrongType, match="palette"):
        scene_job(palette, "bands=[grey]")
    with pytest.raises(WrongCollect, match="complex64"):
        collect_job(write_raster(tmp_path / "complex.tif", depth(SIDE_PX).astype("complex64")))


def test_flags_of_another_kind_are_not_a_udm(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "20180528_181110_1025_3B_AnalyticMS_SR_clip.tif", stack())
    flags = np.zeros((8, SIDE_PX, SIDE_PX), np.uint8)
    udm = tmp_path / "20180528_181110_1025_3B_udm2_clip.tif"
    write_raster(udm, flags.astype("float32"))
    with pytest.raises(WrongUdm, match="float32"):
        scene_job(path)
    others = ("clear", "cloud", "snow", "shadow", "light_haze", "heavy_haze", "confidence", "unusable")
    write_raster(udm, flags, names=others)
    with pytest.raises(WrongUdm, match="another order"):
        scene_job(path)


def test_reflectance_is_taken_from_whole_coefficients_alone() -> None:
    tag = "bandSpecificMetadata"
    for wrong in ("nan", "inf", "-1e-5", "0"):
        band = f"<bandNumber>1</bandNumber><reflectanceCoefficient>{wrong}</reflectanceCoefficient>"
        with pytest.raises(MissingCoefficients, match="reflectance coefficient"):
            reflectance_coefficients(f"<a><{tag}>{band}</{tag}></a>".encode(), "m.xml", 1)
    values = np.array([[[np.nan], [2.0], [0.0]]], np.float32)
    result = to_reflectance(values, np.array([0.25]), np.array([[0, 1, 1]], np.uint8), np.nan)
    assert np.array_equal(result[0, :, 0], np.array([np.nan, 0.5, 0.0], np.float32), equal_nan=True)


def test_a_mask_next_to_a_raster_is_copied_from_s3(tmp_path: Path, s3: Bucket) -> None:
    metres = np.where(swath(), 1, 0.01).astype("float32")
    path = write_raster(tmp_path / "flight.tif", metres)
    write_mask(path, swath(), inside=False)
    for file in (path, path.with_name("flight.tif.msk")):
        storage.upload(str(file), f"{s3.uri}/in/{file.name}")
    prepare(f"collect={s3.uri}/in/flight.tif", f"out={tmp_path}/out", "zoom=16", "tile_size=64")
    with rasterio.open(tmp_path / "out/mask.tif") as file:
        assert (file.read(1) == np.where(swath(), 1, 255)).all()


@pytest.fixture(scope="module")
def everest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real scene as reflectance in float32, NaN next to a swath, without a tag; and 0 there, unchanged."""
    folder = tmp_path_factory.mktemp("everest")
    with rasterio.open(shared("landsat7_everest") / "everest_bgrn.tif") as file:
        values, place = file.read(), {"crs": file.crs.to_string(), "transform": file.transform}
    outside = np.add(*np.mgrid[: values.shape[1], : values.shape[2]]) < 400
    values[:, outside] = 0
    write_raster(folder / "whole.tif", values, nodata=0, **place)
    floats = np.where(outside, np.float32(np.nan), values.astype("float32") / 10000)
    write_raster(folder / "floats.tif", floats.astype("float32"), **place)
    return folder


@pytest.mark.slow
def test_a_real_scene_in_floating_point_has_as_much_nodata_as_in_whole_numbers(everest: Path) -> None:
    shares = []
    for name in ("whole", "floats"):
        small = ("zoom=13", "tile_size=64", f"out={name}")
        status, output, errors = finish(everest, f"scenes={name}.tif", *small)
        assert (status, errors) == (0, "")
        shares.append(output.splitlines()[-1].split()[-2])
    assert shares[0] == shares[1] != "0.0%"
    path = next((everest / "floats/floats/13").rglob("*.tif"))
    with rasterio.open(path) as file:
        values = file.read()
    assert np.nanmax(values) <= 1.02  # no white pixels next to the swath; the brightest of the scene is 1.02
    shutil.rmtree(everest / "floats")


def test_every_refusal_is_a_user_error() -> None:
    for error in (UntaggedFill, NotAlpha, WrongNodata, MixedBands, SeveralImages, WrongUdm):
        assert issubclass(error, UserError)
