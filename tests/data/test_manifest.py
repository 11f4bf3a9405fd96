import shutil
from pathlib import Path

import pytest

from snowcover.data.config import Source
from snowcover.data.manifest import BadManifest, Manifest, NoTiles, Unmatched, from_csv, manifest
from snowcover.data.tiles import Tile
from tests.making import config, snowy, sources, write_tile
from tests.servers import Bucket


def listed(root: Path | str, *overrides: str) -> Manifest:
    return manifest(config("data=tiles", sources(root), *overrides).data)


def upload(root: Path, s3: Bucket, prefix: str = "") -> str:
    for file in sorted(root.rglob("*.tif")):
        s3.put(f"{prefix}{file.relative_to(root)}", file.read_bytes())
    return f"{s3.uri}/{prefix}".rstrip("/")


def test_every_image_is_paired_with_the_mask_of_its_ground(site: Path) -> None:
    found = listed(site)
    assert len(found.pairs) == 32
    assert {pair.scene for pair in found.pairs} == {"20180528_a", "20180528_b"}
    for pair in found.pairs:
        assert pair.image == str(site / "scenes" / pair.scene / f"{pair.z}/{pair.x}/{pair.y}.tif")
        assert pair.mask == str(site / "masks/ASO_20180528" / f"{pair.z}/{pair.x}/{pair.y}.tif")
        assert pair.image_bytes == Path(pair.image).stat().st_size
        assert (pair.collect, pair.date) == ("ASO_20180528", "20180528")


def test_a_folder_and_its_copy_in_s3_have_one_digest(site: Path, s3: Bucket) -> None:
    there = listed(upload(site, s3))
    here = listed(site)
    assert there.digest == here.digest
    assert [p.name for p in there.pairs] == [p.name for p in here.pairs]
    assert there.pairs[0].image.startswith("s3://")


def test_a_tile_of_another_size_changes_the_digest(site: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(site, copy)
    assert listed(copy).digest == listed(site).digest
    write_tile(copy / "scenes/20180528_a", Tile(15, 5500, 12600), snowy(77)[0])
    assert listed(copy).digest != listed(site).digest


def test_a_manifest_file_gives_the_same_pairs_without_listing(site: Path, tmp_path: Path) -> None:
    found = listed(site)
    file = tmp_path / "manifest.csv"
    file.write_text(found.to_csv())
    again = manifest(config("data=tiles", f"data.manifest={file}").data)
    assert again.pairs == found.pairs
    assert again.digest == found.digest


def test_a_manifest_that_lists_a_pair_twice_or_is_no_text_is_refused(site: Path, tmp_path: Path) -> None:
    file = tmp_path / "manifest.csv"
    text = listed(site).to_csv()
    for content in ((text + text.splitlines()[1] + "\n").encode(), b"\xff\xfe\x00"):
        file.write_bytes(content)
        with pytest.raises(
            BadManifest, match=r"manifest\.csv is not a manifest: it (lists a pair of tiles twice|is no text)"
        ):
            manifest(config("data=tiles", f"data.manifest={file}").data)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "scene,z,x,y,collect,date,image,mask,image_bytes,mask_bytes\n"])
def test_what_is_no_manifest_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadManifest, match=r"there\.csv is"):
        from_csv(text, "there.csv")


def test_a_pattern_matches_whole_names_only(site: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(site, copy)
    shutil.copytree(copy / "scenes/20180528_a", copy / "scenes/20180528_a_old")
    data = config("data=tiles", sources(copy)).data
    exact = data.model_copy(
        update={"sources": [Source(scenes=f"{copy}/scenes/20180528_[ab]", collect=f"{copy}/masks/ASO_20180528")]}
    )
    assert {pair.scene for pair in manifest(exact).pairs} == {"20180528_a", "20180528_b"}
    plain = data.model_copy(
        update={"sources": [Source(scenes=f"{copy}/scenes/20180528_a", collect=f"{copy}/masks/ASO_20180528/")]}
    )
    assert {pair.scene for pair in manifest(plain).pairs} == {"20180528_a"}


def test_what_has_no_partner_is_left_out_and_named(site: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(site, copy)
    lone_image = write_tile(copy / "scenes/20180528_a", Tile(15, 1, 1), snowy(1)[0])
    lone_mask = write_tile(copy / "masks/ASO_20180528", Tile(15, 2, 2), snowy(1)[1], nodata=255)
    found = listed(copy)
    assert found.images_without_mask == (str(lone_image),)
    assert found.masks_without_image == (str(lone_mask),)
    with pytest.raises(Unmatched, match=r"1 image \(.*15/1/1\.tif\) without a mask"):
        listed(copy, "data.unmatched=error")


def test_nothing_there_says_what_should_be_there(site: Path, tmp_path: Path) -> None:
    with pytest.raises(NoTiles, match=r"No mask tiles under .*/masks/ASO_20180528/"):
        listed(tmp_path)
    (tmp_path / "scenes").mkdir()
    shutil.copytree(site / "masks", tmp_path / "masks")
    with pytest.raises(NoTiles, match=r"No image tiles under .*/scenes/\*/"):
        listed(tmp_path)
    write_tile(tmp_path / "scenes/other", Tile(12, 1, 1), snowy(1)[0])
    with pytest.raises(NoTiles, match=r"image zooms 12, mask zooms 15"):
        listed(tmp_path)


def test_a_scene_in_two_sources_is_refused(site: Path) -> None:
    source = f'{{scenes: "{site}/scenes/*", collect: "{site}/masks/ASO_20180528"}}'
    with pytest.raises(NoTiles, match="twice with the same mask"):
        manifest(config("data=tiles", f"data.sources=[{source},{source}]").data)


@pytest.mark.parametrize(("date", "days"), [("20180701", 34), ("20180529", None), ("no date", None)])
def test_scenes_of_another_date_are_warned_of(site: Path, tmp_path: Path, date: str, days: int | None) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(site, copy)
    (copy / "scenes/20180528_b").rename(copy / f"scenes/{date}_b")
    notes = listed(copy).notes
    if days is None:
        assert notes == ()
    else:
        text = f"1 scene ({date}_b: {days} days) of another time than their masks, ASO_20180528: "
        assert notes == (f"{text}snow may have come or gone.",)


def test_two_scenes_of_one_name_on_one_ground_are_refused(site: Path, tmp_path: Path) -> None:
    shutil.copytree(site / "scenes/20180528_a", tmp_path / "copy/20180528_a")
    scenes = f'["{site}/scenes/*", "{tmp_path}/copy/*"]'
    data = config("data=tiles", f'data.sources=[{{scenes: {scenes}, collect: "{site}/masks/ASO_20180528"}}]').data
    with pytest.raises(NoTiles, match="are one tile of scenes of one name: leave one of them out"):
        manifest(data)


def test_listing_asks_once_a_prefix(site: Path, s3: Bucket, s3_proxy) -> None:
    root = upload(site, s3)
    proxy = s3_proxy()
    assert len(listed(root).pairs) == 32
    assert proxy.count("GET") <= 3
