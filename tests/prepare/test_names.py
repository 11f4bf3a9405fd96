"""What the bands of a scene are called, and which scenes go together."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snowcover.data.bands import canonical
from snowcover.prepare.names import ContradictedBands, true_colour
from snowcover.prepare.scene import MixedScales, UnknownBands, WrongType
from tests.prepare.command import prepare
from tests.prepare.cutting import first_tile, scene_job
from tests.prepare.rasters import imagery, write_raster

PLANET = "20180528_181110_1025_3B_AnalyticMS_SR_clip.tif"
OURS = ("blue", "green", "red", "nir")
RGBN = ("red", "green", "blue", "nir")
GIVEN = "bands=[blue,green,red,nir]"


def scene(path: Path, bands: int = 4, **options: Any) -> Path:
    return write_raster(path, (imagery(90) | 1)[:bands], **options)


NAMED: dict[str, tuple[dict[str, Any], tuple[str, ...], tuple[str, ...]]] = {
    "none": ({}, (), OURS),
    "letters": ({"names": ("R", "G", "B", "N")}, (), RGBN),
    "capitals": ({"names": ("BLUE", "Green", "Red", "NIR")}, (), OURS),
    "words_around": ({"names": ("Band 1 (Red)", "Green (545 nm)", "blue", "near-infrared")}, (), RGBN),
    "counted": ({"names": ("Band 1", "Band 2", "Band 3", "Band 4")}, (), OURS),
    "colours": ({"colours": ("red", "green", "blue", "nir")}, (), RGBN),
    "a_name_beats_a_colour": ({"colours": ("red", "green", "blue", "undefined"), "names": OURS}, (), OURS),
    "given": ({}, ("bands=[red,green,blue,nir]",), RGBN),
    "given_in_capitals": ({}, ("bands=[R,G,B,NIR]",), RGBN),
    "given_as_the_file_says": ({"names": RGBN}, ("bands=[red,green,blue,nir]",), RGBN),
    "given_where_one_is_missing": ({"names": ("red", "green", "blue", None)}, ("bands=[red,green,blue,nir]",), RGBN),
    "given_for_numbers": ({"names": ("B2", "B3", "B4", "B8")}, ("bands=[blue,green,red,nir]",), OURS),
    "other_names": ({"names": ("B2", "B3", "B4", "B8")}, (), ("b2", "b3", "b4", "b8")),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_bands_named_by_the_file_or_the_user_get_canonical_names(name: str, tmp_path: Path) -> None:
    options, overrides, expected = NAMED[name]
    with first_tile(scene_job(scene(tmp_path / "scene.tif", **options), *overrides)) as file:
        assert file.descriptions == expected


def test_the_colours_of_a_planet_product_do_not_reorder_its_bands(tmp_path: Path) -> None:
    """Planet's own four-band files are blue, green, red, nir, and say red, green, blue, undefined."""
    path = scene(tmp_path / PLANET, colours=("red", "green", "blue", "undefined"))
    assert scene_job(path).render.tags.names == OURS
    assert scene_job(path).render.shown == (2, 1, 0)


