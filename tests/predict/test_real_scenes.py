"""Real scenes of three satellites, mapped by a network whose answer is known."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from snowcover.prepare.udm import _clear_of
from tests.making import BANDS
from tests.predict.making import predict, write_checkpoint

NO_STORE = "tracking.uri=http://localhost:9"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def classes(folder: Path, name: str) -> np.ndarray:
    with rasterio.open(folder / name / f"{name}_snow.tif") as file:
        return file.read(1)


def test_planetscope_is_unobserved_exactly_where_its_nodata_or_its_udm_says(place: Path, shared_data: Path) -> None:
    name = "20170831_172754_101c_3B_AnalyticMS"
    write_checkpoint(place / "best.ckpt")
    predict("model=best.ckpt", f"scenes={shared_data}/planetscope_scene/{name}.tif", "out=maps", "zoom=11", NO_STORE)
    with rasterio.open(shared_data / f"planetscope_scene/{name}.tif") as file:
        empty = (file.read() == 0).all(axis=0)
        with rasterio.open(place / f"maps/{name}/{name}_snow.tif") as made:
            assert (made.crs, made.transform, made.shape) == (file.crs, file.transform, file.shape)
    with rasterio.open(shared_data / "planetscope_scene/20170831_172754_101c_3B_AnalyticMS_DN_udm.tif") as file:
        unusable = _clear_of(file.read(1), [0, 2, 3, 4, 5, 6]) == 0
    assert np.array_equal(classes(place / "maps", name) == 255, empty | unusable)


@pytest.mark.slow
def test_greenland_by_landsat_is_as_white_as_its_reflectance(place: Path, shared_data: Path) -> None:
    folder = shared_data / "landsat8_greenland"
    files = [next(folder.glob(f"*_SR_{band}.TIF")) for band in ("B5", "B4", "B3", "B2")]
    stack = np.stack([rasterio.open(file).read(1) for file in files])
    with rasterio.open(files[0]) as first:
        profile = {**first.profile, "count": 4, "nodata": 0}
    with rasterio.open(place / "LC08_20150710.tif", "w", **profile) as file:
        file.write(stack)
        file.descriptions, file.scales, file.offsets = BANDS[::-1], (2.75e-5,) * 4, (-0.2,) * 4
    write_checkpoint(place / "best.ckpt")
    predict("model=best.ckpt", "scenes=LC08_20150710.tif", "out=maps", "zoom=11", NO_STORE)
    found, empty = classes(place / "maps", "LC08_20150710"), (stack == 0).all(axis=0)
    assert np.array_equal(found == 255, empty)
    mean = (stack * 2.75e-5 - 0.2).mean(axis=0)
    clear = ~empty & (np.abs(mean - 0.3) > 0.15)
    assert (found[clear] == (mean > 0.3)[clear]).mean() > 0.99


@pytest.mark.slow
def test_everest_is_the_same_as_a_scene_and_as_its_tiles(place: Path, shared_data: Path) -> None:
    write_checkpoint(place / "best.ckpt")
    tiles = shared_data / "everest_tiles/images/20001030_everest"
    scene = shared_data / "landsat7_everest/everest_bgrn.tif"
    predict("model=best.ckpt", f"scenes={tiles}", "out=maps", NO_STORE)
    with rasterio.open(place / "maps/20001030_everest/20001030_everest_snow.tif") as file:
        assert file.crs.to_epsg() == 3857
    like = place / "maps/20001030_everest/20001030_everest_snow.tif"
    predict("model=best.ckpt", f"scenes={scene}", f"like={like}", "out=same_grid", NO_STORE)
    one, other = classes(place / "maps", "20001030_everest"), classes(place / "same_grid", "everest_bgrn")
    both = (one != 255) & (other != 255)
    assert both.mean() > 0.5
    assert (one[both] == other[both]).mean() > 0.98
