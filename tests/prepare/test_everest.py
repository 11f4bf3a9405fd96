"""Tiles against an independent reference: one GDAL warp per tile of the same real scene and mask."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from snowcover.data.tiles import parse
from tests.prepare.command import prepare
from tests.prepare.rasters import shared


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, out = shared("landsat7_everest"), tmp_path_factory.mktemp("everest")
    prepare(f"scenes={source}/everest_bgrn.tif", f"out={out}/images", "zoom=13")
    prepare(f"collect={source}/everest_snow_mask.tif", f"out={out}/masks/everest", "zoom=13")
    return out


def pairs(made: Path, reference: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each tile as made here and as it should be, [C, H, W]."""
    found = {parse(str(path)): path for path in made.rglob("13/*/*.tif")}
    wanted = {parse(str(path)): path for path in reference.rglob("13/*/*.tif")}
    assert set(found) == set(wanted)
    return [(rasterio.open(found[tile]).read(), rasterio.open(path).read()) for tile, path in wanted.items()]


@pytest.mark.slow
def test_masks_are_the_same_to_the_pixel(made: Path) -> None:
    tiles = pairs(made / "masks", shared("everest_tiles") / "masks")
    assert len(tiles) == 35
    assert all((ours == theirs).all() for ours, theirs in tiles)


def test_imagery_is_the_same_to_rounding_and_nodata_exactly(made: Path) -> None:
    for ours, theirs in pairs(made / "images", shared("everest_tiles") / "images"):
        assert ((ours == 0).all(axis=0) == (theirs == 0).all(axis=0)).all()
        assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_tiles_lie_where_the_reference_says_and_keep_names_and_nodata(made: Path) -> None:
    path = next((made / "images").rglob("13/*/*.tif"))
    theirs = shared("everest_tiles") / "images/20001030_everest" / path.relative_to(made / "images/everest_bgrn")
    with rasterio.open(path) as ours, rasterio.open(theirs) as reference:
        assert ours.crs == reference.crs
        assert ours.transform.almost_equals(reference.transform, 1e-8)
        assert ours.descriptions == ("blue", "green", "red", "nir")
        assert (ours.nodata, ours.dtypes) == (0, ("uint16",) * 4)
