"""The command from outside: what it writes, what it refuses, how it is stopped and restarted."""

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
from mlflow import MlflowClient
from pystac.validation.stac_validator import JsonSchemaSTACValidator
from rio_cogeo import cog_validate

from snowcover import storage
from snowcover.errors import UserError
from snowcover.predict import __main__ as command
from snowcover.predict.existing import OtherMaps
from tests.making import BANDS, write_tile
from tests.predict.making import (
    LEVEL,
    PLACE,
    contents,
    finish,
    predict,
    reflectance,
    start,
    stored,
    tile_transform,
    write_checkpoint,
    write_scene,
)  # fmt: skip
from tests.prepare.rasters import write_raster
from tests.servers import Bucket
from tests.starting import everything_in
from tests.starting import start as start_here

pytestmark = pytest.mark.process

SCENE = "20180528_181110_1025"
FILES = {f"{SCENE}.json", f"{SCENE}_snow.tif", f"{SCENE}_probability.tif", "preview.png"}


@pytest.fixture
def place(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a network, a scene and a store; the working folder."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    write_checkpoint(tmp_path / "best.ckpt", run_id="5" * 32)
    write_scene(tmp_path / "imagery" / f"{SCENE}.tif")
    monkeypatch.chdir(tmp_path)
    return tmp_path


MODEL, SCENES, OUT = "model=best.ckpt", "scenes=imagery/*.tif", "out=maps"


def test_a_map_has_its_scenes_grid_and_its_provenance(place: Path) -> None:
    predict(MODEL, SCENES, OUT)
    made = place / "maps" / SCENE
    assert set(contents(made)) == FILES
    scene = stored(reflectance())
    unobserved = (scene == 0).all(axis=0)
    with rasterio.open(made / f"{SCENE}_snow.tif") as file, rasterio.open(place / f"imagery/{SCENE}.tif") as source:
        classes = file.read(1)
        assert (file.crs, file.transform, file.shape) == (source.crs, source.transform, source.shape)
        tags = file.tags()
    assert np.array_equal(classes == 255, unobserved)  # no pixel more, no pixel less
    clear = np.abs(reflectance() - LEVEL) > 0.03
    assert np.array_equal(classes[clear & ~unobserved], (reflectance() > LEVEL)[clear & ~unobserved])
    assert tags["SNOWCOVER_RUN_ID"] == "5" * 32
    assert tags["SNOWCOVER_SOURCE"] == f"{SCENE}.tif"
    assert float(tags["SNOWCOVER_OBSERVED_KM2"]) == pytest.approx((~unobserved).sum() * 225e-6, rel=1e-3)
    for kind in ("snow", "probability"):
        assert cog_validate(made / f"{SCENE}_{kind}.tif", strict=True)[0]
    item = pystac.Item.from_file(str(made / f"{SCENE}.json"))
    assert item.datetime is not None and item.datetime.isoformat() == "2018-05-28T18:11:10+00:00"
    assert item.properties["snowcover:threshold"] == 0.5
    assert item.properties["proj:transform"] == list(PLACE)[:6]
    assert item.assets["snow"].extra_fields["file:size"] == (made / f"{SCENE}_snow.tif").stat().st_size
    assert item.properties["mlm:architecture"] == "Brightness"
    refuse_what_is_no_stac(json.loads((made / f"{SCENE}.json").read_text()))


def refuse_what_is_no_stac(item: dict[str, Any]) -> None:
    """By STAC's own schema, and by those rules of the Machine Learning Model extension that an item easily breaks."""
    JsonSchemaSTACValidator().validate_core(item, pystac.STACObjectType.ITEM, item["stac_version"])
    properties = item["properties"]
    assert re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_.\-\s]+[a-zA-Z0-9]", properties["mlm:name"])
    assert properties["mlm:framework"] == "PyTorch"
    assert "mlm:pretrained_source" not in properties  # null would say that it was trained from random weights
    models = [asset for asset in item["assets"].values() if "mlm:model" in asset["roles"]]
    assert models
    for asset in models:  # the bands that the input names are described where the model is
        assert [band["name"] for band in asset["raster:bands"]] == properties["mlm:input"][0]["bands"]


