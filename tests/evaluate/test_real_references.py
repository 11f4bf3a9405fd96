"""The two real rasters of the Airborne Snow Observatory as references of painted maps; a snow line on a cone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.warp import transform

from snowcover.evaluate.pipeline import evaluate_maps
from snowcover.evaluate.results import Evaluation
from tests.evaluate.test_config import config
from tests.prepare.rasters import write_raster

MOSAIC = "aso_depth/ASO_GrandMesa_Mosaic_2020Feb1-2_snowdepth_50m.tif"
CLIP = "aso_depth/ASO_GrandMesa_2020Feb1-2_snowdepth_3m_clip_GMb.tif"
UTM_12N = "EPSG:32612"


def evaluated(*overrides: str) -> Evaluation:
    return evaluate_maps(config("draws=200", *overrides))[0]


def confusion(snow: Any, mapped: Any) -> list[int]:
    return [int(cell.sum()) for cell in (snow & mapped, ~snow & mapped, snow & ~mapped, ~snow & ~mapped)]


def test_a_map_of_3_m_is_averaged_to_the_mosaic_of_50_m(shared_data: Path, tmp_path: Path) -> None:
    """Painted by the mosaic's own cells, so that plain NumPy knows each share: 25 of 50 m are snow, or all, or none."""
    with rasterio.open(shared_data / MOSAIC) as file:
        part, place = file.read(1)[60:120, 100:180], file.transform * Affine.translation(100, 60)
    kind = np.random.default_rng(0).integers(0, 3, part.shape)
    fine = np.kron(kind == 2, np.ones((16, 16), bool))
    fine |= np.kron(kind == 1, np.pad(np.ones((16, 8), bool), ((0, 0), (0, 8))))
    write_raster(tmp_path / "map.tif", fine.astype(np.uint8), UTM_12N, place * Affine.scale(1 / 16))
    found = evaluated(f"maps={tmp_path}/map.tif", f"reference={shared_data / MOSAIC}", "depth_threshold_m=1.0")
    known = np.isfinite(part) & (part >= 0) & (part <= 30)
    tp, fp, fn, tn = confusion(part[known] >= 1, kind[known] >= 1)  # half snow is snow
    row = next(row for row in found.rows if row.quantity == "iou")
    assert (row.pixels, row.value) == (tp + fp + fn + tn, pytest.approx(tp / (tp + fp + fn)))
    assert {row.cell_m for row in found.rows if row.quantity == "fsca_bias"} == {100, 500}


def test_a_map_in_web_mercator_is_scored_on_the_clip_with_the_malformed_crs(shared_data: Path, tmp_path: Path) -> None:
    """A half-plane, painted so that its edge is a line of the map's pixels; it also defines the reference's pixels."""
    with rasterio.open(shared_data / CLIP) as file:
        deep, place = file.read(1, masked=True).filled(np.nan), file.transform
    rows, columns = np.mgrid[: deep.shape[0], : deep.shape[1]] + 0.5
    xs, ys = place * (columns.ravel(), rows.ravel())
    xs, ys = (np.reshape(one, deep.shape) for one in transform(UTM_12N, "EPSG:3857", xs, ys))
    left, top, middle = xs.min() - 20, ys.max() + 20, float(np.median(xs))
    pixel_m = 0.5
    width, height = int((xs.max() - left + 20) / pixel_m), int((top - ys.min() + 20) / pixel_m)
    painted = np.zeros((height, width), np.uint8)
    painted[:, : int((middle - left) / pixel_m)] = 1
    edge = left + int((middle - left) / pixel_m) * pixel_m
    write_raster(tmp_path / "map.tif", painted, "EPSG:3857", Affine(pixel_m, 0, left, 0, -pixel_m, top))
    found = evaluated(
        f"maps={tmp_path}/map.tif", f"reference={shared_data / CLIP}", "crs=EPSG:32612", "depth_threshold_m=1.2",
        "block_m=100",
    )  # fmt: skip
    known = np.isfinite(deep) & (deep >= 0) & (deep <= 30)
    tp, fp, fn, tn = confusion(deep[known] >= np.float32(1.2), (xs < edge)[known])
    row = next(row for row in found.rows if row.quantity == "iou")
    assert row.pixels == tp + fp + fn + tn
    # A pixel whose centre lies on the edge to a millimetre may be in either class; nothing else may.
    assert row.value == pytest.approx(tp / (tp + fp + fn), abs=2e-4)
    assert row.low is not None and row.high is not None


def test_the_snow_line_on_a_cone_is_where_it_was_drawn(tmp_path: Path) -> None:
    """Snow above 2,613 m in the lidar, above 2,650 m in the map, on a cone that falls 1 m in 4."""
    rows, columns = np.mgrid[:400, :400] - 199.5
    elevation = (3000 - np.hypot(rows, columns) * 10 / 4).astype(np.float32)
    place = Affine(10, 0, 280000, 0, -10, 4190000)
    write_raster(tmp_path / "dem.tif", elevation, transform=place)
    write_raster(tmp_path / "lidar.tif", (elevation > 2613).astype(np.uint8), transform=place)
    write_raster(tmp_path / "map.tif", (elevation > 2650).astype(np.uint8), transform=place)
    found = evaluated(f"maps={tmp_path}/map.tif", f"reference={tmp_path}/lidar.tif", f"elevation={tmp_path}/dem.tif",
                      "block_m=500")  # fmt: skip
    for product, line_m in (("reference", 2613), ("map", 2650)):
        rows_of = [
            row for row in found.rows if row.quantity == "snow_line_m" and (row.product, row.versus) == (product, None)
        ]
        assert [row.bin for row in rows_of] == [None, "north", "north-east", "east", "south-east", "south",
                                                "south-west", "west", "north-west"]  # fmt: skip
        assert all(row.value == pytest.approx(line_m, abs=5) for row in rows_of)
