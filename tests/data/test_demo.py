"""The demo data: whole or absent, the same each time, and a task on which brightness alone does badly."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import rasterio
from scipy.ndimage import uniform_filter
from sklearn.ensemble import HistGradientBoostingClassifier

from snowcover import storage
from snowcover.data import demo
from snowcover.data.dataset import load_dataset
from snowcover.data.tiles import Tile, bounds, parse, path
from snowcover.errors import UserError
from tests.making import config
from tests.prepare.command import prepare
from tests.prepare.rasters import write_raster

Array = np.ndarray[Any, Any]
SMALL = {"seed": 3, "tiles_per_side": 3, "tile_size": 64}


class Pairs(NamedTuple):
    """Every image tile with its mask; x is the tile's column."""

    images: Array  # [N, 4, H, W]
    masks: Array  # [N, H, W]
    x: Array  # [N]

    @property
    def valid(self) -> Array:
        return (self.images != 0).any(axis=1) & (self.masks != 255)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def pairs(folder: Path) -> Pairs:
    def read() -> Iterator[tuple[Array, Array, int]]:
        for file in sorted(folder.glob("scenes/*/*/*/*.tif")):
            mask = folder / "masks" / demo.COLLECT / Path(*file.parts[-3:])
            tile = parse(str(file))
            if mask.exists() and tile is not None:
                with rasterio.open(file) as image, rasterio.open(mask) as truth:
                    yield image.read(), truth.read(1), tile.x

    images, masks, x = zip(*read(), strict=True)
    return Pairs(np.stack(images), np.stack(masks), np.array(x))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "small"
    demo.make(str(folder), **SMALL)
    return folder


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    folder = tmp_path_factory.mktemp("demo") / "default"
    demo.make(str(folder))
    return pairs(folder)


def test_the_same_settings_give_the_same_bytes_another_seed_others(small: Path, tmp_path: Path) -> None:
    demo.make(str(tmp_path / "again"), **SMALL)
    assert contents(tmp_path / "again") == contents(small)
    demo.make(str(tmp_path / "other"), **{**SMALL, "seed": 4})
    other = contents(tmp_path / "other")
    assert not {name for name, content in contents(small).items() if other.get(name) == content}


def test_each_file_is_a_georeferenced_tile_of_its_scene_or_collect(small: Path) -> None:
    files = sorted(small.rglob("*.tif"))
    folders = {file.relative_to(small).parts[1] for file in files}
    assert folders == {"20180528_181110_1025", "20180528_181112_1025", "ASO_demo_20180528"}
    for file in files:
        tile = parse(str(file))
        is_mask = "masks" in file.parts
        with rasterio.open(file) as raster:
            assert tile is not None
            assert tuple(raster.bounds) == pytest.approx(bounds(tile), abs=1e-6)
            assert (raster.crs, raster.shape, raster.nodata) == ("EPSG:3857", (64, 64), 255 if is_mask else 0)
            assert raster.descriptions == (("snow",) if is_mask else ("blue", "green", "red", "nir"))
            assert raster.dtypes[0] == ("uint8" if is_mask else "uint16")
            assert raster.compression.name == "deflate"
            assert raster.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == "2"


def test_images_lack_all_bands_or_none_and_masks_know_three_values(small: Path) -> None:
    images, masks, _ = pairs(small)
    assert np.array_equal((images == 0).any(axis=1), (images == 0).all(axis=1))
    assert set(np.unique(masks)) == {0, 1, 255}


def test_folder_that_is_complete_is_left_as_it_is(small: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in small.rglob("*")}
    demo.make(str(small), **SMALL)
    assert {file: file.stat().st_mtime_ns for file in small.rglob("*")} == before


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    demo.make(str(tmp_path), **SMALL)
    assert (tmp_path / "scenes").is_dir()


@pytest.mark.parametrize("foreign", ["thesis.txt", "demo.json", "scenes/a/15/1/2.tif"])
def test_a_folder_of_something_else_is_refused_and_kept(tmp_path: Path, foreign: str) -> None:
    (tmp_path / foreign).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / foreign).write_text("years of work")
    with pytest.raises(UserError, match=r"holds no demo data: delete it or give another folder\.$"):
        demo.make(str(tmp_path), **SMALL)
    assert contents(tmp_path) == {foreign: b"years of work"}


