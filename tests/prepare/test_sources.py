"""Which files are read and which places written to: found whatever their case, refused before anything is lost."""

import fcntl
import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.rpc import RPC

from snowcover import storage
from snowcover.errors import UserError
from snowcover.prepare.georeference import MissingGeoreference
from snowcover.prepare.sources import NoScenes, OverwritesSource
from snowcover.prepare.work_folders import Unwritable
from tests.prepare.command import prepare
from tests.prepare.rasters import depth, imagery, write_raster
from tests.servers import Bucket

SMALL = ("tile_size=64", "zoom=14")
ACQUISITION = "20180528_181110_1025_3B_AnalyticMS"
METADATA = b"""<x xmlns:ps="http://p"><ps:bandSpecificMetadata><ps:bandNumber>%d</ps:bandNumber>
<ps:reflectanceCoefficient>0.00002</ps:reflectanceCoefficient></ps:bandSpecificMetadata></x>"""


def tiles(folder: Path) -> list[Path]:
    return sorted(folder.rglob("14/*/*.tif"))


@pytest.mark.parametrize("ending", ["TIF", "TIFF", "Tif"])
def test_upper_case_extensions_are_found_with_their_companion_files(ending: str, tmp_path: Path) -> None:
    write_raster(tmp_path / "in" / f"{ACQUISITION}.{ending}", imagery(300), nodata=0)
    udm = np.zeros((300, 300), np.uint8)
    udm[:, 150:] = 1
    write_raster(tmp_path / "in" / f"{ACQUISITION}_DN_udm.{ending}", udm)
    bands = b"".join(METADATA[len(b'<x xmlns:ps="http://p">') : -len(b"</x>")] % band for band in (1, 2, 3, 4))
    (tmp_path / "in" / f"{ACQUISITION}_metadata.XML").write_bytes(b'<x xmlns:ps="http://p">' + bands + b"</x>")
    pattern, settings = f"{tmp_path}/in/*.{ending.lower()}", ("radiance=reflectance", "udm.bits=[0]", "min_valid=0")
    prepare(f"scenes={pattern}", f"out={tmp_path}/out", *settings, *SMALL)
    index = (tmp_path / "out" / ACQUISITION / "tiles.json").read_text()
    assert f'"udm": "{ACQUISITION}_DN_udm.{ending}"' in index
    assert '"radiance": "reflectance"' in index
    write_raster(tmp_path / f"flight.{ending}", depth(300), nodata=-9999)
    prepare(f"collect={tmp_path}/flight.{ending}", f"out={tmp_path}/masks", *SMALL)
    assert tiles(tmp_path / "masks")


def test_two_scenes_that_differ_only_in_case_are_refused_and_an_exact_name_is_accepted(tmp_path: Path) -> None:
    for name in ("a.tif", "A.TIF"):
        write_raster(tmp_path / "in" / name, imagery(300), nodata=0)
    with pytest.raises(NoScenes, match=r"A\.TIF and .*a\.tif, would share a folder"):
        prepare(f"scenes={tmp_path}/in/*.tif", f"out={tmp_path}/out", *SMALL)
    prepare(f"scenes={tmp_path}/in/a.tif", f"out={tmp_path}/out", *SMALL)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]


def test_no_wildcard_matches_a_leading_dot(tmp_path: Path) -> None:
    write_raster(tmp_path / "in/a.tif", imagery(300), nodata=0)
    (tmp_path / "in/._a.tif").write_bytes(b"what macOS leaves on other disks")
    prepare(f"scenes={tmp_path}/in/*.tif", f"out={tmp_path}/out", *SMALL)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]


def with_gcps(path: Path) -> None:
    with rasterio.open(path, "w", driver="GTiff", width=90, height=90, count=1, dtype="float32") as file:
        file.write(np.ones((1, 90, 90), np.float32))
        corners = [(row, column, 280000 + 3 * column, 4190000 - 3 * row) for row in (0, 90) for column in (0, 90)]
        file.gcps = [GroundControlPoint(*corner, 0) for corner in corners], CRS.from_epsg(32611)


def with_rpcs(path: Path) -> None:
    ones = [1.0, *[0.0] * 19]
    rpc = RPC(
        height_off=2000, height_scale=500, lat_off=-33.4, lat_scale=0.1, line_den_coeff=ones, line_num_coeff=ones,
        line_off=45, line_scale=45, long_off=-70.2, long_scale=0.1, samp_den_coeff=ones, samp_num_coeff=ones,
        samp_off=45, samp_scale=45,
    )  # fmt: skip
    with rasterio.open(path, "w", driver="GTiff", width=90, height=90, count=1, dtype="float32", rpcs=rpc) as file:
        file.write(np.ones((1, 90, 90), np.float32))