CONTRADICTED: dict[str, tuple[dict[str, Any], tuple[str, ...], str]] = {
    "order": ({"names": RGBN}, (GIVEN,), "calls its bands red, green, blue, nir, but bands calls number 1 blue"),
    "letters": ({"names": ("R", "G", "B", "N")}, (GIVEN,), "bands calls number 1 blue"),
    "colours": ({"colours": RGBN}, (GIVEN,), "bands calls number 1 blue"),
    "twice": ({"names": ("red", "red", "blue", "nir")}, (), "two bands called red"),
    "given_twice": ({}, ("bands=[red,red,blue,nir]",), "two bands called red"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTRADICTED)
def test_names_that_contradict_the_file_are_refused(name: str, tmp_path: Path) -> None:
    options, overrides, message = CONTRADICTED[name]
    with pytest.raises(ContradictedBands, match=rf"scene\.tif .*{message}.*rio edit-info"):
        scene_job(scene(tmp_path / "scene.tif", **options), *overrides)


UNKNOWN: dict[str, tuple[dict[str, Any], tuple[str, ...], str]] = {
    "one_missing": ({"names": (*OURS[:3], None)}, (), r"only some of its bands \(blue, green, red, no name\)"),
    "three_colours": ({"colours": ("red", "green", "blue", "undefined")}, (), "only some of its bands"),
    "too_few_given": ({}, ("bands=[red,green,blue]",), "has 4 bands, bands names 3"),
    "not_four": ({"bands": 3}, (), r"has 3 bands without names: .*bands=\[\.\.\.\]"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN)
def test_bands_without_names_are_never_named_by_their_order(name: str, tmp_path: Path) -> None:
    options, overrides, message = UNKNOWN[name]
    with pytest.raises(UnknownBands, match=message):
        scene_job(scene(tmp_path / "scene.tif", **options), *overrides)


def test_true_colour_goes_by_names() -> None:
    assert true_colour(RGBN) == (0, 1, 2)
    assert true_colour(("nir", *OURS)) == (3, 2, 1)


def test_brackets_that_say_nothing_are_not_a_name() -> None:
    assert [canonical(text) for text in ("Band 2 (Uint8)", "Blue [450-515]", "Band 3 [nir]")] == ["", "blue", "nir"]


def test_scale_and_offset_stay_with_the_numbers(tmp_path: Path) -> None:
    path = scene(tmp_path / "scene.tif", nodata=0, scale=2.75e-5, offset=-0.2)
    with first_tile(scene_job(path)) as file:
        assert (file.scales, file.offsets) == ((2.75e-5,) * 4, (-0.2,) * 4)
    with first_tile(scene_job(scene(tmp_path / "plain.tif"))) as file:
        assert (file.scales, file.offsets) == ((1,) * 4, (0,) * 4)


METADATA = "".join(
    f"<bandSpecificMetadata><bandNumber>{band}</bandNumber><reflectanceCoefficient>2e-5</reflectanceCoefficient>"
    "</bandSpecificMetadata>"
    for band in (1, 2, 3, 4)
)


def test_a_scale_of_radiance_is_not_kept_for_reflectance(tmp_path: Path) -> None:
    path = scene(tmp_path / "20180528_1_a_3B_AnalyticMS.tif", scale=0.01)
    path.with_name("20180528_1_a_3B_AnalyticMS_metadata.xml").write_text(f"<a>{METADATA}</a>")
    with first_tile(scene_job(path)) as file:
        assert file.scales == (0.01,) * 4
    with first_tile(scene_job(path, "radiance=reflectance")) as file:
        assert file.scales == (1,) * 4
    write_raster(path, np.ones((4, 90, 90), np.uint8), names=OURS)
    with pytest.raises(WrongType, match="uint8 pixels, which are too small for reflectance"):
        scene_job(path, "radiance=reflectance")


def test_scenes_of_another_scale_are_refused_before_the_first_is_tiled(tmp_path: Path) -> None:
    scene(tmp_path / "in/1.tif", scale=1e-4)
    scene(tmp_path / "in/2.tif", scale=2.75e-5, offset=-0.2)
    with pytest.raises(MixedScales, match=r"2\.tif has scale 2\.75e-05 with offset -0\.2, .*1\.tif has scale 0\.0001"):
        prepare(f"scenes={tmp_path}/in/*.tif", f"out={tmp_path}/out", "zoom=14", "tile_size=64")
    assert not (tmp_path / "out").exists()
    scene(tmp_path / "in/2.tif", scale=1e-4)
    prepare(f"scenes={tmp_path}/in/*.tif", f"out={tmp_path}/out", "zoom=17", "tile_size=64", "dry_run=true")
