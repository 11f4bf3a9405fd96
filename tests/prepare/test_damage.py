"""A source that is damaged is named as the user knows it; what else GDAL says does not reach the terminal."""

import logging
from pathlib import Path

import numpy as np
import pytest
import rasterio

from snowcover import storage
from snowcover.data import gdal_warnings
from snowcover.prepare import raster
from snowcover.prepare.raster import BrokenRaster
from tests.prepare.command import finish, prepare
from tests.prepare.rasters import depth, imagery, write_raster
from tests.servers import Bucket

SMALL = ("tile_size=64", "zoom=14")


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """Bands in another order than the default, which only the end of the file tells."""
    return write_raster(tmp_path / "scene.tif", imagery(300), nodata=0, names=("nir", "red", "green", "blue"))


@pytest.mark.process
def test_a_truncated_scene_that_lost_its_band_names_is_damaged(scene: Path) -> None:
    scene.write_bytes(scene.read_bytes()[:-300])
    status, output, errors = finish(scene.parent, "scenes=scene.tif", "out=tiles", *SMALL)
    assert (status, output) == (1, "")
    assert errors.startswith("scene.tif is damaged or truncated (")
    assert "GDALMetadata" in errors
    assert len(errors.splitlines()) == 1


def test_a_damaged_source_in_s3_is_reported_by_its_uri(scene: Path, s3: Bucket) -> None:
    for cut, name in ((300, "short"), (200_000, "shorter")):
        storage.write(f"{s3.uri}/in/{name}.tif", scene.read_bytes()[:-cut])
        with pytest.raises(BrokenRaster, match=f"^{s3.uri}/in/{name}.tif ") as caught:
            prepare(f"scenes={s3.uri}/in/{name}.tif", f"out={scene.parent}/tiles", *SMALL)
        assert "snowcover-prepare-" not in str(caught.value)


def test_the_tiles_of_an_unfinished_folder_that_lost_their_names_are_made_again_without_noise(
    scene: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    arguments = f"scenes={scene}", f"out={scene.parent}/tiles", *SMALL
    prepare(*arguments)
    index = scene.parent / "tiles/scene/tiles.json"
    index.write_text(index.read_text().replace('"complete": true', '"complete": false'))
    paths = sorted((scene.parent / "tiles").rglob("14/*/*.tif"))
    whole = paths[0].read_bytes()
    paths[0].write_bytes(whole[:-100])
    prepare(*arguments)
    assert paths[0].read_bytes() == whole
    assert f"{paths[0]} is damaged and is made again." in caplog.text
    assert not [record for record in caplog.records if record.name.startswith("rasterio")]


def test_gdal_warnings_go_to_the_file_that_they_name(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("rasterio._env")
    with gdal_warnings.taken("scene.tif") as of_scene, gdal_warnings.taken("udm.tif") as of_udm:
        log.warning("CPLE_AppDefined in scene.tif: IO error")
        log.warning("CPLE_AppDefined in udm.tif: odd tag")
    with gdal_warnings.taken() as rest:
        log.warning("something else")
    assert (of_scene, of_udm, rest) == (
        ["CPLE_AppDefined in scene.tif: IO error"], ["CPLE_AppDefined in udm.tif: odd tag"], ["something else"],
    )  # fmt: skip
    assert not caplog.records


@pytest.mark.process
def test_an_odd_but_whole_source_makes_no_noise(tmp_path: Path) -> None:
    source = write_raster(tmp_path / "flight.tif", depth(300), nodata=-9999)
    content = bytearray(source.read_bytes())
    planar_configuration = content.index(b"\x1c\x01\x03\x00")
    content[planar_configuration : planar_configuration + 2] = b"\xff\xfe"  # now a tag that nobody knows
    source.write_bytes(content)
    with gdal_warnings.taken() as heard, raster.settings(), rasterio.open(source):
        assert heard
    status, output, errors = finish(tmp_path, "collect=flight.tif", "out=masks", *SMALL)
    assert (status, errors) == (0, "")
    assert "TIFF" not in output
    assert np.isfinite(rasterio.open(tmp_path / "masks/mask.tif").read(1)).all()