PLACED_OTHERWISE = {
    "control points": (
        with_gcps,
        r"control points but no .*gdalwarp -t_srs EPSG:32611 .*flight\.tif flight",
    ),
    "RPCs": (with_rpcs, r"gdalwarp -rpc -to RPC_DEM=dem\.tif -t_srs EPSG:32719 .*flight\.tif flight_warped\.tif$"),
}


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("how", PLACED_OTHERWISE)
def test_a_raster_without_geotransform_is_refused_with_the_command_that_warps_it(how: str, tmp_path: Path) -> None:
    write, message = PLACED_OTHERWISE[how]
    write(tmp_path / "flight.tif")
    with pytest.raises(MissingGeoreference, match=message):
        prepare(f"collect={tmp_path}/flight.tif", f"out={tmp_path}/masks")


FAR_OUT = {
    "metres called degrees": ("EPSG:4326", Affine(3, 0, 280000, 0, -3, 4190000), "nowhere on Earth"),
    "more than once around": ("EPSG:4326", Affine(40, 0, -2000, 0, -0.1, 17), "nowhere on Earth"),
    "pixels of a country": (
        "EPSG:4087",
        Affine(1.5e6, 0, -1e7, 0, -1e5, 2e6),
        r"nowhere on Earth",
    ),
    "pixels of an atom": ("EPSG:4326", Affine(1e-12, 0, 100, 0, -1e-12, 17), r"1\.0.*e-07 m on the ground"),
    "no area": ("EPSG:4326", Affine(0.01, 0, 10, 0, 0, 17), "without area"),
}


@pytest.mark.parametrize("name", FAR_OUT)
def test_a_raster_with_an_impossible_georeference_is_refused(name: str, tmp_path: Path) -> None:
    crs, place, message = FAR_OUT[name]
    write_raster(tmp_path / "flight.tif", depth(90), crs, place)
    with pytest.raises(MissingGeoreference, match=message):
        prepare(f"collect={tmp_path}/flight.tif", f"out={tmp_path}/masks")


def test_a_zoom_that_gives_tiles_by_the_million_is_refused_at_once(tmp_path: Path) -> None:
    write_raster(tmp_path / "flight.tif", depth(90), "EPSG:4326", Affine(0.1, 0, 80, 0, -0.1, 30))
    with pytest.raises(UserError, match=r"about [\d,]+ tiles at zoom=20.*fit zoom=\d, and cover=\.\.\. limits"):
        prepare(f"collect={tmp_path}/flight.tif", f"out={tmp_path}/masks", "zoom=20")


@pytest.mark.parametrize("name", ["mask.tif", "14/2740/6300.tif"])
def test_a_source_is_never_replaced_by_what_is_made_from_it(name: str, tmp_path: Path) -> None:
    source = write_raster(tmp_path / "masks" / name, depth(90), nodata=-9999)
    before = source.read_bytes()
    with pytest.raises(OverwritesSource, match=rf"would be replaced by the {name}"):
        prepare(f"collect={source}", f"out={tmp_path}/masks/../masks", "overwrite=true", *SMALL)
    assert source.read_bytes() == before


@pytest.mark.parametrize("name", ["mask.tif", "plain.tif"])
def test_a_source_in_s3_may_have_the_name_of_a_product(name: str, tmp_path: Path, s3: Bucket) -> None:
    source = write_raster(tmp_path / "flight.tif", depth(300), nodata=-9999)
    storage.upload(str(source), f"{s3.uri}/in/{name}")
    for collect, out in ((str(source), "here"), (f"{s3.uri}/in/{name}", "there")):
        prepare(f"collect={collect}", f"out={tmp_path}/{out}", "depth_threshold_m=1.5", *SMALL)
    here, there = ([path.read_bytes() for path in tiles(tmp_path / out)] for out in ("here", "there"))
    assert here == there
    assert (tmp_path / "here/mask.tif").read_bytes() == (tmp_path / "there/mask.tif").read_bytes()


COVERS = {
    "CRLF and BOM": b"\xef\xbb\xbf14/2753/6329\r\n14/2754/6329\r\n",
    "x, y, z with spaces": b"2753, 6329, 14\n2754, 6329, 14\n",
    "capital ending": b"14/2753/6329 14/2754/6329",
}


@pytest.mark.parametrize("name", COVERS)
def test_a_list_of_tiles_is_read_whatever_editor_wrote_it(name: str, tmp_path: Path) -> None:
    (tmp_path / "cover.TXT").write_bytes(COVERS[name])
    write_raster(tmp_path / "flight.tif", depth(), nodata=-9999)
    prepare(f"collect={tmp_path}/flight.tif", f"out={tmp_path}/masks", f"cover={tmp_path}/cover.TXT", *SMALL)
    assert {path.parent.name for path in tiles(tmp_path / "masks")} == {"2753", "2754"}


def polygon(points: str) -> bytes:
    return f'{{"type":"Polygon","coordinates":[[{points}]]}}'.encode()


