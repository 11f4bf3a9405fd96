"""A folder of tiles compared with its index: lost or damaged files are made again, unknown ones are refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from snowcover import storage
from snowcover.data.index import BadIndex
from snowcover.data.tiles import parse
from snowcover.prepare import tiling
from snowcover.prepare.existing import ChangedMeanwhile, OtherSettings, StrangeTiles
from snowcover.prepare.pipeline import NoTiles
from tests.prepare.command import finish, prepare
from tests.prepare.rasters import TUOLUMNE, depth, imagery, write_raster
from tests.servers import Bucket

pytestmark = pytest.mark.process

SMALL = ("tile_size=64", "zoom=14")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    write_raster(tmp_path / "flight.tif", depth(), nodata=-9999)
    prepare(*of(tmp_path))
    return tmp_path / "masks"


def of(folder: Path) -> tuple[str, ...]:
    return f"collect={folder}/flight.tif", f"out={folder}/masks", *SMALL


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:500])


def overwrite_the_end(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-40] + bytes(40))


DAMAGE = {
    "cut short": cut_short,
    "same size, other bytes": overwrite_the_end,
    "empty": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_tile_of_a_complete_folder_is_made_again_and_nothing_else(
    how: str, masks: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    whole = contents(masks)
    tiles = sorted(masks.rglob("14/*/*.tif"))
    DAMAGE[how](tiles[1])
    kept = {path: path.stat().st_mtime_ns for path in tiles if path != tiles[1]}
    prepare(*of(masks.parent))
    assert f"these files differ from tiles.json and are made again: {tiles[1].relative_to(masks)}." in caplog.text
    assert contents(masks) == whole
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.mark.parametrize("name", ["mask.tif", "footprint.geojson", "preview.png"])
def test_a_lost_or_truncated_file_of_a_complete_folder_is_made_again(name: str, masks: Path) -> None:
    whole = contents(masks)
    for damage in (Path.unlink, cut_short if name != "footprint.geojson" else lambda path: path.write_bytes(b"{")):
        damage(masks / name)
        prepare(*of(masks.parent))
        assert contents(masks) == whole


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_tile_of_an_unfinished_folder_is_made_again_too(how: str, masks: Path) -> None:
    whole = contents(masks)
    unfinished = json.loads(whole["tiles.json"]) | {"complete": False, "tiles": [], "files": {}}
    (masks / "tiles.json").write_text(json.dumps(unfinished))
    DAMAGE[how](next(masks.rglob("14/*/*.tif")))
    prepare(*of(masks.parent))
    assert contents(masks) == whole


@pytest.mark.parametrize("name", ["14/1/2.tif", "14/1/2.tiff"])
def test_a_tile_that_the_index_does_not_name_is_refused(name: str, masks: Path) -> None:
    (masks / name).parent.mkdir()
    (masks / name).write_bytes(next(masks.rglob("14/*/*.tif")).read_bytes())
    with pytest.raises(StrangeTiles, match=rf"tiles that are not in its tiles\.json \(1, the first {name}\)"):
        prepare(*of(masks.parent))


def test_other_bytes_of_the_same_size_are_another_source(masks: Path) -> None:
    write_raster(masks.parent / "flight.tif", depth()[::-1], nodata=-9999)
    with pytest.raises(OtherSettings, match=r"source crc32 was \d+ and is \d+ now"):
        prepare(*of(masks.parent))


def test_another_udm_of_the_same_name_makes_other_tiles(tmp_path: Path) -> None:
    name = "20180528_181110_1025_3B_AnalyticMS_SR"
    write_raster(tmp_path / f"{name}.tif", imagery(300), nodata=0)
    arguments = f"scenes={tmp_path}/*_SR.tif", f"out={tmp_path}/tiles", *SMALL
    for value in (0, 1):
        write_raster(tmp_path / f"{name[:-3]}_DN_udm.tif", np.full((300, 300), value, np.uint8))
        if value:
            with pytest.raises(OtherSettings, match="udm_crc32 was"):
                prepare(*arguments)
        else:
            prepare(*arguments)


def test_a_damaged_index_is_no_obstacle_to_overwriting(masks: Path) -> None:
    whole = contents(masks)
    (masks / "tiles.json").write_text("{")
    with pytest.raises(BadIndex, match="overwrite=true"):
        prepare(*of(masks.parent))
    prepare(*of(masks.parent), "overwrite=true")
    assert contents(masks) == whole


def test_a_damaged_tile_in_s3_is_made_again(tmp_path: Path, s3: Bucket) -> None:
    write_raster(tmp_path / "flight.tif", depth(300), nodata=-9999)
    arguments = (f"collect={tmp_path}/flight.tif", f"out={s3.uri}/masks", *SMALL)
    prepare(*arguments)
    tile = next(file.uri for file in storage.list_files(f"{s3.uri}/masks/") if parse(file.uri))
    whole = storage.read(tile)
    storage.write(tile, whole[:-1] + b"x")
    prepare(*arguments)
    assert storage.read(tile) == whole


def test_a_second_command_in_the_same_folder_is_detected_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_raster(tmp_path / "flight.tif", depth(300), nodata=-9999)
    cut_all = tiling._render_all

    def with_another_command(job: Any, *rest: Any) -> Any:
        monkeypatch.setattr(tiling, "_render_all", cut_all)
        made = cut_all(job, *rest)
        prepare(*of(tmp_path), "depth_threshold_m=1", "overwrite=true")
        return made

    monkeypatch.setattr(tiling, "_render_all", with_another_command)
    with pytest.raises(ChangedMeanwhile, match="second command"):
        prepare(*of(tmp_path))


NOTHING = {
    "none is full enough": (
        ["min_valid=0.999", "zoom=12"],
        r"none of \d+ .* min_valid=0\.999 .*smaller min_valid",
    ),
    "cover elsewhere": (["cover=[14/0/0]"], r"touches none of the tiles of cover"),
}


@pytest.mark.parametrize("is_dry", [False, True])
@pytest.mark.parametrize("name", NOTHING)
def test_no_tile_is_an_error_and_no_complete_folder(name: str, is_dry: bool, tmp_path: Path) -> None:
    overrides, message = NOTHING[name]
    write_raster(tmp_path / "flight.tif", depth(200), nodata=-9999)
    arguments = f"collect={tmp_path}/flight.tif", f"out={tmp_path}/masks", *SMALL, *overrides, f"dry_run={is_dry}"
    start = "No tile would be made: " if is_dry else "No tile was made: "
    with pytest.raises(NoTiles, match=rf"^{start}.*({message})"):
        prepare(*arguments)
    index = tmp_path / "masks/tiles.json"
    assert not index.exists() or not json.loads(index.read_text())["complete"]


def test_nothing_observed_is_an_error_that_names_the_nodata(tmp_path: Path) -> None:
    write_raster(tmp_path / "flight.tif", np.full((200, 200), -9999, np.float32), nodata=-9999)
    with pytest.raises(NoTiles, match=r"^No tile was made: none of .* nodata"):
        prepare(*of(tmp_path))
    assert not json.loads((tmp_path / "masks/tiles.json").read_text())["complete"]


def test_a_scene_without_a_tile_is_reported_and_the_others_are_made(tmp_path: Path) -> None:
    for name, place in (("b_here", TUOLUMNE), ("a_there", Affine(3, 0, 380000, 0, -3, 4190000))):
        write_raster(tmp_path / "imagery" / f"{name}.tif", imagery(300), transform=place, nodata=0)
    write_raster(tmp_path / "imagery/c_dark.tif", np.zeros((4, 300, 300), np.uint16), nodata=0)
    write_raster(tmp_path / "flight.tif", depth(300), nodata=-9999)
    prepare(*of(tmp_path))
    status, output, errors = finish(tmp_path, "scenes=imagery/*.tif", "out=tiles", "cover=masks", *SMALL)
    assert status == 1
    assert "b_here" in output
    assert json.loads((tmp_path / "tiles/b_here/tiles.json").read_text())["complete"]
    assert errors.startswith("No tile was made of 2 of the 3 scenes: imagery/a_there.tif touches none")
    assert "c_dark" in errors
    assert len(errors.splitlines()) == 1
