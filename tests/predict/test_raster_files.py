"""A map's rasters: what is in them, and that GDAL's own tools take them for what they are."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rio_cogeo import cog_validate

from snowcover.predict.mapping import OutputGrid, Rows
from snowcover.predict.raster_files import STRIP_ROWS, RasterWriter, cloud_optimised, encoded, raster_writer
from snowcover.prepare import raster

GRID = OutputGrid(CRS.from_epsg(32611), Affine(3, 0, 280000, 0, -3, 4190000), 700, 600)


def probability(grid: OutputGrid = GRID) -> np.ndarray:
    rows, columns = np.mgrid[: grid.height, : grid.width]
    values = (0.5 + 0.5 * np.sin(columns / 50) * np.cos(rows / 70)).astype(np.float32)
    values[rows + columns < grid.height // 3] = np.nan
    return values


def written(folder: Path, chunk: int, grid: OutputGrid = GRID, spread: bool = True) -> RasterWriter:
    values = probability(grid)
    folder.mkdir(exist_ok=True)
    with raster.settings():
        with raster_writer(folder, grid, 0.5, spread) as writer:
            for row in range(0, grid.height, chunk):
                part = values[row : row + chunk]
                writer.add(Rows(row, part, part / 4 if spread else None))
            writer.finish({"SNOWCOVER_RUN_ID": "abc"})
        for kind in writer.files:
            cloud_optimised(folder, kind)
    return writer


def test_classes_and_probabilities_are_stored_to_the_pixel(tmp_path: Path) -> None:
    written(tmp_path, 100)
    values = probability()
    unobserved = np.isnan(values)
    with rasterio.open(tmp_path / "snow.tif") as file:
        assert np.array_equal(file.read(1), np.where(unobserved, 255, values >= 0.5))
        assert (file.crs, file.transform, file.shape, file.nodata) == (GRID.crs, GRID.transform, (600, 700), 255)
        colours = file.colormap(1)
        assert colours[1] == (41, 120, 204, 255)
        assert colours[0] == (198, 178, 139, 255)
        assert file.tags()["SNOWCOVER_RUN_ID"] == "abc"
    for kind, wanted, scale in (("probability", values, 0.005), ("spread", values / 4, 0.0025)):
        with rasterio.open(tmp_path / f"{kind}.tif") as file:
            found = file.read(1)
            assert file.scales == (scale,)
            assert np.array_equal(found == 255, unobserved)
            off = np.abs(found[~unobserved] * scale - wanted[~unobserved])
            by_the_threshold = np.abs(wanted[~unobserved] - 0.5) < scale
            assert off[~by_the_threshold].max() <= scale / 2 + 1e-6
            assert off.max() <= scale


@pytest.mark.parametrize("threshold", [0.001, 0.2, 0.4975, 0.5, 0.5012, 0.57, 0.995, 0.9999])
def test_the_classes_follow_from_the_stored_probabilities(threshold: float) -> None:
    values = np.concatenate([np.linspace(0, 1, 20001), threshold + np.linspace(-0.01, 0.01, 2001), [np.nan]])
    values = values.clip(0, 1).astype(np.float32)[None]
    stored = encoded(Rows(0, values, None), threshold)
    seen = stored["snow"] != 255
    assert np.array_equal(seen, ~np.isnan(values)) and np.array_equal(seen, stored["probability"] != 255)
    again = stored["probability"] * 0.005 >= threshold - 1e-9
    assert np.array_equal(again[seen], stored["snow"][seen] == 1)
    assert np.abs(stored["probability"] * 0.005 - values)[seen].max() <= 0.005 + 1e-6


def test_the_files_are_cloud_optimised_with_consistent_overviews(tmp_path: Path) -> None:
    written(tmp_path, 64)
    for kind in ("snow", "probability", "spread"):
        assert cog_validate(tmp_path / f"{kind}.tif", strict=True) == (True, [], [])
    with rasterio.open(tmp_path / "snow.tif", overview_level=0) as file:
        assert set(np.unique(file.read(1))) == {0, 1, 255}  # the most frequent class, never a mean of two
    with rasterio.open(tmp_path / "probability.tif", overview_level=0) as file:
        small = file.read(1)
    with np.errstate(invalid="ignore"):
        blocks = probability().reshape(300, 2, 350, 2).mean(axis=(1, 3)) * 200
    inner = ~np.isnan(blocks)
    assert np.abs(small[inner] - blocks[inner]).max() <= 1.01


@pytest.mark.parametrize("chunk", [1, STRIP_ROWS - 1, STRIP_ROWS, 300, 600])
def test_the_files_are_the_same_however_the_rows_come(chunk: int, tmp_path: Path) -> None:
    small = OutputGrid(GRID.crs, GRID.transform, 90, 150) if chunk == 1 else GRID
    written(tmp_path / "a", chunk, small)
    written(tmp_path / "b", 97, small)
    for kind in ("snow", "probability", "spread"):
        assert (tmp_path / f"a/{kind}.tif").read_bytes() == (tmp_path / f"b/{kind}.tif").read_bytes()


def test_areas_are_ground_areas(tmp_path: Path) -> None:
    values = probability()
    totals = written(tmp_path, 128, spread=False).totals
    assert totals.observed_px == np.count_nonzero(~np.isnan(values))
    assert totals.observed_km2 == pytest.approx(totals.observed_px * 9e-6, rel=1e-3)
    assert totals.snow_share == pytest.approx(totals.snow_px / totals.observed_px, rel=1e-3)
    assert not (tmp_path / "spread.tif").exists()