WRONG_COVERS = {
    "empty list": ("[]", None, "cover=.* has no tiles"),
    "empty file": ("cover.txt", b"", "has no tiles"),
    "no text": ("cover.txt", b"\xff\xfe1\x004\x00", "is not a text file"),
    "metres": (
        "c.geojson",
        b'{"type":"Polygon","coordinates":[[[280000,4190000],[1,1],[2,3]]]}',
        "write it in EPSG:4326",
    ),
    "no polygon": ("c.geojson", b'{"type":"MultiPolygon","coordinates":[]}', "has no polygon"),
    "two corners": (
        "c.geojson",
        b'{"type":"Polygon","coordinates":[[[-119.5,37],[-119.4,38]]]}',
        "at least three",
    ),
}


@pytest.mark.parametrize("name", WRONG_COVERS)
def test_an_empty_cover_is_never_taken_for_everything(name: str, tmp_path: Path) -> None:
    cover, content, message = WRONG_COVERS[name]
    if content is not None:
        (tmp_path / cover).write_bytes(content)
        cover = f"{tmp_path}/{cover}"
    write_raster(tmp_path / "flight.tif", depth(90), nodata=-9999)
    with pytest.raises(UserError, match=message):
        prepare(f"collect={tmp_path}/flight.tif", f"out={tmp_path}/masks", f"cover={cover}", *SMALL)


@pytest.fixture
def unreadable(tmp_path: Path) -> Path:
    """A source that would be refused first, if it were read first."""
    (tmp_path / "flight.tif").write_text("no raster")
    return tmp_path / "flight.tif"


def test_out_is_probed_before_a_source_is_read_and_nothing_is_left(unreadable: Path, tmp_path: Path) -> None:
    with pytest.raises(Unwritable, match=r"out=.*flight\.tif/masks cannot be written to .*out="):
        prepare(f"collect={unreadable}", f"out={unreadable}/masks")
    with pytest.raises(UserError, match="cannot be read as a raster"):
        prepare(f"collect={unreadable}", f"out={tmp_path}/new/masks")
    assert not (tmp_path / "new").exists()


def test_out_in_s3_is_probed_before_a_source_is_read(
    unreadable: Path, s3: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="cannot be read as a raster"):
        prepare(f"collect={unreadable}", f"out={s3.uri}/masks")
    assert storage.list_files(f"{s3.uri}/masks") == []
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.server.reader_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.server.reader_secret)
    storage.forget_connections()
    with pytest.raises(Unwritable, match=rf"out={s3.uri}/masks cannot be written to"):
        prepare(f"collect={unreadable}", f"out={s3.uri}/masks")
    storage.forget_connections()


@pytest.mark.skipif(shutil.which("mount") is None or os.geteuid() != 0, reason="needs root, to mount a read-only disk")
def test_a_read_only_disk_is_reported_with_the_key_to_set(
    unreadable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk").mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", tmp_path / "disk"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a disk")
    try:
        with pytest.raises(Unwritable, match=r"out=.*Read-only file system.*out="):
            prepare(f"collect={unreadable}", f"out={tmp_path}/disk/masks")
        monkeypatch.setenv("TMPDIR", f"{tmp_path}/disk")
        with pytest.raises(Unwritable, match=r"temporary files.*Read-only file system.*TMPDIR"):
            prepare(f"collect={unreadable}", f"out={tmp_path}/masks")
    finally:
        subprocess.run(["umount", tmp_path / "disk"], check=True)


def test_a_tmpdir_that_is_not_a_folder_is_refused(
    unreadable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", f"{tmp_path}/nowhere")
    with pytest.raises(Unwritable, match="TMPDIR=.*nowhere is not a folder"):
        prepare(f"collect={unreadable}", f"out={tmp_path}/masks")


def test_leftovers_of_killed_commands_are_removed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    write_raster(tmp_path / "flight.tif", depth(300), nodata=-9999)
    old = time.time() - 7200
    files = {name: tmp_path / "masks/14" / name for name in (".00112233445566aa.tmp", ".00112233445566bb.tmp")}
    files |= {name: tmp_path / "scratch" / name for name in ("snowcover-prepare-a/.lock", "snowcover-prepare-b/.lock")}
    files |= {"new": tmp_path / "masks/.00112233445566cc.tmp", "notes": tmp_path / "masks/notes.tmp"}
    for path in files.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for name in set(files) - {"new"}:
        os.utime(files[name], (old, old))
        if files[name].name == ".lock":
            os.utime(files[name].parent, (old, old))
    locked = [files[".00112233445566bb.tmp"].open("rb"), files["snowcover-prepare-b/.lock"].open("rb")]
    for file in locked:  # as a process that is still at work
        fcntl.flock(file, fcntl.LOCK_EX)
    prepare(f"collect={tmp_path}/flight.tif", f"out={tmp_path}/masks", *SMALL)
    gone = {name for name, path in files.items() if not path.exists()}
    assert gone == {".00112233445566aa.tmp", "snowcover-prepare-a/.lock"}
    for file in locked:
        file.close()