def test_the_same_command_twice_makes_nothing_the_second_time(place: Path) -> None:
    predict(MODEL, SCENES, OUT)
    before = {path: path.stat().st_mtime_ns for path in (place / "maps").rglob("*")}
    predict(MODEL, SCENES, OUT)
    assert {path: path.stat().st_mtime_ns for path in (place / "maps").rglob("*")} == before
    whole = contents(place / "maps")
    (place / "maps" / SCENE / f"{SCENE}_snow.tif").unlink()
    predict(MODEL, SCENES, OUT)
    assert contents(place / "maps") == whole
    write_scene(place / "imagery" / f"{SCENE}.tif", seed=3)
    predict(MODEL, SCENES, OUT)
    assert contents(place / "maps") != whole


def test_maps_of_two_models_are_not_mixed_unless_overwritten(place: Path) -> None:
    predict(MODEL, SCENES, OUT, "tta=d4")
    assert (place / "maps" / SCENE / f"{SCENE}_spread.tif").is_file()
    write_checkpoint(place / "other.ckpt", steepness=2)
    write_scene(place / "imagery" / "20180604.tif")
    with pytest.raises(OtherMaps, match=rf"maps holds 1 map of other models or settings, such as {SCENE} \(model was"):
        predict("model=other.ckpt", "scenes=imagery/20180604.tif", OUT, "tta=d4")
    with pytest.raises(OtherMaps, match=r"tta was d4 and is none now.*overwrite=true"):
        predict(MODEL, SCENES, OUT)
    assert not (place / "maps" / "20180604").exists()
    predict(MODEL, SCENES, OUT, "overwrite=true")
    assert set(contents(place / "maps" / SCENE)) == FILES  # the spread of the earlier map is gone


