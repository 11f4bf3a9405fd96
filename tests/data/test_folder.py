"""A folder of tiles is held against the index that prepare left in it, and holds each tile once."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from snowcover.data.folder import FolderDiffers, TileTwice
from snowcover.data.index import Entry, Index, Origin
from snowcover.data.manifest import Manifest, manifest
from snowcover.data.tiles import Tile
from tests.making import config, snowy, write_tile
from tests.servers import Bucket, Proxy

SCENE, COLLECT = "scenes/20180528_a", "masks/ASO_20180528"
ADDED = Tile(15, 1, 1)


@pytest.fixture
def copy(site: Path, tmp_path: Path) -> Path:
    """A site whose scenes and collect have complete indexes."""
    root = tmp_path / "copy"
    shutil.copytree(site, root)
    for folder in (*sorted((root / "scenes").iterdir()), root / COLLECT):
        write_index(folder, "collect" if folder.name.startswith("ASO") else "scene")
    return root


def write_index(folder: Path, kind: str, complete: bool = True) -> None:
    entries = tuple(
        Entry(path=str(file.relative_to(folder)), size_bytes=file.stat().st_size, crc32=1, observed_px=1)
        for file in sorted(folder.rglob("*.tif"))
    )
    origin = Origin(name="a.tif", size_bytes=1, crc32=1)
    index = Index(kind=kind, complete=complete, source=origin, settings={}, tiles=entries)  # type: ignore[arg-type]
    (folder / "tiles.json").write_text(index.to_json())


def listed(root: Path | str, scenes: str = "scenes/*") -> Manifest:
    source = f'{{scenes: "{root}/{scenes}", collect: "{root}/{COLLECT}"}}'
    return manifest(config("data=tiles", f"data.sources=[{source}]").data)


def add(folder: Path) -> None:
    write_tile(folder, ADDED, snowy(1)[0])


def delete(folder: Path) -> None:
    (folder / "15/5500/12600.tif").unlink()


def cut(folder: Path) -> None:
    file = folder / "15/5500/12600.tif"
    file.write_bytes(file.read_bytes()[:-400])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "text"),
    [(add, r"1 tile not in it: 15/1/1\.tif"), (delete, r"1 tile missing: 15/5500/12600\.tif"),
     (cut, r"1 tile of another size: 15/5500/12600\.tif")],
)  # fmt: skip
@pytest.mark.parametrize(("folder", "scenes"), [(SCENE, "scenes/*"), (SCENE, SCENE), (COLLECT, "scenes/*")])
def test_a_folder_that_differs_from_its_index_is_refused(
    copy: Path, folder: str, scenes: str, change: Callable[[Path], None], text: str
) -> None:
    assert listed(copy, scenes).pairs
    change(copy / folder)
    with pytest.raises(FolderDiffers, match=rf"{folder} differs from its tiles\.json \({text}\): run prepare again"):
        listed(copy, scenes)
    (copy / folder / "tiles.json").unlink()
    assert listed(copy, scenes).pairs


def test_an_incomplete_index_is_reported_and_what_is_there_is_taken(copy: Path) -> None:
    write_index(copy / COLLECT, "collect", complete=False)
    add(copy / COLLECT)
    found = listed(copy)
    assert len(found.pairs) == 32
    assert found.notes == (
        f"{copy}/{COLLECT} is not complete, by its tiles.json: run prepare again, or train on a part of its tiles.",
    )


def test_a_collect_given_as_a_scene_is_refused(copy: Path) -> None:
    with pytest.raises(FolderDiffers, match=r"ASO_20180528 is a collect, by its tiles\.json: give a scene here"):
        listed(copy, "masks/*")


def test_an_index_costs_one_request_a_folder(copy: Path, s3: Bucket, s3_proxy: Callable[..., Proxy]) -> None:
    for file in sorted(path for path in copy.rglob("*") if path.is_file()):
        s3.put(str(file.relative_to(copy)), file.read_bytes())
    proxy = s3_proxy()
    assert len(listed(s3.uri).pairs) == 32
    assert proxy.count("GET") == 2 + 3  # two listings; two scenes and a collect
    s3.put(f"{SCENE}/15/1/1.tif", b"more")
    with pytest.raises(FolderDiffers, match="1 tile not in it"):
        listed(s3.uri)


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".tiff", ".TIF", ".TIFF"])
@pytest.mark.parametrize("folder", [SCENE, COLLECT])
def test_a_tile_that_is_there_twice_is_refused(site: Path, tmp_path: Path, folder: str, ending: str) -> None:
    shutil.copytree(site, tmp_path / "copy")
    first = tmp_path / "copy" / folder / "15/5500/12600.tif"
    shutil.copy(first, first.with_suffix(ending))
    with pytest.raises(TileTwice, match=r"12600\.\w+ and .*12600\.\w+ are one tile: remove one"):
        listed(tmp_path / "copy")
    first.unlink()
    assert len(listed(tmp_path / "copy").pairs) == 32  # by any ending


def test_tiles_in_a_folder_within_a_collect_are_not_its_own(site: Path, tmp_path: Path) -> None:
    shutil.copytree(site, tmp_path / "copy")
    shutil.copytree(tmp_path / "copy" / COLLECT, tmp_path / "copy" / COLLECT / "old")
    assert {Path(pair.mask).parents[3].name for pair in listed(tmp_path / "copy").pairs} == {"masks"}


def test_a_scene_by_two_names_is_refused(site: Path, tmp_path: Path) -> None:
    shutil.copytree(site, tmp_path / "copy")
    (tmp_path / "copy/scenes/latest").symlink_to("20180528_b")
    with pytest.raises(FolderDiffers, match="20180528_b and .*latest are one folder"):
        listed(tmp_path / "copy")


def test_a_mask_in_a_file_next_to_the_tile_is_refused(site: Path, tmp_path: Path) -> None:
    shutil.copytree(site, tmp_path / "copy")
    (tmp_path / "copy" / SCENE / "15/5500/12600.tif.msk").write_bytes(b"a mask")
    with pytest.raises(FolderDiffers, match=r"12600\.tif\.msk holds a mask that is not read: put it into the tile"):
        listed(tmp_path / "copy")