def test_a_file_in_the_folders_place_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("years of work")
    with pytest.raises(UserError, match="holds no demo data"):
        demo.make(str(tmp_path / "demo"), **SMALL)
    assert (tmp_path / "demo").read_text() == "years of work"


def test_demo_data_of_other_settings_are_refused_and_kept(small: Path) -> None:
    before = contents(small)
    with pytest.raises(UserError, match=r"'seed': 3.* not .*'seed': 5"):
        demo.make(str(small), **{**SMALL, "seed": 5})
    assert contents(small) == before


def test_demo_data_that_lost_a_tile_are_refused(tmp_path: Path) -> None:
    demo.make(str(tmp_path / "demo"), **SMALL)
    lost = next((tmp_path / "demo").rglob("*.tif"))
    count = json.loads((tmp_path / "demo" / demo.SETTINGS_FILE).read_text())["tiles"]
    lost.unlink()
    with pytest.raises(UserError, match=f"holds {count - 1} of its {count} demo tiles"):
        demo.make(str(tmp_path / "demo"), **SMALL)


def test_a_making_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    def full_after_five(uri: str, content: bytes) -> None:
        written.append(uri)
        if len(written) > 5:
            raise storage.DiskFull(f"{uri} cannot be written: the disk is full.")
        write(uri, content)

    write = storage.write
    monkeypatch.setattr(storage, "write", full_after_five)
    with pytest.raises(storage.DiskFull):
        demo.make(str(tmp_path / "demo"), **SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("rival_seed", "is_refused"), [(3, False), (4, True)])
def test_of_two_that_make_at_once_one_places_its_tiles_and_the_other_takes_those(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rival_seed: int, is_refused: bool
) -> None:
    write = demo._write

    def write_while_a_rival_finishes(folder: Path, settings: dict[str, int]) -> None:
        write(folder, settings)
        monkeypatch.setattr(demo, "_write", write)
        demo.make(str(tmp_path / "demo"), **{**SMALL, "seed": rival_seed})

    monkeypatch.setattr(demo, "_write", write_while_a_rival_finishes)
    if is_refused:
        with pytest.raises(UserError, match="holds demo data made with"):
            demo.make(str(tmp_path / "demo"), **SMALL)
    else:
        demo.make(str(tmp_path / "demo"), **SMALL)
    assert [file.name for file in tmp_path.iterdir()] == ["demo"]
    assert json.loads((tmp_path / "demo" / demo.SETTINGS_FILE).read_text())["seed"] == rival_seed


@pytest.mark.parametrize(
    ("folder", "settings", "said"),
    [
        ("demo", {"tiles_per_side": 0}, "tiles_per_side >= 1"),
        ("demo", {"tile_size": 31}, "got 5 and 31"),
        ("s3://bucket/demo", {}, "give a local folder"),
    ],
)
def test_settings_of_no_use_end_in_one_message(folder: str, settings: dict[str, int], said: str) -> None:
    with pytest.raises(UserError, match=said):
        demo.make(folder, **settings)


def test_a_place_where_nothing_can_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"Demo data cannot be made in .*/file/demo: Not a directory\.$"):
        demo.make(str(tmp_path / "file" / "demo"), **SMALL)


@pytest.mark.slow
def test_a_few_dozen_pairs_show_snow_on_about_half_of_the_ground(default: Pairs) -> None:
    assert 36 <= len(default.images) <= 50
    assert default.images.shape[1:] == (4, 256, 256)
    assert 0.3 < (default.masks[default.valid] == 1).mean() < 0.6
    assert 0.05 < (default.images == 0).mean() < 0.25  # beyond the slanted edges of the swaths


@pytest.mark.slow
def test_a_brightness_threshold_does_clearly_worse_than_colour_and_surroundings(default: Pairs) -> None:
    is_snow = default.masks[default.valid] == 1
    brightness = default.images.mean(axis=1)[default.valid]
    thresholds = np.quantile(brightness, np.linspace(0, 1, 101))
    best_of_brightness = max(iou(brightness > threshold, is_snow) for threshold in thresholds)
    assert 0.55 < best_of_brightness < 0.7  # though it was chosen on the truth itself

    west = default.x < np.median(default.x)
    train, test = (samples(Pairs(*(part[side] for part in default))) for side in (west, ~west))
    model = HistGradientBoostingClassifier(max_iter=40, random_state=0).fit(*train)
    assert iou(model.predict(test[0]), test[1]) > best_of_brightness + 0.15


