"""Maps scored against a reference, from files to rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from snowcover.evaluate.results import Evaluation
from tests.evaluate.sites import DATE, HEIGHT, PLACE, WIDTH, depth, evaluated, maps, write_site
from tests.prepare.rasters import write_raster


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_site(tmp_path_factory.mktemp("valley"))


@pytest.fixture(scope="module")
def found(site: Path) -> Evaluation:
    return evaluated(
        site, maps(site, "network", "forest"), f"canopy_height={site}/chm.tif", f"elevation={site}/dem.tif",
        "depth_threshold_m=[0.1,0.3]",
    )  # fmt: skip


def stored(site: Path, name: str) -> Any:
    with rasterio.open(site / f"{DATE}_181110_{name}_probability.tif") as file:
        return file.read(1)


def counted(site: Path, name: str, threshold_m: float = 0.1, where: Any = True) -> list[int]:
    """tp, fp, fn, tn by plain NumPy."""
    deep, value = depth(), stored(site, name)
    common = ~np.isnan(deep) & (stored(site, "network") != 255) & (stored(site, "forest") != 255) & where
    snow, mapped = (deep >= np.float32(threshold_m))[common], (value >= 100)[common]
    return [int(cell.sum()) for cell in (snow & mapped, ~snow & mapped, snow & ~mapped, ~snow & ~mapped)]


@pytest.mark.parametrize("threshold_m", [0.1, 0.3])
def test_scores_are_those_of_plain_numpy_at_each_threshold(site: Path, found: Evaluation, threshold_m: float) -> None:
    for name in ("network", "forest"):
        tp, fp, fn, tn = counted(site, name, threshold_m)
        where = {"depth_threshold_m": threshold_m}
        assert found.value(name, "iou", **where) == pytest.approx(tp / (tp + fp + fn))
        assert found.value(name, "recall", **where) == pytest.approx(tp / (tp + fn))
    row = next(row for row in found.rows if row.quantity == "iou")
    assert (row.pixels, row.blocks) == (tp + fp + fn + tn, 48)
    assert row.low is not None and row.high is not None and row.low < row.value < row.high  # type: ignore[operator]


def test_strata_hold_the_pixels_that_plain_numpy_finds_in_them(site: Path, found: Evaluation) -> None:
    with rasterio.open(site / "chm.tif") as file:
        canopy = file.read(1)
    tp, fp, fn, tn = counted(site, "forest", where=(canopy >= 2) & (canopy < 5))
    row = next(row for row in found.rows if (row.product, row.quantity, row.bin) == ("forest", "iou", "2-5 m"))
    assert row.stratum == "canopy_height" and row.pixels == tp + fp + fn + tn
    assert row.value == pytest.approx(tp / (tp + fp + fn))
    deep = depth()
    tp, _, fn, _ = counted(site, "network", where=(deep >= 0.2) & (deep < 0.5))
    assert found.value("network", "recall", stratum="snow_depth", bin="0.2-0.5 m") == pytest.approx(tp / (tp + fn))
    every = {row.stratum for row in found.rows if row.stratum}
    assert every == {"canopy_height", "canopy_edge", "elevation", "slope", "aspect", "illumination", "snow_depth",
                     "snow_edge"}  # fmt: skip
    assert all(row.value is None for row in found.rows if row.stratum and row.pixels and row.pixels < 1000)


def test_the_area_of_snow_is_that_of_the_pixels(site: Path, found: Evaluation) -> None:
    tp, fp, fn, _ = counted(site, "network")
    pixel_km2 = 1e-4 / 0.9996**2  # in the middle of its zone UTM makes lengths shorter; here by about that
    assert found.value("network", "area_mapped_km2") == pytest.approx((tp + fp) * pixel_km2, rel=2e-3)
    assert found.value("network", "area_reference_km2") == pytest.approx((tp + fn) * pixel_km2, rel=2e-3)
    whole = found.value("network", "area_mapped_km2", pixels_of="own")
    value = stored(site, "network")
    assert whole == pytest.approx(((value >= 100) & (value != 255)).sum() * pixel_km2, rel=2e-3)
    assert found.value("network", "area_adjusted_km2") is not None


def test_the_snow_line_is_where_the_snow_was_put_and_maps_are_compared_with_the_references(found: Evaluation) -> None:
    line = next(row for row in found.rows if (row.product, row.quantity) == ("reference", "snow_line_m"))
    assert line.value == pytest.approx(2350 + 0.1 * 200, abs=5)
    assert line.low is not None and line.high is not None and line.low <= line.value <= line.high
    for bin_, wanted in ((None, line.value), ("south", line.value), ("north", None)):  # all of it faces south
        where = {"stratum": None if bin_ is None else "aspect", "bin": bin_}
        own = found.value("network", "snow_line_m", **where)
        higher = found.value("network", "snow_line_m", versus="reference", **where)
        assert own == (None if wanted is None else pytest.approx(wanted, abs=5))
        reference = found.value("reference", "snow_line_m", **where)
        assert higher == (None if own is None or reference is None else pytest.approx(own - reference, abs=1e-6))


def test_facts_say_what_was_scored(found: Evaluation) -> None:
    assert found.facts["Reference"] == f"ASO_{DATE}.tif, snow depth of 2018-05-28"
    assert found.facts["Snow"] == "depth of at least 0.1 m; for comparison 0.3 m"
    assert found.facts["Scored on"].startswith("18,660 pixels observed in the reference and in every product")
    assert found.facts["Acquired"].startswith("2018-05-28 18:11 UTC, the sun")
    assert found.facts["Ground"] == "all ground" and found.notes == ()


def test_two_products_that_are_the_same_differ_by_0(site: Path) -> None:
    name = f"{site}/{DATE}_181110_network_probability.tif"
    same = evaluated(site, f"maps={{one: {name}, other: {name}}}")
    rows = [row for row in same.rows if row.versus is not None]
    assert rows and all(row.value == 0 and row.low == 0 and row.high == 0 for row in rows)


def test_nodata_is_never_paired_with_anything_else(site: Path, tmp_path: Path) -> None:
    """A map of a third of the pixels, in coarser cells, with holes: each product alone, and all on the same pixels."""
    cells = np.random.default_rng(5).integers(0, 2, (40, 50)).astype(np.uint8)
    cells[3:9, 4:30] = 255
    place = PLACE * Affine.translation(7.5, -4) * Affine.scale(3)
    write_raster(tmp_path / "coarse.tif", cells, transform=place, nodata=255)
    name = f"{site}/{DATE}_181110_network_probability.tif"
    found = evaluated(site, f"maps={{coarse: {tmp_path}/coarse.tif, network: {name}}}")
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    at_row, at_column = (rows + 0.5 + 4) // 3, (columns + 0.5 - 7.5) // 3
    inside = (at_row >= 0) & (at_row < 40) & (at_column >= 0) & (at_column < 50)
    at_row, at_column = (np.where(inside, at, 0).astype(int) for at in (at_row, at_column))
    mapped = np.where(inside, cells[at_row, at_column], 255)
    deep = depth()
    for pixels_of, seen in (("own", mapped != 255), ("common", (mapped != 255) & (stored(site, "network") != 255))):
        common = ~np.isnan(deep) & seen
        snow, yes = (deep >= np.float32(0.1))[common], (mapped == 1)[common]
        expected = (snow & yes).sum() / (snow | yes).sum()
        row = next(row for row in found.rows if (row.product, row.quantity, row.pixels_of, row.versus) ==
                   ("coarse", "iou", pixels_of, None))  # fmt: skip
        assert row.pixels == common.sum()
        assert row.value == pytest.approx(expected)


def test_a_landsat_like_fraction_is_compared_at_its_own_cells(site: Path, tmp_path: Path) -> None:
    """Cells of 100 m in tenths of per cents, -9999 where clouds were; the reference's share by plain NumPy."""
    deep = depth()
    cells = deep.reshape(12, 10, 16, 10).swapaxes(1, 2).reshape(12, 16, 100)
    seen = (~np.isnan(cells)).mean(axis=2)
    share = np.nansum(cells >= np.float32(0.1), axis=2) / np.maximum(1, (~np.isnan(cells)).sum(axis=2))
    stored_share = np.rint(1000 * np.clip(share + np.linspace(-0.1, 0.2, 16), 0, 1)).astype(np.int16)
    stored_share[5, 3:6] = -9999
    write_raster(tmp_path / "fsca.tif", stored_share, transform=PLACE * Affine.scale(10))
    found = evaluated(site, f"maps={{landsat: {tmp_path}/fsca.tif}}")
    there = (stored_share >= 0) & (seen >= 0.8)
    rows = {row.quantity: row for row in found.rows if row.cell_m is not None}
    assert {row.cell_m for row in rows.values()} == {100} and rows["fsca_bias"].pixels == there.sum()
    errors = (stored_share / 1000 - share)[there]
    assert rows["fsca_bias"].value == pytest.approx(errors.mean(), abs=1e-6)
    assert rows["fsca_rmse"].value == pytest.approx(np.sqrt((errors**2).mean()), abs=1e-6)
    assert found.facts["landsat"] == "fsca.tif: shares of snow; its own cell for each pixel"


