from pathlib import Path

import numpy as np
import pytest

from snowcover.data.reading import BrokenTile, PairReader, WrongBands, WrongMask, WrongSize
from snowcover.data.tiles import Tile
from snowcover.storage import MissingFile
from tests.making import BANDS, pair_of, snowy, write_tile

TILE = Tile(15, 5500, 12600)


@pytest.fixture
def image_and_mask(tmp_path: Path) -> tuple[Path, Path]:
    image, mask = snowy(1)
    return write_tile(tmp_path / "scene", TILE, image), write_tile(tmp_path / "collect", TILE, mask, nodata=255)


def read(image: Path, mask: Path, bands: tuple[str, ...] = BANDS, nodata: float = 0):
    return PairReader(bands, nodata)(pair_of(image, mask, TILE))


def test_a_pair_comes_as_stored_with_unobserved_ground_marked(image_and_mask: tuple[Path, Path]) -> None:
    image, mask = snowy(1)
    raw = read(*image_and_mask)
    np.testing.assert_array_equal(raw.image, image)
    expected = mask[0].copy()
    expected[:3, :5] = 255  # nodata in the image is neither snow nor bare ground
    np.testing.assert_array_equal(raw.mask, expected)


def test_a_pixel_dark_in_one_band_only_is_observed(tmp_path: Path) -> None:
    image, mask = snowy(1, unobserved=False)
    image[0, 10, 10] = 0
    raw = read(write_tile(tmp_path / "s", TILE, image), write_tile(tmp_path / "c", TILE, mask, nodata=255))
    assert raw.mask[10, 10] in (0, 1)


def test_the_masks_own_nodata_value_is_unobserved_whatever_it_is(tmp_path: Path) -> None:
    image, mask = snowy(1, unobserved=False)
    stored = mask.astype(np.float32)
    stored[0, :5], stored[0, 5:7] = -9999, 255
    raw = read(write_tile(tmp_path / "s", TILE, image), write_tile(tmp_path / "c", TILE, stored, nodata=-9999))
    assert (raw.mask[:7] == 255).all()
    np.testing.assert_array_equal(raw.mask[7:], mask[0, 7:])


@pytest.mark.parametrize(("nodata", "means"), [(0, "no snow"), (1, "snow")])
def test_a_mask_whose_nodata_is_a_label_is_refused(tmp_path: Path, nodata: int, means: str) -> None:
    image, mask = snowy(1, unobserved=False)
    with pytest.raises(
        WrongMask, match=rf"says that {nodata} is nodata, which in a mask means {means}: .*-a_nodata 255"
    ):
        read(write_tile(tmp_path / "s", TILE, image), write_tile(tmp_path / "z", TILE, mask, nodata=nodata))


def test_a_mask_of_scaled_numbers_is_refused(tmp_path: Path) -> None:
    image, mask = snowy(1)
    scaled = write_tile(tmp_path / "c", TILE, mask, nodata=255, scaling=(0.01, 0))
    with pytest.raises(WrongMask, match=r"has a scale of 0\.01"):
        read(write_tile(tmp_path / "s", TILE, image), scaled)


def test_a_masks_internal_mask_counts(tmp_path: Path) -> None:
    image, mask = snowy(1, unobserved=False)
    seen = np.ones(mask.shape[1:], np.uint8)
    seen[:, :20] = 0
    masked = write_tile(tmp_path / "c", TILE, mask, nodata=None, internal_mask=seen)
    raw = read(write_tile(tmp_path / "s", TILE, image), masked)
    assert (raw.mask[:, :20] == 255).all()
    np.testing.assert_array_equal(raw.mask[:, 20:], mask[0, :, 20:])


def test_a_mask_of_nan_and_floats_is_understood(tmp_path: Path) -> None:
    image, mask = snowy(1, unobserved=False)
    stored = mask.astype(np.float32)
    stored[0, :5] = np.nan
    raw = read(write_tile(tmp_path / "s", TILE, image), write_tile(tmp_path / "c", TILE, stored, nodata=np.nan))
    assert (raw.mask[:5] == 255).all()


def test_bands_are_found_by_name_in_a_file_with_more(tmp_path: Path) -> None:
    image, mask = snowy(1)
    eight = np.concatenate([image[::-1], image])
    names = ["x1", "x2", "x3", "x4", *BANDS]
    files = (
        write_tile(tmp_path / "s", TILE, eight, descriptions=names),
        write_tile(tmp_path / "c", TILE, mask, nodata=255),
    )
    np.testing.assert_array_equal(read(*files).image, image)
    np.testing.assert_array_equal(read(*files, bands=("nir", "red")).image, image[[3, 2]])


def test_without_a_tag_the_configs_nodata_counts(tmp_path: Path) -> None:
    image, mask = snowy(1, unobserved=False)
    image[:, :2] = 9
    files = write_tile(tmp_path / "s", TILE, image, nodata=None), write_tile(tmp_path / "c", TILE, mask, nodata=255)
    raw = read(*files, nodata=9)
    assert (raw.image[:, :2] == 0).all()
    assert (raw.mask[:2] == 255).all()


def test_three_bands_instead_of_four_are_refused(tmp_path: Path) -> None:
    image, mask = snowy(1)
    files = write_tile(tmp_path / "s", TILE, image[:3]), write_tile(tmp_path / "c", TILE, mask, nodata=255)
    with pytest.raises(WrongBands, match=r"12600\.tif has 3 bands, data\.bands names 4 \(blue, green, red, nir\)"):
        read(*files)


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    files = write_tile(tmp_path / "s", TILE, snowy(1)[0]), write_tile(tmp_path / "c", TILE, snowy(1, 32)[1], nodata=255)
    with pytest.raises(WrongSize, match="has 32 x 32 pixels, its image .* has 64 x 64"):
        read(*files)


def test_a_mask_value_seven_is_refused(tmp_path: Path) -> None:
    image, mask = snowy(1)
    mask[0, 20, 20] = 7
    with pytest.raises(WrongMask, match="holds the value 7"):
        read(write_tile(tmp_path / "s", TILE, image), write_tile(tmp_path / "c", TILE, mask, nodata=255))


@pytest.mark.parametrize("keep", [0, 3, 200, -600])
def test_a_truncated_tile_is_refused_by_name(image_and_mask: tuple[Path, Path], keep: int) -> None:
    image, mask = image_and_mask
    image.write_bytes(image.read_bytes()[:keep])
    with pytest.raises(BrokenTile, match=r"scene/15/5500/12600\.tif is .*make or copy this tile again"):
        read(image, mask)


def test_a_tile_deleted_since_it_was_listed_is_named(image_and_mask: tuple[Path, Path]) -> None:
    pair = pair_of(*image_and_mask, TILE)
    image_and_mask[1].unlink()
    with pytest.raises(MissingFile, match=r"collect/15/5500/12600\.tif"):
        PairReader(BANDS, 0)(pair)