@pytest.mark.slow
def test_snow_lies_under_dark_forest_and_bright_ground_is_bare(default: Pairs) -> None:
    blue, _, red, nir = np.moveaxis(default.images.astype(float), 1, 0)
    is_snow, is_tree = default.masks == 1, (nir > 2 * red) & (nir > 2 * blue)
    assert 0.1 < is_snow[is_tree & default.valid].mean() < 0.9
    is_bright_rock = (nir > 4000) & (nir > 1.2 * blue)
    assert is_snow[is_bright_rock & default.valid].mean() < 0.3
    assert (is_bright_rock & default.valid).sum() > 0.02 * default.valid.sum()


def iou(said: Array, truth: Array) -> float:
    return float((said & truth).sum() / (said | truth).sum())


def samples(part: Pairs, every: int = 40) -> tuple[Array, Array]:
    """(features [P, F], is snow [P]) of some valid pixels: the bands, and their means and spreads around."""
    scenes = part.images.astype(np.float32) / 1e4
    around = [scenes]
    for size in (5, 17):
        mean = uniform_filter(scenes, (0, 0, size, size))
        around += [mean, uniform_filter(scenes**2, (0, 0, size, size)) - mean**2]
    features = np.moveaxis(np.concatenate(around, axis=1), 1, -1)  # [N, H, W, F]
    return features[part.valid][::every], part.masks[part.valid][::every] == 1


def test_layers_lie_next_to_the_same_scenes_and_masks(small: Path, tmp_path: Path) -> None:
    demo.make(str(tmp_path / "with"), **SMALL, layers=True)
    own, plain = contents(tmp_path / "with"), contents(small)
    layers = {name: content for name, content in own.items() if name.startswith(demo.TERRAIN)}
    assert len(layers) == 9
    del own["demo.json"], plain["demo.json"]
    assert {name: content for name, content in own.items() if name not in layers} == plain
    demo.make(str(tmp_path / "with"), **SMALL, layers=True)
    with pytest.raises(UserError, match="holds demo data made with"):
        demo.make(str(tmp_path / "with"), **SMALL)


def test_the_lands_layers_are_what_prepare_makes_of_its_elevation(tmp_path: Path) -> None:
    demo.make(str(tmp_path / "with"), **SMALL, layers=True)
    columns = []
    for across in range(3):
        tiles = (Tile(15, demo.CORNER.x + across, demo.CORNER.y + down) for down in range(3))
        columns.append(np.concatenate([_read(tmp_path / "with" / demo.TERRAIN / path(tile)) for tile in tiles], axis=1))
    whole = np.concatenate(columns, axis=2)  # [4, 192, 192]
    left, _, _, top = bounds(demo.CORNER)
    right, bottom = bounds(Tile(15, demo.CORNER.x + 2, demo.CORNER.y + 2))[2:0:-1]
    place = rasterio.transform.from_bounds(left, bottom, right, top, 192, 192)
    source = write_raster(tmp_path / "dem.tif", whole[0], crs="EPSG:3857", transform=place)
    prepare(f"layer={source}", f"out={tmp_path}/made", "tile_size=64")
    for down in range(3):
        tile = Tile(15, demo.CORNER.x + 1, demo.CORNER.y + down)
        made, ours = (_read(tmp_path / folder / path(tile)) for folder in ("made", f"with/{demo.TERRAIN}"))
        known = np.isfinite(made).all(axis=0)
        assert known.mean() > 0.95
        np.testing.assert_allclose(made[:2, known], ours[:2, known], atol=0.05)
        np.testing.assert_allclose(made[2:, known], ours[2:, known], atol=0.02)


def _read(file: Path) -> Array:
    with rasterio.open(file) as opened:
        found: Array = opened.read()
        return found


def test_the_demo_with_its_terrain_can_be_trained_on(tmp_path: Path) -> None:
    small = (f"data.generate.folder={tmp_path}/tiles", "+data.generate.tile_size=64", "+data.generate.tiles_per_side=4")
    found = load_dataset(config("data=demo_terrain", *small, "data.split.val=0.25", "data.split.test=0.25",
                          "data.split.train=0.5"))  # fmt: skip
    assert found.statistics.layers is not None
    means = dict(zip(found.statistics.layers.channels, found.statistics.layers.mean, strict=True))
    assert 2000 < means["elevation"] < 4000
    assert 5 < means["slope"] < 45
    assert 0.3 < means["illumination"] < 1
    assert found.statistics.layers.nodata_share == [0] * 5