def test_several_scenes_are_scored_by_scene_and_date(site: Path, tmp_path: Path) -> None:
    half = stored(site, "network")
    for name, part in (("20180527_a", np.s_[:, 80:]), ("20180530_b", np.s_[:, :100])):
        whole = np.full_like(half, 255)
        whole[part] = half[part]
        write_raster(tmp_path / f"{name}_probability.tif", whole, transform=PLACE, nodata=255, scale=0.005)
    found = evaluated(site, f"maps={tmp_path}/*_probability.tif")
    known = ~np.isnan(depth()) & (half != 255)
    pixels = {row.bin: row.pixels for row in found.rows if row.stratum == "scene" and row.quantity == "iou"}
    assert pixels == {"20180527_a": known[:, 80:].sum(), "20180530_b": known[:, :80].sum()}  # the nearer one goes first
    gaps = {row.bin: row.pixels for row in found.rows if row.stratum == "date_gap" and row.quantity == "iou"}
    assert gaps == {"1 day": pixels["20180527_a"], "2-3 days": pixels["20180530_b"]}
    assert found.notes[0].startswith("20180530_b of map is of 2018-05-30, 2 days after the reference")


def test_a_cropped_map_has_the_area_of_its_own_pixels_whatever_its_tags_say(site: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut_probability.tif"
    with rasterio.open(site / f"{DATE}_181110_network_probability.tif") as file:
        values = file.read(1)[:60]
        profile = file.profile | {"height": 60}
        with rasterio.open(cut, "w", **profile) as made:
            made.write(values, 1)
            made.scales = file.scales
            made.update_tags(SNOWCOVER_SNOW_KM2="99", SNOWCOVER_OBSERVED_KM2="100")  # as gdal_translate copies them
    found = evaluated(site, f"maps={{network: {cut}}}")
    whole = found.value("network", "area_mapped_km2", pixels_of="own")
    assert whole == pytest.approx(((values >= 100) & (values != 255)).sum() * 1e-4, rel=2e-3)
