"""Bands are found by what a file calls them, in any spelling, and never guessed where it calls them something else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from snowcover.data.reading import PairReader, WrongBands
from snowcover.data.tiles import Tile
from snowcover.validation import ConfigError
from tests.making import BANDS, config, pair_of, snowy, write_tile

TILE = Tile(15, 5500, 12600)
BLUE, GREEN, RED, NIR = range(4)


def read(root: Path, bands: tuple[int, ...], names: tuple[str | None, ...], wanted: str = "", **written: Any) -> Any:
    """The image as a run with the wanted bands reads it, and as it was made."""
    image, mask = snowy(1, unobserved=False)
    files = (
        write_tile(root / "s", TILE, image[list(bands)], descriptions=names, **written),
        write_tile(root / "c", TILE, mask, nodata=255),
    )
    override = [f"data.bands={wanted}"] if wanted else []
    return PairReader.of(config(*override).data)(pair_of(*files, TILE)).image, image


@pytest.mark.parametrize(
    "names",
    [("R", "G", "B", "N"), ("Red", "GREEN", "blue", "NIR"), ("red", "green", "blue", "near-infrared"),
     ("RED ", "Green", "Blue", "Near Infrared")],
)  # fmt: skip
def test_red_is_red_in_whatever_order_and_spelling_the_file_has_it(tmp_path: Path, names: tuple[str, ...]) -> None:
    found, image = read(tmp_path, (RED, GREEN, BLUE, NIR), names)
    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("wanted", ["[BLUE,GREEN,RED,NIR]", "[B,g,R,N]", "[Blue,Green,Red,near_infrared]"])
def test_the_configs_spelling_does_not_matter_either(tmp_path: Path, wanted: str) -> None:
    found, image = read(tmp_path, (RED, GREEN, BLUE, NIR), ("red", "green", "blue", "nir"), wanted)
    np.testing.assert_array_equal(found, image)
    assert config(f"data.bands={wanted}").data.bands == list(BANDS)  # and makes no other run


def test_two_spellings_of_one_band_are_that_band_twice() -> None:
    with pytest.raises(ConfigError, match="bands names a band twice"):
        config("data.bands=[red,R,green,blue]")
    with pytest.raises(ConfigError, match="names no band"):
        config("data.bands=[red,alpha]")


@pytest.mark.parametrize(
    ("names", "text"),
    [(("red", "green", "blue", None), r"red, green, blue, \(no name\), and data\.bands names nir"),
     (("red", "green", "blue", "swir"), "red, green, blue, swir, and data.bands names nir"),
     (("B2", "B3", "B4", "B8"), "b2, b3, b4, b8, and data.bands names blue, green, red, nir"),
     (("red", "Red", "blue", "nir", "green"), "red, red, blue, nir, green: name only one of them red")],
)  # fmt: skip
def test_bands_that_the_file_calls_otherwise_are_refused_and_not_guessed(
    tmp_path: Path, names: tuple[str | None, ...], text: str
) -> None:
    with pytest.raises(WrongBands, match=rf"s/15/5500/12600\.tif says that its bands are {text}"):
        read(tmp_path, (RED, GREEN, BLUE, NIR, GREEN)[: len(names)], names)


def test_names_that_only_count_say_nothing(tmp_path: Path) -> None:
    found, image = read(tmp_path, (BLUE, GREEN, RED, NIR), ("Band 1", "Band 2", "band_3", "4"))
    np.testing.assert_array_equal(found, image)


def test_each_file_is_read_by_its_own_names(tmp_path: Path) -> None:
    one, image = read(tmp_path / "one", (RED, GREEN, BLUE, NIR), ("R", "G", "B", "NIR"))
    other, _ = read(tmp_path / "other", (NIR, RED, GREEN, BLUE), ("nir", "red", "green", "blue"))
    np.testing.assert_array_equal(one, image)
    np.testing.assert_array_equal(other, image)


def test_colours_are_names_where_there_are_no_others(tmp_path: Path) -> None:
    found, image = read(tmp_path, (RED, GREEN, BLUE), (), "[blue,green,red]", photometric="RGB")
    np.testing.assert_array_equal(found, image[:3])


def test_a_fourth_band_that_gdal_takes_for_alpha_is_refused_and_a_name_settles_it(tmp_path: Path) -> None:
    image, mask = snowy(1, unobserved=False)
    small = (image // 256 + 1).astype(np.uint8)  # of four bands of 8 bits GDAL makes red, green, blue and alpha
    collect = write_tile(tmp_path / "c", TILE, mask, nodata=255)
    reader = PairReader(BANDS, 0)
    with pytest.raises(WrongBands, match="its bands are red, green, blue, alpha, and data.bands names nir"):
        reader(pair_of(write_tile(tmp_path / "s", TILE, small), collect, TILE))
    named = write_tile(tmp_path / "s", TILE, small, descriptions=BANDS)
    raw = reader(pair_of(named, collect, TILE))
    np.testing.assert_array_equal(raw.image, small)
    with rasterio.open(named) as file:
        assert file.colorinterp[3] is ColorInterp.alpha  # which its name overrules
