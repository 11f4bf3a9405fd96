"""Damage to a tile is never read over: not a byte that is missing, nor a tag that cannot be read."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snowcover import storage
from snowcover.data import geotiff
from snowcover.data.dataset import load_dataset
from snowcover.data.geotiff import BrokenTile
from snowcover.data.reading import PairReader
from snowcover.data.tiles import Tile
from snowcover.storage import s3_connection
from tests.making import BANDS, config, pair_of, snowy, sources, write_tile
from tests.servers import Bucket, Fault, Proxy, Request

TILE = Tile(15, 5500, 12600)
REVERSED = ("nir", "red", "green", "blue")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """An image whose bands are named in another order than the defaults, and its mask."""
    image, mask = snowy(1)
    return (
        write_tile(tmp_path / "scene", TILE, image[::-1], descriptions=REVERSED),
        write_tile(tmp_path / "collect", TILE, mask, nodata=255),
    )


def cut(file: Path, missing_bytes: int) -> None:
    file.write_bytes(file.read_bytes()[:-missing_bytes])


@pytest.mark.parametrize("missing_bytes", [1, 100, 400, 600])
def test_a_tile_cut_short_before_it_was_listed_is_refused_and_its_bands_not_reversed(
    files: tuple[Path, Path], missing_bytes: int, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    np.testing.assert_array_equal(PairReader(BANDS, 0)(pair_of(*files, TILE)).image, snowy(1)[0])
    cut(files[0], missing_bytes)
    with caplog.at_level(logging.WARNING), pytest.raises(BrokenTile, match=r"scene/15/5500/12600\.tif ") as failure:
        PairReader(BANDS, 0)(pair_of(*files, TILE))
    assert "make or copy this tile again" in str(failure.value)
    assert "vsimem" not in str(failure.value)
    assert not caplog.records  # nor is it told anywhere else, by a temporary name
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("which", [0, 1])
def test_a_tile_cut_short_since_it_was_listed_is_refused(files: tuple[Path, Path], which: int) -> None:
    pair = pair_of(*files, TILE)
    size = files[which].stat().st_size
    cut(files[which], 1)
    with pytest.raises(BrokenTile, match=f"12600.tif has {size - 1} bytes where {size} were listed"):
        PairReader(BANDS, 0)(pair)


def test_a_tile_that_is_another_format_is_refused(files: tuple[Path, Path]) -> None:
    image = files[0]
    image.write_bytes(f'<VRTDataset rasterXSize="64" rasterYSize="64">{image}</VRTDataset>'.encode())
    with pytest.raises(BrokenTile, match="is no readable GeoTIFF"):
        PairReader(BANDS, 0)(pair_of(*files, TILE))


def test_warnings_of_no_damage_are_reported_once_by_the_tiles_name(
    files: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    content = files[1].read_bytes()
    for uri in ("a.tif", "b.tif"):
        with geotiff.environment(), geotiff.opened(uri, content):
            logging.getLogger("rasterio._env").warning("CPLE_AppDefined in %s: an odd tag", "x" * 3)
    assert [record.getMessage() for record in caplog.records] == ["a.tif: GDAL warns: xxx: an odd tag"]
    logging.getLogger("rasterio._env").warning("of somebody else")
    assert caplog.records[-1].getMessage() == "of somebody else"


def test_nothing_is_reported_of_tiles_that_are_read_from_s3(
    files: tuple[Path, Path], s3: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    pair = pair_of(*files, TILE)
    for file in files:
        s3.put(file.parents[2].name + "/15/5500/12600.tif", file.read_bytes())
    with caplog.at_level(logging.INFO):
        listed = storage.list_files(s3.uri)
        PairReader(BANDS, 0)(replace(pair, image=listed[1].uri, mask=listed[0].uri))
    assert [record.getMessage() for record in caplog.records] == []  # nor where credentials were found, once a tile


def test_answers_100_bytes_short_are_asked_for_again_and_refused_where_they_stay_short(
    site: Path, s3: Bucket, s3_proxy: Callable[..., Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_connection, "FIRST_WAIT_S", 0.01)
    for file in sorted(site.rglob("*.tif")):
        s3.put(str(file.relative_to(site)), file.read_bytes())
    asked: set[str] = set()

    def first_time(request: Request) -> Fault | None:
        again = request.path in asked
        asked.add(request.path)
        return Fault(missing_bytes=100) if ".tif" in request.path and not again else None

    proxy = s3_proxy(fail=first_time)
    tiles = load_dataset(config("data=tiles", sources(s3.uri)))
    assert tiles.statistics.mean == load_dataset(config("data=tiles", sources(site))).statistics.mean
    assert proxy.count("GET") == 2 + 2 * 32 + 32 + 16  # listings, reads, images and masks asked for again
    monkeypatch.setattr(s3_connection, "RETRY_FOR_S", 0.3)
    proxy.fail = lambda request: (
        Fault(missing_bytes=100) if "scenes" in request.path and ".tif" in request.path else None
    )
    with pytest.raises(Exception, match=r"scenes/.*\.tif cannot be read because only \d+ of \d+ bytes come"):
        load_dataset(config("data=tiles", sources(s3.uri)))
