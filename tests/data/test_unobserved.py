"""Which pixels of a pair are observed, whatever a file says it by; and a fill value that it does not say at all."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from rasterio.enums import ColorInterp
from torch import nn

from snowcover.compat import raw_tensor
from snowcover.data.fill_values import UntaggedFill
from snowcover.data.reading import PairReader, RawPair, WrongNodata
from snowcover.data.tiles import Tile
from snowcover.models.mapper import SnowMapper, observed
from tests.making import BANDS, pair_of, snowy, write_tile

TILE = Tile(15, 5500, 12600)
Array = np.ndarray[Any, Any]


def swath() -> Array:
    """[64, 64] bool: what the satellite saw; 24.2 % of a tile is outside."""
    rows, columns = np.mgrid[:64, :64]
    return rows * 2 + columns > 61


def read(root: Path, image: Array, given_nodata: float = 0, **written: Any) -> RawPair:
    mask = snowy(1, unobserved=False)[1]
    files = write_tile(root / "s", TILE, image, **written), write_tile(root / "c", TILE, mask, nodata=255)
    raw = PairReader(BANDS[: len(image)], given_nodata)(pair_of(*files, TILE))
    # What network, survey and scores go by is one and the same.
    seen = raw.mask != 255
    np.testing.assert_array_equal(raw.image.any(axis=0), seen)
    np.testing.assert_array_equal(observed(raw_tensor(raw.image)[None])[0, 0].numpy(), seen)
    return raw


def with_fill(dtype: Any, fill: float, bands: slice = slice(None)) -> Array:
    image = snowy(1, unobserved=False)[0].astype(dtype)
    image[bands, ~swath()] = fill
    return image


def alpha_band() -> Array:
    return np.concatenate([with_fill(np.uint16, 5), (swath() * 65535).astype(np.uint16)[None]])


CASES: dict[str, tuple[Array, dict[str, Any]]] = {
    "NaN without a tag": (with_fill(np.float32, np.nan), {"nodata": None}),
    "NaN although 0 is the tag": (with_fill(np.float32, np.nan), {"nodata": 0}),
    "NaN in one band": (with_fill(np.float32, np.nan, slice(2, 3)), {"nodata": None}),
    "infinite": (with_fill(np.float32, np.inf), {"nodata": -9999}),
    "-9999 in one band": (with_fill(np.int16, -9999, slice(1, 2)), {"nodata": -9999}),
    "float32's end read as a double": (with_fill(np.float32, np.finfo(np.float32).min), {"nodata": -3.4028235e38}),
    "a double's end": (with_fill(np.float64, -1.7976931348623157e308), {"nodata": -1.7976931348623157e308}),
    "0 in all bands without a tag": (with_fill(np.uint16, 0), {"nodata": None}),
    "internal mask": (with_fill(np.uint16, 5), {"nodata": None, "internal_mask": swath()}),
    "internal mask beside a tag": (with_fill(np.uint16, 5), {"nodata": 0, "internal_mask": swath()}),
    "65535 as the tag": (with_fill(np.uint16, 65535), {"nodata": 65535}),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_not_observed_comes_as_unobserved_whatever_says_so(tmp_path: Path, case: str) -> None:
    image, written = CASES[case]
    raw = read(tmp_path, image, **written)
    np.testing.assert_array_equal(raw.mask != 255, swath())
    assert round(float((raw.mask == 255).mean()), 3) == 0.242
    np.testing.assert_array_equal(raw.image[:, swath()], image[:, swath()])
    assert np.isfinite(raw.image).all()


@pytest.mark.parametrize("nodata", [None, 0])
def test_an_alpha_band_is_a_mask_and_no_band(tmp_path: Path, nodata: float | None) -> None:
    image = alpha_band()
    files = (
        write_tile(tmp_path / "s", TILE, image, nodata=nodata, alpha="YES", photometric="RGB"),
        write_tile(tmp_path / "c", TILE, snowy(1, unobserved=False)[1], nodata=255),
    )

    with rasterio.open(files[0], "r+") as file:
        file.colorinterp = [ColorInterp.undefined] * 4 + [ColorInterp.alpha]
    raw = PairReader(BANDS, 0)(pair_of(*files, TILE))
    assert raw.image.shape[0] == 4
    np.testing.assert_array_equal(raw.mask != 255, swath())


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32, np.float64])
def test_an_observed_pixel_of_0_in_all_bands_stays_observed(tmp_path: Path, dtype: Any) -> None:
    image = snowy(1, unobserved=False)[0].astype(dtype)
    image[:, 10, 10:14] = 0
    nodata = 65535 if dtype is np.uint16 else -9999
    raw = read(tmp_path, image, nodata=nodata)
    assert (raw.mask != 255).all()
    assert np.abs(raw.image[:, 10, 10:14]).max() <= 1


def test_an_observed_0_with_an_internal_mask_stays_observed(tmp_path: Path) -> None:
    image = with_fill(np.uint16, 0)
    image[:, 60, 10:14] = 0
    raw = read(tmp_path, image, nodata=None, internal_mask=swath())
    np.testing.assert_array_equal(raw.mask != 255, swath())


def test_zeros_in_a_twentieth_of_a_tile_whose_nodata_is_another_value_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UntaggedFill, match=r"is 0 in all bands in 992 of its 4096 pixels, and its nodata value is -9999"
    ):
        read(tmp_path, with_fill(np.int16, 0), nodata=-9999)


@pytest.mark.parametrize(
    ("dtype", "fill"),
    [(np.int16, -9999), (np.int16, -32768), (np.float32, -9999), (np.float32, -3.4028235e38), (np.float32, 1e20),
     (np.float32, -1), (np.uint16, 65535)],
)  # fmt: skip
def test_a_fill_that_no_tag_declares_is_refused_with_the_way_out(tmp_path: Path, dtype: Any, fill: float) -> None:
    image = with_fill(dtype, fill)
    with pytest.raises(UntaggedFill, match=r"in all bands of 992 of its 4096 pixels") as failure:
        read(tmp_path, image, nodata=None)
    way_out = str(failure.value).partition("data.nodata=")[2].partition(" ")[0]
    if np.isfinite(fill):
        raw = read(tmp_path, image, float(way_out), nodata=None)
        np.testing.assert_array_equal(raw.mask != 255, swath())


def test_bright_snow_in_8_bit_and_a_few_dark_numbers_are_no_fill(tmp_path: Path) -> None:
    rgb = snowy(1, unobserved=False)[0][:3] // 256 + 1
    rgb[:, swath()] = 255
    assert (read(tmp_path, rgb.astype(np.uint8), nodata=None).mask != 255).all()
    single = with_fill(np.float32, -0.002)[:1]
    assert (read(tmp_path, single, nodata=None).mask != 255).all()


def test_a_nodata_beyond_the_tiles_type_is_one_message(tmp_path: Path) -> None:
    mask = snowy(1)[1]
    files = write_tile(tmp_path / "s", TILE, snowy(1)[0], None), write_tile(tmp_path / "c", TILE, mask, 255)
    for nodata in (-9999, 70000, 0.5):
        with pytest.raises(
            WrongNodata, match=rf"^data\.nodata={nodata:g} is no uint16, which is what .*12600\.tif holds: "
        ):
            PairReader(BANDS, nodata)(pair_of(*files, TILE))


def test_what_is_no_number_is_unobserved_to_the_saved_network_and_harms_no_neighbour() -> None:
    mapper = SnowMapper(nn.Conv2d(2, 1, 3, padding=1), 1e-4, 0.0, [0.3, 0.4], [0.1, 0.1])
    raw = torch.full((1, 2, 64, 64), 3000.0)
    raw[0, :, 20, 20], zeros = 0, None
    zeros = mapper(raw)
    raw[0, 1, 20, 20] = torch.nan
    found = mapper(raw)
    assert found.isnan().sum() == 1
    torch.testing.assert_close(found, zeros, equal_nan=True)
