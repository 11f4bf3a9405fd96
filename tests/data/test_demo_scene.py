"""The demo's scene, and the rasters that its map is evaluated with."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from snowcover.data import demo_scene

SIDE_PX = 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    demo_scene.make(str(folder), SIDE_PX)
    return folder


def test_depth_canopy_and_elevation_are_of_the_scenes_ground_in_metres(folder: Path) -> None:
    found = {}
    for name in (demo_scene.DEPTH, demo_scene.CANOPY, demo_scene.ELEVATION):
        with rasterio.open(folder / name) as file, rasterio.open(folder / demo_scene.SCENE) as scene:
            assert (file.crs, file.transform, file.shape) == (scene.crs, scene.transform, scene.shape)
            assert (file.dtypes, file.nodata, file.units) == (("float32",), -9999, ("m",))
            found[name] = np.where(file.read(1) == file.nodata, np.nan, file.read(1))
            red = scene.read(3).astype(float)
    depth, canopy, elevation = found.values()
    assert 0.02 < np.isnan(depth).mean() < 0.2
    assert np.nanmin(depth) == 0
    assert 0.5 < np.nanmax(depth) < 5
    assert 0.2 < (depth[~np.isnan(depth)] >= 0.1).mean() < 0.7
    assert canopy[canopy > 0].min() >= 4
    assert 0.1 < (canopy > 0).mean() < 0.6
    assert red[(red > 0) & (canopy > 0)].mean() < red[(red > 0) & (canopy == 0)].mean()  # trees are dark
    high, low = elevation > np.quantile(elevation, 0.8), elevation < np.quantile(elevation, 0.2)
    assert np.nanmean(depth[high] >= 0.1) > np.nanmean(depth[low] >= 0.1) + 0.3


def test_what_is_there_is_left_and_what_is_missing_is_made_the_same(folder: Path) -> None:
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    gone = folder / demo_scene.CANOPY
    gone.unlink()
    assert demo_scene.make(str(folder), SIDE_PX) == str(folder / demo_scene.SCENE)
    assert {path: path.read_bytes() for path in folder.iterdir()} == {path: one for path, (one, _) in before.items()}
    assert {path.name for path, (_, time) in before.items() if path.stat().st_mtime_ns != time} == {gone.name}