def test_a_bad_scene_is_reported_and_the_others_are_mapped(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole = (place / "imagery" / f"{SCENE}.tif").read_bytes()
    (place / "imagery" / "cut.tif").write_bytes(whole[: len(whole) // 2])
    write_raster(place / "imagery" / "rgb.tif", stored(reflectance())[:3], transform=PLACE, nodata=0, names=BANDS[:3])
    done = start_here(command.COMMAND, place, "tracking.system_metrics=false", MODEL, SCENES, OUT)
    assert done.status == 1
    assert done.err.strip() == "No map was made of 2 of 3 scenes, see the errors above: cut, rgb."
    assert re.search(r"imagery/cut\.tif (cannot be read|is damaged)", done.out)
    assert re.search(r"imagery/rgb\.tif has the bands .*: nir is missing", done.out)
    assert re.search(rf"km² observed +snow +seconds\n{SCENE} +2\.\d\d +\d\d\.\d% +\d", done.out)
    assert set(contents(place / "maps" / SCENE)) == FILES
    assert [path.name for path in (place / "maps").iterdir()] == [SCENE]
    (run,) = MlflowClient(f"sqlite:///{place}/mlflow.db").search_runs(["1"])
    assert run.info.status == "FAILED"


def test_an_unobserved_scene_gets_an_unobserved_map(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_raster(place / "empty/20180101.tif", np.zeros((4, 50, 60), np.uint16), transform=PLACE, nodata=0, names=BANDS)
    predict(MODEL, "scenes=empty/*.tif", OUT)
    with rasterio.open(place / "maps/20180101/20180101_snow.tif") as file:
        assert (file.read(1) == 255).all()
    assert "20180101: no pixel was observed" in caplog.text
    item = json.loads((place / "maps/20180101/20180101.json").read_text())
    assert "snowcover:snow_share" not in item["properties"]
    assert item["properties"]["snowcover:observed_km2"] == 0


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:4326", (0.00017, 0, -119.5, 0, -0.00014, 37.83)),
        ("EPSG:32719", (15, 0, 400000, 0, -15, 6300000)),
        ("EPSG:3413", (15, 0, -200000, 0, -15, -2200000)),
    ],
    ids=["degrees", "southern hemisphere", "Greenland"],
)
def test_a_map_lies_where_its_scene_lies(place: Path, crs: str, transform: tuple[float, ...]) -> None:
    affine = rasterio.Affine(*transform)
    write_raster(place / "s/scene.tif", stored(reflectance()), crs=crs, transform=affine, nodata=0, names=BANDS)
    predict(MODEL, "scenes=s/scene.tif", OUT)
    with rasterio.open(place / "maps/scene/scene_snow.tif") as file:
        classes = file.read(1)
        assert (file.crs.to_string(), file.transform) == (crs, affine)
    assert np.array_equal(classes == 255, (stored(reflectance()) == 0).all(axis=0))
    clear = (np.abs(reflectance() - LEVEL) > 0.08) & (classes != 255)
    assert np.array_equal(classes[clear], (reflectance() > LEVEL)[clear])


def test_a_landsat_scene_of_its_own_scale_and_order_is_mapped_as_any_other(place: Path) -> None:
    values = stored(reflectance(), 2.75e-5, -0.2)[[3, 2, 1, 0]]
    write_raster(place / "s/LC08.tif", values, transform=PLACE, nodata=0, names=BANDS[::-1], scale=2.75e-5, offset=-0.2)
    predict(MODEL, "scenes=s/LC08.tif", OUT)
    predict(MODEL, SCENES, OUT)
    paths = [place / f"maps/{name}/{name}_probability.tif" for name in ("LC08", SCENE)]
    one, other = (rasterio.open(path).read(1).astype(int) for path in paths)
    assert np.abs(one - other).max() <= 1


def test_folders_of_tiles_are_mapped_too(place: Path) -> None:
    from snowcover.data.tiles import Tile

    tile = Tile(13, 1378, 3162)
    values = stored(reflectance(64, 64))
    write_tile(place / "tiles" / SCENE, tile, values, descriptions=BANDS)
    predict(MODEL, "scenes=tiles/*", OUT)
    with rasterio.open(place / f"maps/{SCENE}/{SCENE}_snow.tif") as file:
        assert (file.crs.to_epsg(), file.shape) == (3857, (64, 64))
        assert file.transform.almost_equals(tile_transform(tile, 64))
        assert np.array_equal(file.read(1) == 255, (values == 0).all(axis=0))


def test_other_grids_are_the_requested_ones(place: Path) -> None:
    predict(MODEL, SCENES, "out=training", "grid=training")
    like = write_raster(place / "like.tif", np.zeros((40, 50)), crs="EPSG:32611", transform=PLACE * PLACE.scale(3))
    predict(MODEL, SCENES, "out=like", f"like={like}")
    with rasterio.open(place / f"training/{SCENE}/{SCENE}_snow.tif") as file:
        assert file.crs.to_epsg() == 3857
        assert file.transform.a == pytest.approx(2 * 20037508.342789 / (256 * 2**13))
        offsets = (
            (file.transform.c + 20037508.342789) / file.transform.a,
            (20037508.342789 - file.transform.f) / file.res[1],
        )
        assert np.allclose(offsets, np.rint(offsets), atol=1e-4)
        snow = (file.read(1) == 1).sum() / (file.read(1) != 255).sum()
    with rasterio.open(place / f"like/{SCENE}/{SCENE}_snow.tif") as file:
        assert (file.shape, file.transform) == ((40, 50), PLACE * PLACE.scale(3))
        assert (file.read(1) == 1).sum() / (file.read(1) != 255).sum() == pytest.approx(snow, abs=0.03)


def test_a_mosaic_is_the_mean_where_scenes_of_a_date_overlap(place: Path) -> None:
    for name, seed, columns in (("20180528_a", 0, 0), ("20180528_b", 1, 60)):
        write_raster(
            place / f"two/{name}.tif", stored(reflectance(seed=seed)), transform=PLACE * PLACE.translation(columns, 10),
            nodata=0, names=BANDS,
        )  # fmt: skip
    predict(MODEL, "scenes=two/*.tif", "out=day", "mosaic=date")
    predict(MODEL, "scenes=two/*.tif", "out=apart")
    with rasterio.open(place / "day/20180528/20180528_probability.tif") as file:
        found = np.where(file.read(1) == 255, np.nan, file.read(1))
        assert file.shape == (90, 180)
        assert file.transform.almost_equals(PLACE * PLACE.translation(0, 10))
    parts = np.full((2, 90, 180), np.nan)
    for number, name in enumerate(("20180528_a", "20180528_b")):
        with rasterio.open(place / f"apart/{name}/{name}_probability.tif") as file:
            own = file.read(1)
            parts[number, :, 60 * number : 60 * number + 120] = np.where(own == 255, np.nan, own)
    observed = ~np.isnan(parts)
    sums, counts = np.where(observed, parts, 0).sum(axis=0), observed.sum(axis=0)
    assert np.array_equal(np.isnan(found), counts == 0)
    assert np.abs(found - sums / np.maximum(counts, 1))[counts > 0].max() <= 1


def test_mlflow_has_a_run_of_the_maps(place: Path) -> None:
    predict(MODEL, SCENES, OUT)
    client = MlflowClient(f"sqlite:///{place}/mlflow.db")
    (run,) = client.search_runs(["1"])
    assert client.get_experiment("1").name == "snowcover"
    assert (run.info.status, run.data.tags["kind"]) == ("FINISHED", "prediction")
    assert run.data.tags["training_run_id"] == "5" * 32
    assert 0.3 < run.data.metrics["snow_share"] < 0.9
    kept = Path(run.info.artifact_uri)
    assert set(contents(kept)) == {"maps.csv", f"previews/{SCENE}.png"}
    assert (kept / "maps.csv").read_text().splitlines()[1].startswith(f"{SCENE},2.")


def test_an_unreachable_mlflow_costs_no_map(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    predict(MODEL, SCENES, OUT, "tracking.uri=http://localhost:9")
    assert set(contents(place / "maps" / SCENE)) == FILES
    assert "MLflow's record of these maps is incomplete; the maps themselves are not affected" in caplog.text


def test_a_dry_run_estimates_and_writes_nothing(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = everything_in(place)
    caplog.set_level(logging.INFO)
    predict(MODEL, SCENES, OUT, "dry_run=true")
    assert re.search(rf"{SCENE}: \d+ windows, 120 x 90 pixels, about .* MB and \d+ s, into maps/{SCENE}", caplog.text)
    assert everything_in(place) == before


def test_from_and_to_s3_it_is_the_same_as_on_disk(place: Path, s3: Bucket) -> None:
    predict(MODEL, SCENES, OUT)
    for path in ("best.ckpt", f"imagery/{SCENE}.tif"):
        storage.upload(path, f"{s3.uri}/{path}")
    there = (f"model={s3.uri}/best.ckpt", f"scenes={s3.uri}/imagery/*.tif", f"out={s3.uri}/maps")
    predict(*there)
    prefix = f"{s3.uri}/maps/"
    found = {file.uri.removeprefix(prefix): storage.read(file.uri) for file in storage.list_files(prefix)}
    wanted = contents(place / "maps")
    assert {name for name in found if found[name] == wanted[name]} == set(wanted) - {f"{SCENE}/{SCENE}.json"}
    item, other = (json.loads(one[f"{SCENE}/{SCENE}.json"]) for one in (found, wanted))
    assert item["assets"].pop("model")["href"] == f"{s3.uri}/best.ckpt"
    assert other["assets"].pop("model")["href"] == "../../best.ckpt"
    assert item == other
    predict(*there)  # all is there


def test_a_read_only_bucket_ends_in_one_message(place: Path, s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.server.reader_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.server.reader_secret)
    storage.forget_connections()
    with pytest.raises(UserError, match=rf"out={s3.uri}/maps cannot be written to"):
        predict(MODEL, SCENES, f"out={s3.uri}/maps")


def test_a_command_killed_in_each_scene_and_restarted_gives_the_same_result(place: Path) -> None:
    names = ["20180101_a", "20180102_b", "20180103_c"]
    for number, name in enumerate(names):
        write_scene(place / f"three/{name}.tif", seed=number)
    arguments = (MODEL, "scenes=three/*.tif", "out=killed")
    for name in names:
        process = start(place, *arguments)
        try:
            deadline = time.monotonic() + 300
            while not list((place / "killed").glob(f"{name}/*.tif")) and time.monotonic() < deadline:
                if process.poll() is not None:
                    break
                time.sleep(0.002)
        finally:
            process.kill()
            process.communicate(timeout=60)
    predict(*arguments)
    predict(MODEL, "scenes=three/*.tif", "out=once")
    killed = {name: content for name, content in contents(place / "killed").items() if not name.endswith(".tmp")}
    assert killed == contents(place / "once")


def test_a_stop_ends_in_one_message(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(place / "tmp"))
    write_raster(place / "big.tif", stored(reflectance(1500, 1500)), transform=PLACE, nodata=0, names=BANDS)
    process = start(place, MODEL, "scenes=big.tif", OUT, "tta=d4")
    try:
        deadline = time.monotonic() + 300
        while not list((place / "tmp").glob("*/*.plain.tif")):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (128 + signal.SIGTERM, "Stopped by SIGTERM.\n")
    assert not (place / "maps" / "big").exists()
    assert not list((place / "tmp").iterdir())


@pytest.mark.skipif(shutil.which("mount") is None or os.geteuid() != 0, reason="needs root, to mount a small disk")
@pytest.mark.parametrize("full", ["out", "TMPDIR"])
def test_a_full_disk_leaves_nothing_half_written(place: Path, full: str, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(1, 6000, (4, 700, 700)).astype(np.uint16)
    write_raster(place / "noise.tif", noise, transform=PLACE, nodata=0, names=BANDS)
    small = place / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", small], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    if full == "TMPDIR":
        monkeypatch.setenv("TMPDIR", str(small))
    try:
        with pytest.raises(UserError, match=r"disk is full|free some space"):
            predict(MODEL, "scenes=noise.tif", f"out={small}/maps" if full == "out" else OUT)
        left = contents(small if full == "out" else place / "maps")
        assert not [name for name in left if name.endswith(".json") or ".tmp" in name]
    finally:
        subprocess.run(["umount", small], check=True)


REFUSED = {
    "no model": (("scenes=a.tif", "out=m"), r"model \(trained model"),
    "no file": ((MODEL, "scenes=none/*.tif", "out=m"), r"No GeoTIFF and no folder .* matches scenes=none/\*\.tif"),
    "flips of pixels": ((MODEL, SCENES, "out=m", "tta=d4", "with=forest"), "this baseline sees single pixels"),
    "two grids": ((MODEL, SCENES, "out=m", "grid=training", "like=a.tif"), "like=a.tif and grid=training are two"),
    "no run": (("model=latest", SCENES, "out=m"), "model=latest: no run below outputs/ has a checkpoint"),
    "twice": (("model=[best.ckpt,best.ckpt]", SCENES, "out=m"), r"model names best\.ckpt twice"),
    "counts": ((MODEL, SCENES, "out=m", "mean=[0.1,0.2]", "std=[0.1]"), "mean has 2, std has 1: give one for every"),
    "threshold": ((MODEL, SCENES, "out=m", "threshold=1.5"), r"threshold=1\.5: input should be less than 1"),
    "truth": ((MODEL, SCENES, "out=m", "zoom=true"), r"^zoom: true is no number\.$"),
    "unknown key": ((MODEL, SCENES, "out=m", "+treshold=0.4"), r"treshold: .*did you mean threshold"),
    "misspelt key": ((MODEL, "scnes=a", "out=m"), r"scnes: .*did you mean scenes"),
    "unwritable": ((MODEL, SCENES, "out=best.ckpt/m"), r"out=best\.ckpt/m \(best\.ckpt is no folder\)"),
    "no scene list": ((MODEL, "scenes=[]", "out=m"), r"scenes"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_mistake_is_reported_in_one_message(name: str, place: Path) -> None:
    arguments, message = REFUSED[name]
    sentence = start_here(command.COMMAND, place, *arguments).error_message
    assert re.search(message, sentence), sentence
    assert not (place / "m").exists()


def test_text_is_kept_as_typed(place: Path) -> None:
    shown = start_here(command.COMMAND, place, "model=[20180528_1,1e3]", "scenes=2018_05", "out=1.10", "--cfg", "job")
    assert shown.status == 0, shown.err
    assert {"- '20180528_1'", "- '1e3'", "out: '1.10'"} <= {line.strip() for line in shown.out.splitlines()}


def test_nothing_heavy_is_loaded_before_the_config_is_right() -> None:
    from tests.prepare.test_command import loaded

    heavy = ("numpy", "rasterio", "cv2", "matplotlib", "obstore", "torch", "mlflow", "pystac")
    assert loaded("snowcover.predict.__main__, snowcover.predict.config", *heavy) == []


def test_a_command_that_fails_ends_with_status_1_and_its_message(place: Path) -> None:
    status, _, errors = finish(place, MODEL, "scenes=imagery/*.tif", OUT, "mosaic=date", "bands=[a,b]")
    assert status == 1
    assert re.fullmatch(r".* has 4 bands, bands names 2 .*\n", errors)
