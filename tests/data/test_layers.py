"""Layers: which channels they are, read beside the bands, and refused where they would be wrong."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from snowcover.baselines.sample import PixelSample
from snowcover.data import geotiff
from snowcover.data.config import Augment
from snowcover.data.dataset import TileDataset, load_dataset
from snowcover.data.dates import instant_in
from snowcover.data.fill_values import UntaggedFill
from snowcover.data.folder import FolderDiffers
from snowcover.data.layer_facts import UselessLayer
from snowcover.data.layers import LayerReader, NoLayer, NoTime, WrongLayer
from snowcover.data.loader import TileLoader
from snowcover.data.manifest import manifest
from snowcover.data.place import WrongPlace
from snowcover.data.reading import PairReader
from snowcover.data.scaling import Scaling
from snowcover.data.statistics import compute_statistics
from snowcover.data.terrain import sun_position
from snowcover.data.tiles import Tile, bounds, longitude_latitude
from snowcover.data.transforms import augmentation, augmented
from snowcover.identity import changed_keys, run_digest
from snowcover.validation import ConfigError
from tests.layer_making import TIMED, layers, terrain, tiles_of, write_layer
from tests.making import config, sources, write_site, write_tile

NAMES = ("elevation", "slope", "aspect", "illumination")
CHANNELS = ["aspect_sin", "aspect_cos", "elevation", "illumination", "slope"]  # by the layers' names


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site whose scenes say when they were taken, with its terrain."""
    root = write_site(tmp_path_factory.mktemp("timed"), scenes=TIMED)
    write_layer(root / "dem", tiles_of(root))
    return root


def gathered(site: Path, *overrides: str) -> TileDataset:
    return load_dataset(config("data=tiles", sources(site), *overrides))


