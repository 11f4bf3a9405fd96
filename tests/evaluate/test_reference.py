"""References: depths by prepare's rules, masks, and the two real rasters of the Airborne Snow Observatory."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.windows import Window

from snowcover.errors import UserError
from snowcover.evaluate.reference import Reference, read_reference
from tests.evaluate.test_config import config
from tests.prepare.rasters import shared, write_raster

NAN = np.nan


def reference(path: Path | str, *overrides: str) -> Reference:
    return read_reference(config("maps=m.tif", f"reference={path}", *overrides), "/tmp")


def read(found: Reference, window: Window | None = None) -> Any:
    with found.opened() as opened:
        return opened.read(window or Window(0, 0, found.grid.width, found.grid.height))


def test_depths_become_metres_and_snow_from_the_first_threshold_on(tmp_path: Path) -> None:
    cm = np.array([[0, 9, 10, 120, -9999, 5000] + [3] * 2000], np.int16)
    path = write_raster(tmp_path / "ASO_20180528.tif", cm, nodata=-9999, unit="cm")
    found = reference(path, "depth_threshold_m=[0.1,0.5]")
    snow, depth_m = read(found)
    assert (found.is_mask, found.date) == (False, "20180528")
    assert snow[0, :6].tolist() == [0, 0, 1, 1, 255, 255]
    assert depth_m[0, :6] == pytest.approx([0, 0.09, 0.1, 1.2, NAN, NAN], nan_ok=True)


def test_a_mask_has_no_depths_and_a_window_may_reach_beyond_it(tmp_path: Path) -> None:
    found = reference(write_raster(tmp_path / "m.tif", np.array([[0, 1], [255, 1]], np.uint8)))
    snow, depth_m = read(found, Window(-1, -1, 4, 3))
    assert snow.tolist() == [[255] * 4, [255, 0, 1, 255], [255, 255, 1, 255]] and depth_m is None


@pytest.mark.parametrize(
    ("values", "overrides", "message"),
    [
        (np.array([[0, 0.2, 1.7, 3.1]], np.float32), ("reference_kind=mask",),
         "reference_kind=mask, but {path} holds depths"),
        (np.array([[0, 1, 1]], np.uint8), ("reference_kind=depth",), "{path} holds only 0 and 1, which is a mask"),
        (np.array([range(40)], np.uint16), (), "give the unit of these depths"),
        (np.array([[0, 1, 2, 3]], np.uint8), ("reference_kind=mask",), "reference_kind=mask: {path} holds only"),
    ],
)  # fmt: skip
def test_a_reference_of_another_kind_is_refused(tmp_path: Path, values: Any, overrides: Any, message: str) -> None:
    path = write_raster(tmp_path / "r.tif", values)
    with pytest.raises(UserError) as error:
        reference(path, *overrides)
    assert message.format(path=path) in str(error.value)


def test_the_real_mosaic_of_50_m_is_read() -> None:
    found = reference(shared("aso_depth/ASO_GrandMesa_Mosaic_2020Feb1-2_snowdepth_50m.tif"))
    snow, depth_m = read(found)
    assert (found.grid.width, found.grid.height) == (455, 212)
    assert np.array_equal(snow == 255, np.isnan(depth_m))
    assert np.array_equal(snow == 1, depth_m >= np.float32(0.1)) and (snow == 1).sum() > 10_000


def test_the_real_clip_with_a_malformed_crs_is_read_with_the_users_crs() -> None:
    clip = shared("aso_depth/ASO_GrandMesa_2020Feb1-2_snowdepth_3m_clip_GMb.tif")
    with pytest.raises(UserError, match="malformed coordinate reference system"):
        reference(clip)
    found = reference(clip, "crs=EPSG:32612")
    assert found.grid.crs.to_epsg() == 32612
    assert (read(found)[0] == 1).sum() > 50_000
