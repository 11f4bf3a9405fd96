"""Imagery: what is kept of it, what its masks take away, and what its numbers mean."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from snowcover.prepare.scene import MixedQuantities, UnknownBands
from snowcover.prepare.udm import WrongUdm
from snowcover.sensors.planetscope import MissingCoefficients, metadata_of, reflectance_coefficients, udm_of
from tests.prepare.command import prepare
from tests.prepare.rasters import imagery, shared, write_raster

BITS = ("[]", "[4]", "[1]", "[1,4]")
SCENE = "20180528_181110_1025_3B_AnalyticMS_SR_clip"


def read_all(folder: Path) -> np.ndarray:
    """All tiles of a folder, [tiles, C, H, W], in the order of their names."""
    return np.stack([rasterio.open(path).read() for path in sorted(folder.rglob("15/*/*.tif"))])


def tiled(tmp_path: Path, *overrides: str, name: str = SCENE) -> np.ndarray:
    prepare(f"scenes={tmp_path}/{name}.tif", f"out={tmp_path}/out", "min_valid=0", "overwrite=true", *overrides)
    return read_all(tmp_path / "out" / name)


@pytest.mark.slow
def test_a_udm_hides_only_the_bits_that_the_config_names(tmp_path: Path) -> None:
    write_raster(tmp_path / f"{SCENE}.tif", imagery() | 1)
    flags = np.zeros((600, 600), np.uint8)
    flags[:300], flags[300:400] = 1 << 1, 1 << 4  # cloud, suspect in red
    write_raster(tmp_path / "20180528_181110_1025_3B_AnalyticMS_DN_udm_clip.tif", flags)
    usable_px = {bits: (tiled(tmp_path, f"udm.bits={bits}") != 0).any(axis=1).sum() for bits in BITS}
    whole = usable_px["[]"]
    assert usable_px["[1]"] / whole == pytest.approx(1 / 2, abs=0.01)
    assert usable_px["[4]"] / whole == pytest.approx(5 / 6, abs=0.01)
    assert usable_px["[1,4]"] / whole == pytest.approx(1 / 3, abs=0.01)
    assert (tiled(tmp_path, "udm.use=false") != 0).any(axis=1).sum() == whole


@pytest.mark.slow
def test_snow_and_shadow_of_a_udm2_stay_unless_asked(tmp_path: Path) -> None:
    write_raster(tmp_path / f"{SCENE}.tif", imagery() | 1)
    bands = np.zeros((8, 600, 600), np.uint8)
    bands[1, :300] = 1  # snow
    bands[5, 300:] = 1  # cloud
    write_raster(tmp_path / "20180528_181110_1025_3B_udm2_clip.tif", bands)
    choices = ("zoom=15", "udm.bands=[snow]", "udm.use=false")
    usual, snowless, all_of_it = ((tiled(tmp_path, choice) != 0).any(axis=1).sum() for choice in choices)
    assert usual + snowless == all_of_it
    assert usual / all_of_it == pytest.approx(0.5, abs=0.01)


def test_the_masks_of_the_same_acquisition_are_found_udm2_first() -> None:
    files = [
        "x/20180528_181110_1025_3B_AnalyticMS_DN_udm_clip.tif",
        "x/20180528_181110_1026_3B_udm2_clip.tif",
        "x/20180528_181110_1025_3B_AnalyticMS_metadata_clip.xml",
    ]
    assert udm_of(f"x/{SCENE}.tif", files) == files[0]
    files.append("x/20180528_181110_1025_3B_udm2_clip.tif")
    assert udm_of(f"x/{SCENE}.tif", files) == files[-1]
    assert udm_of("x/everest.tif", files) is None


def test_a_udm_of_another_size_is_refused(tmp_path: Path) -> None:
    write_raster(tmp_path / f"{SCENE}.tif", imagery())
    write_raster(tmp_path / "20180528_181110_1025_3B_udm_clip.tif", np.zeros((10, 10), np.uint8))
    with pytest.raises(WrongUdm, match=r"10 x 10.*600 x 600.*udm\.use=false"):
        tiled(tmp_path)


def test_type_band_names_and_nodata_of_the_file_are_kept(tmp_path: Path) -> None:
    stack = imagery().astype(np.int16)
    stack[stack == 0] = -1
    names = ("red", "green", "blue", "nir")
    write_raster(tmp_path / f"{SCENE}.tif", stack, nodata=-1, names=names)
    tiles = tiled(tmp_path)
    with rasterio.open(next((tmp_path / "out").rglob("15/*/*.tif"))) as file:
        assert (file.descriptions, file.nodata, file.dtypes[0]) == (names, -1, "int16")
    assert ((tiles == -1).all(axis=1) == (tiles == -1).any(axis=1)).all()
    assert tiles[tiles != -1].min() >= stack[stack != -1].min()


def test_bands_that_nobody_named_are_refused(tmp_path: Path) -> None:
    write_raster(tmp_path / f"{SCENE}.tif", np.ones((8, 50, 50), np.uint16))
    with pytest.raises(UnknownBands, match="8 bands without names"):
        tiled(tmp_path)


@pytest.mark.slow
def test_the_real_scenes_radiance_becomes_reflectance_by_its_own_coefficients(tmp_path: Path) -> None:
    folder = shared("planetscope_scene")
    common = (f"scenes={folder}/*AnalyticMS.tif", "zoom=12")
    prepare(*common, f"out={tmp_path}/kept")
    prepare(*common, f"out={tmp_path}/turned", "radiance=reflectance")
    pairs = 0
    for path in (tmp_path / "kept").rglob("12/*/*.tif"):
        kept = rasterio.open(path).read().astype(float)
        turned = rasterio.open(tmp_path / "turned" / path.relative_to(tmp_path / "kept")).read()
        factors = np.array([1.81512636125e-05, 1.92266681265e-05, 2.14155262585e-05, 3.22221688359e-05]) * 10000
        assert np.abs(turned - kept * factors[:, None, None]).max() <= 1
        assert ((kept == 0).all(axis=0) == (turned == 0).all(axis=0)).all()
        pairs += 1
    assert pairs == 7


def test_metadata_of_other_bands_or_of_nothing_is_refused() -> None:
    assert metadata_of("a/x_AnalyticMS_clip.tif", ["a/x_AnalyticMS_metadata_clip.xml"]) is not None
    with pytest.raises(MissingCoefficients, match="no Planet metadata"):
        reflectance_coefficients(b"<a", "m.xml", 4)
    with pytest.raises(MissingCoefficients, match="0 bands, the scene has 4"):
        reflectance_coefficients(b"<a/>", "m.xml", 4)


def test_radiance_with_surface_reflectance_is_refused_unless_converted(tmp_path: Path) -> None:
    for name in ("20180528_1_a_3B_AnalyticMS", "20180529_1_a_3B_AnalyticMS_SR"):
        write_raster(tmp_path / "in" / f"{name}.tif", imagery(50))
    with pytest.raises(MixedQuantities, match="radiance=reflectance"):
        prepare(f"scenes={tmp_path}/in/*.tif", f"out={tmp_path}/out")
    with pytest.raises(MissingCoefficients, match="no metadata XML"):
        prepare(f"scenes={tmp_path}/in/*.tif", f"out={tmp_path}/out", "radiance=reflectance")


@pytest.mark.slow
@pytest.mark.parametrize("least", [0, 0.05, 0.3, 1])
def test_a_tile_is_kept_by_its_observed_share(least: float, tmp_path: Path) -> None:
    write_raster(tmp_path / f"{SCENE}.tif", np.full((4, 1200, 1200), 500, np.uint16))
    shares = (tiled(tmp_path) != 0).any(axis=1).mean(axis=(1, 2))
    kept = tiled(tmp_path, f"min_valid={least}")
    assert len(kept) == (shares >= least).sum()
    assert (kept != 0).any(axis=1).mean(axis=(1, 2)).min() >= least