def test_channels_are_the_bands_and_then_the_layers_by_name_however_they_are_written() -> None:
    one, other = (config("data=tiles", sources("a"), layers("x", *names)).data for names in (NAMES, reversed(NAMES)))
    assert list(one.channels) == ["blue", "green", "red", "nir", *CHANNELS]
    assert one.channels == other.channels
    assert one.layers == dict.fromkeys(sorted(NAMES), "x")
    assert config("data=tiles", sources("a")).data.channels == ("blue", "green", "red", "nir")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{aspect: x, aspect_sin: x}", "layers name aspect_sin twice"),
        ("{nir: x}", "nir is in bands and in layers"),
        ("{alpha: x}", "names no band of measurements"),
        ("{elevation: ''}", "the path is empty"),
    ],
)
def test_layers_that_cannot_be_meant_are_refused(given: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config("data=tiles", sources("a"), f"data.layers={given}")


@pytest.mark.slow
def test_a_pair_has_its_layers_with_its_bands_and_the_light_of_its_time(timed: Path) -> None:
    data = config("data=tiles", sources(timed), layers(timed / "dem", *NAMES)).data
    plain = config("data=tiles", sources(timed)).data
    read, bands_alone = PairReader.of(data), PairReader.of(plain)
    light = {}
    for pair in manifest(data).pairs[:20:7] + manifest(data).pairs[-1:]:
        found, without = read(pair), bands_alone(pair)
        np.testing.assert_array_equal(found.image, without.image)
        assert found.image.dtype == without.image.dtype == np.uint16
        assert without.network_input is without.image
        assert found.network_input.dtype == np.float32
        np.testing.assert_array_equal(found.network_input[:4], without.image)
        metres, slope, sin, cos = terrain(pair.tile)
        np.testing.assert_array_equal(found.network_input[[4, 5, 6, 8]], [sin, cos, metres, slope])
        left, bottom, right, top = bounds(pair.tile)
        place = longitude_latitude((left + right) / 2, (bottom + top) / 2)
        zenith, azimuth = map(np.radians, sun_position(instant_in(pair.scene), *place))
        steep, aspect = np.radians(slope), np.arctan2(sin, cos)
        cosine = np.cos(zenith) * np.cos(steep) + np.sin(zenith) * np.sin(steep) * np.cos(azimuth - aspect)
        np.testing.assert_allclose(found.network_input[7], np.maximum(cosine, 0), atol=1e-5)
        light[pair.scene] = float(found.network_input[7].mean())
    assert len(set(light.values())) == 2  # by the time of each scene


def test_batches_hold_bands_and_layers(timed: Path) -> None:
    data = config("data=tiles", sources(timed), layers(timed / "dem", *NAMES)).data
    (batch, *_) = TileLoader(manifest(data).pairs[:4], PairReader.of(data), 2, 1)
    assert batch.image.shape == (2, 9, 64, 64)
    assert batch.image.dtype == torch.float32


def test_a_scaled_tile_is_read_as_what_its_numbers_stand_for_and_a_lone_band_needs_no_name(tmp_path: Path) -> None:
    tile = Tile(15, 5500, 12600)
    stored = np.arange(1, 65 * 64 - 63).reshape(1, 64, 64).astype(np.int16)
    stored[0, 0, :3] = -1
    write_tile(tmp_path, tile, stored, -1, scaling=(0.5, 100))
    reader = LayerReader.of({"canopy": str(tmp_path)})
    assert reader is not None
    with geotiff.environment():
        (found,) = reader.read("scene", tile, (64, 64))
    assert np.isnan(found[0, :3]).all()
    np.testing.assert_allclose(found[0, 3:], stored[0, 0, 3:] * 0.5 + 100)


def test_where_a_layer_ends_is_reported_and_is_no_hole_in_what_is_observed(timed: Path, tmp_path: Path) -> None:
    folder = write_layer(tmp_path / "holed", tiles_of(timed), hole=True)
    found = gathered(timed, layers(folder, "elevation", "slope"))
    (note,) = [note for note in found.notes if "Layers" in note]
    assert "elevation in 0.016, slope in 0.016" in note
    pair = found.manifest.pairs[0]
    raw, plain = found.read(pair), PairReader.of(config("data=tiles", sources(timed)).data)(pair)
    assert np.isnan(raw.network_input[4:, :8, :8]).all()
    assert np.isfinite(raw.network_input[:, 8:]).all()
    np.testing.assert_array_equal(raw.mask, plain.mask)


def test_moments_are_those_of_the_training_tiles_known_pixels_and_the_bands_stay_as_they_are(timed: Path) -> None:
    found, plain = gathered(timed, layers(timed / "dem", *NAMES)), gathered(timed)
    values = np.stack([found.read(pair).layers for pair in found.of("train")])
    assert found.statistics.layers is not None
    assert list(found.statistics.layers.channels) == CHANNELS
    np.testing.assert_allclose(found.statistics.layers.mean, values.mean(axis=(0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(found.statistics.layers.std, values.std(axis=(0, 2, 3)), rtol=1e-3)
    assert (found.statistics.mean, found.statistics.std) == (plain.statistics.mean, plain.statistics.std)
    assert (found.statistics.shape, found.statistics.input_shape) == ((4, 64, 64), (9, 64, 64))
    assert (plain.statistics.layers, plain.statistics.input_shape) == (None, (4, 64, 64))
    assert found.splits == plain.splits


def test_baselines_draw_from_the_bands_alone(timed: Path) -> None:
    data = config("data=tiles", sources(timed), layers(timed / "dem", *NAMES)).data
    pairs, sample = manifest(data).pairs, PixelSample(500, 0)
    its_sides = (["train", "val", "test"] * len(pairs))[: len(pairs)]
    compute_statistics(pairs, its_sides, PairReader.of(data), Scaling(1e-4, 0), 1, sample, CHANNELS)
    assert sample.pixels().reflectance.shape[1] == 4


@pytest.mark.slow
def test_the_digest_changes_with_the_layers_and_not_with_their_place(timed: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(timed / "dem", tmp_path / "copy")
    plain, here, there = (
        gathered(timed, *given).digest for given in ([], [layers(timed / "dem", "slope")], [layers(copied, "slope")])
    )
    assert len({plain, here, gathered(timed, layers(copied, "elevation")).digest}) == 3
    assert here == there
    assert plain == gathered(timed).manifest.digest
    tile = next(iter(copied.rglob("*.tif")))
    tile.write_bytes(tile.read_bytes() + b"more")
    assert gathered(timed, layers(copied, "slope")).digest != here


def test_runs_from_before_there_were_layers_are_those_without_and_each_layer_makes_another_run() -> None:
    values = config("data=tiles", sources("a")).model_dump()
    before = {**values, "data": {key: value for key, value in values["data"].items() if key != "layers"}}
    assert run_digest(values) == run_digest(before)
    assert not changed_keys(values, before)
    with_one = config("data=tiles", sources("a"), layers("x", "slope")).model_dump()
    assert [one.key for one in changed_keys(with_one, before)] == ["data.layers.slope"]
    assert run_digest(with_one) != run_digest(values)


@pytest.mark.slow
def test_what_is_missing_or_wrong_is_refused_before_training(timed: Path, site: Path, tmp_path: Path) -> None:
    tiles = tiles_of(timed)
    short = write_layer(tmp_path / "short", tiles[1:])
    with pytest.raises(NoLayer, match=r"short, has no tile where 1 image tiles lie \(15/5500/12600\.tif\)"):
        gathered(timed, layers(short, "slope"))
    with pytest.raises(NoLayer, match=r"has no tiles under .*nowhere/"):
        gathered(timed, layers(tmp_path / "nowhere", "slope"))
    with pytest.raises(WrongLayer, match=r"has 32 x 32 pixels, the image tile of its place 64 x 64"):
        gathered(timed, layers(write_layer(tmp_path / "fine", tiles, 32), "slope"))
    with pytest.raises(WrongLayer, match=r"bands are elevation, slope, .* needs one called canopy"):
        gathered(timed, layers(timed / "dem", "canopy"))
    with pytest.raises(NoTime, match="scene 20180528_a does not say at what time"):
        gathered(site, layers(write_layer(tmp_path / "dem", tiles_of(site)), "illumination"))
    with pytest.raises(FolderDiffers, match="is a collect"):
        folder = shutil.copytree(timed / "dem", tmp_path / "as_collect")
        (folder / "tiles.json").write_text(_index("collect"))
        gathered(timed, layers(folder, "slope"))


def _index(kind: str) -> str:
    from snowcover.data.index import Index, Origin

    return Index(kind=kind, complete=False, source=Origin(name="a", size_bytes=1, crc32=1), settings={}).to_json()


def test_a_tile_of_another_place_and_a_fill_that_nothing_tags_are_refused(timed: Path, tmp_path: Path) -> None:
    tiles = tiles_of(timed)
    moved = write_layer(tmp_path / "moved", tiles)
    first, second = (moved / f"15/{tile.x}/{tile.y}.tif" for tile in tiles[:2])
    first.write_bytes(second.read_bytes())
    with pytest.raises(WrongPlace):
        gathered(timed, layers(moved, "slope"))
    for tile in tiles:
        values = terrain(tile)[:1]
        values[:, :20] = -9999
        write_tile(tmp_path / "filled", tile, values, None, ("elevation",))
    with pytest.raises(UntaggedFill, match="-9999"):
        gathered(timed, layers(tmp_path / "filled", "elevation"))


@pytest.mark.parametrize(("value", "text"), [(np.nan, "has no data in any training tile"), (7, "has one value, 7")])
def test_a_layer_that_says_nothing_is_refused(timed: Path, tmp_path: Path, value: float, text: str) -> None:
    for tile in tiles_of(timed):
        write_tile(tmp_path / "dull", tile, np.full((1, 64, 64), value, np.float32), np.nan, ("dull",))
    with pytest.raises(UselessLayer, match=f"The layer dull {text}"):
        gathered(timed, layers(tmp_path / "dull", "dull"))


def test_layers_turn_with_the_ground_and_brightness_leaves_them(timed: Path, tmp_path: Path) -> None:
    folder = write_layer(tmp_path / "holed", tiles_of(timed), hole=True)
    data = config("data=tiles", sources(timed), layers(folder, *NAMES)).data
    (before, *_) = TileLoader(manifest(data).pairs[:8], PairReader.of(data), 8, 1)
    torch.manual_seed(1)
    after = augmented(before, augmentation(Augment(flips_and_rotations=True, brightness=0.3), layers=5))
    factors = set()
    for old, new in zip(before.image, after.image, strict=True):
        turned = [torch.rot90(each, k, (-2, -1)) for each in (old, old.flip(-1)) for k in range(4)]
        (same,) = [each for each in turned if torch.equal(each[4:].nan_to_num(), new[4:].nan_to_num())]
        observed = (same[:4] != 0).any(dim=0)
        ratio = (new[:4] / same[:4])[:, observed]
        torch.testing.assert_close(ratio, ratio[:1, :1].expand_as(ratio))
        factors.add(round(float(ratio[0, 0]), 4))
    assert len(factors) > 4
