"""The command from outside: what it writes, what it refuses, how it is stopped and restarted."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio

from snowcover import storage
from snowcover.data import index
from snowcover.data.manifest import manifest
from snowcover.data.reading import PairReader
from snowcover.data.tiles import parse
from snowcover.errors import UserError
from snowcover.prepare.existing import OtherSettings
from tests.making import config
from tests.prepare.command import finish, prepare, start
from tests.prepare.rasters import depth, imagery, shared, write_raster
from tests.servers import Bucket
from tests.starting import ROOT

pytestmark = pytest.mark.process

SCENE = "20180528_181110_1025_3B_AnalyticMS_SR_clip"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    write_raster(tmp_path / "imagery" / f"{SCENE}.tif", imagery(), nodata=0)
    write_raster(tmp_path / "flight.tif", depth(), nodata=-9999)
    return tmp_path


def test_scenes_and_collect_are_tiled_with_a_table_at_the_end(sources: Path) -> None:
    status, output, errors = finish(sources, "collect=flight.tif", "out=masks/20180528")
    assert (status, errors) == (0, "")
    counted = r"flight is snow depth: .* snow, .* no snow, .* unobserved; 2 of them had a depth out of range"
    assert re.search(counted, output)
    assert re.search(r"tiles +made now +MB +snow +nodata +seconds\nflight +(\d+) +\1 ", output)
    status, output, errors = finish(sources, "scenes=imagery/*_SR_clip.tif", "out=tiles", "cover=masks/20180528")
    assert (status, errors) == (0, "")
    masks = {parse(name) for name in contents(sources / "masks/20180528") if parse(name)}
    images = {parse(name) for name in contents(sources / "tiles" / SCENE) if parse(name)}
    assert images
    assert images <= masks
    for folder, extra in (("masks/20180528", {"mask.tif", "footprint.geojson"}), (f"tiles/{SCENE}", set())):
        others = {name for name in contents(sources / folder) if not parse(name)}
        assert others == {"tiles.json", "preview.png", *extra}


def test_the_index_lists_the_tiles_as_they_are(sources: Path) -> None:
    prepare(f"collect={sources}/flight.tif", f"out={sources}/masks")
    files = contents(sources / "masks")
    found = index.from_json(files["tiles.json"], "tiles.json")
    assert found.complete
    assert {entry.path: entry.size_bytes for entry in found.tiles} == {
        name: len(content) for name, content in files.items() if parse(name)
    }


def test_a_dry_run_estimates_and_writes_nothing(sources: Path) -> None:
    status, output, _ = finish(sources, f"scenes=imagery/{SCENE}.tif", "out=tiles", "dry_run=true")
    assert status == 0
    estimate = re.search(r"about (\d+) tiles at zoom 15, (\d+) MB and \d+ s, into tiles/", output)
    assert estimate
    assert not (sources / "tiles").exists()
    prepare(f"scenes={sources}/imagery/{SCENE}.tif", f"out={sources}/tiles")
    assert len(list((sources / "tiles").rglob("15/*/*.tif"))) == int(estimate.group(1))


def test_a_sweep_makes_each_threshold_and_zoom(sources: Path) -> None:
    swept = ("out=masks/${depth_threshold_m}_${zoom}", "depth_threshold_m=0.1,0.9", "zoom=14,15")
    status, _, errors = finish(sources, "-m", "collect=flight.tif", *swept)
    assert (status, errors) == (0, "")
    found = {path.name: index.from_json((path / index.NAME).read_text(), "") for path in (sources / "masks").iterdir()}
    assert set(found) == {"0.1_14", "0.1_15", "0.9_14", "0.9_15"}
    snow = {name: sum(entry.snow_px for entry in listed.tiles) for name, listed in found.items()}
    assert snow["0.1_15"] > snow["0.9_15"]
    assert {entry.path[:2] for entry in found["0.9_14"].tiles} == {"14"}


def test_the_same_command_twice_makes_nothing_the_second_time(sources: Path) -> None:
    arguments = (f"scenes={sources}/imagery/*.tif", f"out={sources}/tiles")
    prepare(*arguments)
    before = {path: path.stat().st_mtime_ns for path in (sources / "tiles").rglob("*")}
    prepare(*arguments)
    assert {path: path.stat().st_mtime_ns for path in (sources / "tiles").rglob("*")} == before


def test_a_lost_tile_is_made_again_and_nothing_else(sources: Path) -> None:
    arguments = (f"scenes={sources}/imagery/*.tif", f"out={sources}/tiles")
    prepare(*arguments)
    whole = contents(sources / "tiles")
    tiles = list((sources / "tiles").rglob("15/*/*.tif"))
    tiles[0].unlink()
    kept = {path: path.stat().st_mtime_ns for path in tiles[1:]}
    prepare(*arguments)
    assert contents(sources / "tiles") == whole
    assert {path: path.stat().st_mtime_ns for path in tiles[1:]} == kept


def test_other_settings_in_the_same_place_are_refused_unless_overwritten(sources: Path) -> None:
    common = (f"collect={sources}/flight.tif", f"out={sources}/masks")
    prepare(*common, "zoom=15")
    with pytest.raises(OtherSettings, match=r"zoom was 15 and is 14 now.*overwrite=true"):
        prepare(*common, "zoom=14")
    prepare(*common, "zoom=14", "overwrite=true")
    assert {name[:2] for name in contents(sources / "masks") if parse(name)} == {"14"}
    (sources / "masks/tiles.json").unlink()
    with pytest.raises(OtherSettings, match="did not make"):
        prepare(*common, "zoom=14")


def test_overwriting_leaves_the_folders_below_alone(sources: Path) -> None:
    prepare(f"collect={sources}/flight.tif", f"out={sources}/masks/20180528")
    below = contents(sources / "masks/20180528")
    prepare(f"collect={sources}/flight.tif", f"out={sources}/masks", "overwrite=true", "zoom=14")
    assert contents(sources / "masks/20180528") == below
    assert (sources / "masks/14").is_dir()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_and_restarted_command_gives_the_same_result(
    how: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_raster(tmp_path / "flight.tif", depth(800), nodata=-9999)
    arguments = ("collect=flight.tif", "out=masks", "zoom=16", "workers=2")
    process = start(tmp_path, *arguments)
    try:
        deadline = time.monotonic() + 60
        while len(list((tmp_path / "masks").rglob("16/*/*.tif"))) < 5 and time.monotonic() < deadline:
            time.sleep(0.005)
    finally:
        process.send_signal(how)
        process.communicate(timeout=60)
    assert process.returncode != 0
    made = contents(tmp_path / "masks")
    assert not json.loads(made["tiles.json"])["complete"]
    monkeypatch.chdir(tmp_path)
    prepare(*arguments)
    prepare("collect=flight.tif", "out=once", "zoom=16", "workers=1")
    once = contents(tmp_path / "once")
    resumed = {name: content for name, content in contents(tmp_path / "masks").items() if ".tmp" not in name}
    assert 5 <= sum(bool(parse(name)) for name in made) < len(once)
    assert resumed == once


def test_straight_to_s3_and_from_s3_is_the_same_as_on_disk(sources: Path, s3: Bucket) -> None:
    prepare(f"collect={sources}/flight.tif", f"out={sources}/masks")
    prepare(f"scenes={sources}/imagery/*.tif", f"out={sources}/tiles")
    for path in [sources / "flight.tif", *(sources / "imagery").iterdir()]:
        storage.upload(str(path), f"{s3.uri}/in/{path.name}")
    prepare(f"collect={s3.uri}/in/flight.tif", f"out={s3.uri}/masks")
    prepare(f"scenes={s3.uri}/in/*_SR_clip.tif", f"out={s3.uri}/tiles", f"cover={s3.uri}/masks")
    prepare(f"scenes={s3.uri}/in/*_SR_clip.tif", f"out={s3.uri}/all")
    prepare(f"scenes={s3.uri}/in/*_SR_clip.tif", f"out={s3.uri}/all", "zoom=14", "overwrite=true")
    prepare(f"scenes={s3.uri}/in/*_SR_clip.tif", f"out={s3.uri}/all", "overwrite=true")
    for folder, copy in ((sources / "masks", "masks"), (sources / "tiles", "all")):
        prefix = f"{s3.uri}/{copy}/"
        there = {file.uri.removeprefix(prefix): storage.read(file.uri) for file in storage.list_files(prefix)}
        assert there == contents(folder)


ERRORS = {
    "neither_kind": (["out=x"], r"exactly one of collect=FILE, scenes=FILES"),
    "no_out": (["collect=flight.tif"], r"out \(folder or s3://"),
    "bands_of_a_collect": (["collect=flight.tif", "out=x", "bands=[red]"], r"bands names the bands of scenes"),
    "unit_of_scenes": (["scenes=imagery/*.tif", "out=x", "depth_unit=cm"], r"depth_unit is the unit of a collect"),
    "unknown_key": (["collect=flight.tif", "out=x", "+zom=3"], r"zom: .*did you mean zoom"),
    "threshold": (["collect=flight.tif", "out=x", "depth_threshold_m=40"], r"depth_threshold_m=40\.0 must lie between"),
    "no_match": (["scenes=imagery/*.jp2", "out=x"], r"No file matches scenes=imagery/\*\.jp2"),
    "imagery_as_collect": ([f"collect=imagery/{SCENE}.tif", "out=x"], r"has 4 bands; a collect has one"),
    "no_raster": (["collect=notes.txt", "out=x"], r"notes\.txt cannot be read as a raster"),
    "missing": (["collect=none.tif", "out=x"], r"none\.tif .*does not exist"),
    "no_crs": (["collect=nowhere.tif", "out=x"], r"nowhere\.tif does not say its .*crs=EPSG:32612"),
    "bad_crs": (["collect=nowhere.tif", "out=x", "crs=EPSG:999999"], r"crs=EPSG:999999 is no coordinate"),
    "degrees": (["collect=degrees.tif", "out=x"], r"degrees\.tif lies at .* nowhere on Earth"),
    "cover": (["scenes=imagery/*.tif", "out=x", "cover=15/0/0"], r"touches none of the tiles of cover=15/0/0"),
    "cover_zoom": (["scenes=imagery/*.tif", "out=x", "cover=14/0/0"], r"tiles of zoom 14, zoom=15 was asked for"),
    "truncated": (["collect=cut.tif", "out=x"], r"cut\.tif cannot be read as a raster"),
    "unwritable": (["collect=flight.tif", "out=notes.txt/x"], r"notes\.txt"),
}


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mistakes")
    write_raster(folder / "imagery" / f"{SCENE}.tif", imagery(100), nodata=0)
    flight = write_raster(folder / "flight.tif", depth(300), nodata=-9999)
    write_raster(folder / "nowhere.tif", depth(50), crs=None)
    write_raster(folder / "degrees.tif", depth(50), crs="EPSG:4326")
    (folder / "notes.txt").write_text("no raster")
    (folder / "cut.tif").write_bytes(flight.read_bytes()[:200_000])
    return folder


@pytest.mark.parametrize("name", ERRORS)
def test_a_mistake_is_reported_in_one_message(name: str, mistakes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, message = ERRORS[name]
    monkeypatch.chdir(mistakes)
    with pytest.raises(UserError, match=message) as caught:
        prepare(*arguments)
    assert "\n" not in str(caught.value)


def test_a_mistake_ends_the_command_with_its_message_alone(mistakes: Path) -> None:
    status, output, errors = finish(mistakes, "collect=nowhere.tif", "out=x", "zom=14")
    assert (status, output) == (1, "")
    assert errors == "zom: the config has no such key (did you mean zoom?).\n"


def test_the_real_depth_clip_needs_its_crs_and_takes_it(tmp_path: Path) -> None:
    source = shared("aso_depth") / "ASO_GrandMesa_2020Feb1-2_snowdepth_3m_clip_GMb.tif"
    status, _, errors = finish(tmp_path, f"collect={source}", "out=masks")
    assert status == 1
    assert re.search(r"malformed.*crs=EPSG:32612", errors)
    assert finish(tmp_path, f"collect={source}", "out=masks", "crs=EPSG:32612")[0] == 0
    shape = json.loads((tmp_path / "masks/footprint.geojson").read_text())
    west, north = shape["features"][0]["geometry"]["coordinates"][0][0][0]
    assert (west, north) == pytest.approx((-108.08, 39.01), abs=0.02)  # Grand Mesa


@pytest.mark.skipif(shutil.which("mount") is None or os.geteuid() != 0, reason="needs root, to mount a small disk")
def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    write_raster(tmp_path / "noise.tif", np.random.default_rng(0).integers(1, 9000, (4, 900, 900)).astype(np.uint16))
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    try:
        status, _, errors = finish(tmp_path, "scenes=noise.tif", "out=small/tiles")
        assert status == 1
        assert "disk is full" in errors
        assert len(errors.strip().splitlines()) == 1
        left = contents(small)
        assert not json.loads(left["tiles/noise/tiles.json"])["complete"]
        for name in filter(parse, left):
            assert rasterio.open(small / name).read().any()  # whole: GDAL reads every pixel
        assert not any("tmp" in name for name in left)
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_read_only_key_ends_in_one_message(sources: Path, s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.server.reader_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.server.reader_secret)
    status, _, errors = finish(sources, "collect=flight.tif", f"out={s3.uri}/masks")
    assert status == 1
    assert f"{s3.uri}/masks" in errors
    assert len(errors.strip().splitlines()) == 1


def loaded(imports: str, *suspects: str) -> list[str]:
    code = f"import sys, {imports}; print(*[name for name in {suspects} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return result.stdout.split()


def test_the_config_is_checked_before_anything_heavy_is_imported() -> None:
    heavy = ("numpy", "rasterio", "cv2", "matplotlib", "obstore", "torch", "mlflow")
    assert loaded("snowcover.prepare.__main__, snowcover.prepare.config", *heavy) == []


def test_making_tiles_needs_nothing_of_training() -> None:
    assert loaded("snowcover.prepare.pipeline", "torch", "lightning", "mlflow") == []


def test_training_reads_from_s3_what_was_made_there(sources: Path, s3: Bucket) -> None:
    prepare(f"collect={sources}/flight.tif", f"out={s3.uri}/snow/20180528")
    prepare(f"scenes={sources}/imagery/*.tif", f"out={s3.uri}/imagery", f"cover={s3.uri}/snow/20180528")
    pair = f'[{{scenes: "{s3.uri}/imagery/*", collect: "{s3.uri}/snow/20180528"}}]'
    data = config("data=tiles", f"data.sources={pair}").data
    found = manifest(data)
    assert {found.pairs[0].scene, found.pairs[0].date} == {SCENE, "20180528"}
    assert not found.images_without_mask
    seen = [PairReader.of(data)(pair) for pair in found.pairs]
    assert {raw.image.shape for raw in seen} == {(4, 512, 512)}
    assert set(np.unique([raw.mask for raw in seen])) == {0, 1, 255}
