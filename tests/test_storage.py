"""What holds for folders and for S3 alike, what is peculiar to folders, and the cache."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snowcover import storage
from snowcover.storage import File, local, s3
from snowcover.storage.cache import Cache
from tests.servers import Bucket, Proxy

NAMES = st.text(alphabet="ab2-_. é雪%+", min_size=1, max_size=4).filter(lambda name: name.strip("."))
KEYS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


@pytest.fixture(params=["folder", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place to keep files in: a folder, and a bucket of a real server."""
    return str(tmp_path / "root") if request.param == "folder" else request.getfixturevalue("s3").uri


def test_what_is_written_is_listed_and_read(root: str) -> None:
    storage.write(f"{root}/scene/15/1/2.tif", b"old")
    storage.write(f"{root}/scene/15/1/2.tif", b"content")
    assert storage.list_files(f"{root}/") == [File(f"{root}/scene/15/1/2.tif", 7)]
    assert storage.read(f"{root}/scene/15/1/2.tif") == b"content"


def test_of_several_that_create_a_file_one_does_and_nothing_is_overwritten(root: str) -> None:
    uri = f"{root}/exp/result.json"

    def created(number: int) -> bool:
        try:
            storage.create(uri, b"%d" % number)
        except storage.FileExists:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(created, range(4)))
    assert sum(done) == 1
    storage.create(uri, b"%d" % done.index(True))  # an answer was lost, and it is asked again
    assert storage.read(uri) == b"%d" % done.index(True)
    assert [file.uri for file in storage.list_files(f"{root}/")] == [uri]


def test_a_prefix_may_end_in_the_middle_of_a_name_and_may_be_a_whole_one(root: str) -> None:
    for name in ("2018052", "20180528_a/15/1/2.tif", "20180528_b/15/1/2.tif", "2018053_c/15/1/2.tif"):
        storage.write(f"{root}/{name}", b"")
    assert [file.uri for file in storage.list_files(f"{root}/2018052")] == [
        f"{root}/2018052",
        f"{root}/20180528_a/15/1/2.tif",
        f"{root}/20180528_b/15/1/2.tif",
    ]
    assert storage.list_files(f"{root}/20180528_a/15/1/2.tif.aux") == []
    assert storage.list_files(f"{root}/nothing/here") == []


def test_a_missing_file_is_named(root: str) -> None:
    storage.write(f"{root}/there", b"")
    with pytest.raises(storage.MissingFile, match=f"^{root}/not there cannot be read because it does not exist"):
        storage.read(f"{root}/not there")
    with pytest.raises(storage.MissingFile, match="not there"):
        storage.download(f"{root}/not there", "unused")
    with pytest.raises(storage.MissingFile, match="no such source"):
        storage.upload("no such source", f"{root}/target")
    assert storage.list_files(f"{root}/target") == []
    assert not Path("unused").exists()


@pytest.mark.parametrize("size", [0, 1, 5 << 20, (11 << 20) + 1])
def test_large_files_go_and_come_whole(root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(s3, "PART_BYTES", 5 << 20)
    content = os.urandom(size)
    (tmp_path / "model").write_bytes(content)
    storage.upload(str(tmp_path / "model"), f"{root}/run/last.ckpt")
    storage.download(f"{root}/run/last.ckpt", str(tmp_path / "deep" / "copy"))
    assert storage.list_files(f"{root}/run/") == [File(f"{root}/run/last.ckpt", size)]
    assert (tmp_path / "deep" / "copy").read_bytes() == content
    assert os.listdir(tmp_path / "deep") == ["copy"]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=st.sets(KEYS, max_size=8), prefix=KEYS | st.just(""))
def test_a_folder_lists_exactly_the_names_that_begin_so(tmp_path: Path, keys: set[str], prefix: str) -> None:
    shutil.rmtree(tmp_path / "root", ignore_errors=True)
    files = [key for key in keys if not any(other.startswith(key + "/") for other in keys)]
    for key in files:
        storage.write(f"{tmp_path}/root/{key}", key.encode())
    listed = storage.list_files(f"{tmp_path}/root/{prefix}")
    expected = sorted(key for key in files if key.startswith(prefix))
    assert listed == [File(f"{tmp_path}/root/{key}", len(key.encode())) for key in expected]


@pytest.mark.parametrize("form", ["images/", "./images/", "../{here}/images/", "{folder}/images/", "im"])
def test_uris_come_back_in_the_form_of_the_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.chdir(tmp_path)
    storage.write("images/15/1/2.tif", b"x")
    prefix = form.format(here=tmp_path.name, folder=tmp_path)
    whole = prefix if prefix.endswith("/") else "images/"
    assert storage.list_files(prefix) == [File(f"{whole}15/1/2.tif", 1)]
    assert storage.read(f"{whole}15/1/2.tif") == b"x"


def test_a_file_being_written_is_not_there_yet(tmp_path: Path) -> None:
    with local.atomically(str(tmp_path / "file")) as file:
        file.write(b"half")
        file.flush()
        assert len(os.listdir(tmp_path)) == 1
        assert storage.list_files(f"{tmp_path}/") == []
    assert storage.list_files(f"{tmp_path}/") == [File(f"{tmp_path}/file", 4)]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.write(f"{tmp_path}/file", b"old")

    def full(_: int) -> None:  # where many file systems first say so
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(storage.DiskFull, match=f"^{tmp_path}/file cannot be written because the disk is full"):
        storage.write(f"{tmp_path}/file", b"new")
    assert os.listdir(tmp_path) == ["file"]
    assert storage.read(f"{tmp_path}/file") == b"old"


@pytest.fixture
def foreign_folder() -> Iterator[str]:
    """A folder with one file, whose owner lets us neither write to it nor read the file."""
    folder = tempfile.mkdtemp()  # not tmp_path, which only its owner may enter
    Path(folder, "secret").touch(mode=0o200)
    os.chmod(folder, 0o555)
    am_root = os.geteuid() == 0  # to whom permissions mean nothing
    if am_root:
        os.seteuid(65534)
    yield folder
    if am_root:
        os.seteuid(0)
    os.chmod(folder, 0o755)
    shutil.rmtree(folder)


def test_a_read_only_folder_and_an_unreadable_file_are_named(foreign_folder: str) -> None:
    with pytest.raises(storage.AccessDenied, match=f"{foreign_folder}/file cannot be written .*denied"):
        storage.write(f"{foreign_folder}/file", b"")
    with pytest.raises(storage.AccessDenied, match=f"{foreign_folder}/secret cannot be read .*denied"):
        storage.read(f"{foreign_folder}/secret")


def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    storage.write(f"{tmp_path}/file", b"")
    for path in (f"{tmp_path}/file/below", str(tmp_path)):
        with pytest.raises(storage.StorageError, match=f"^{path} cannot be written"):
            storage.write(path, b"")
    assert os.listdir(tmp_path) == ["file"]


def test_links_are_followed_but_not_in_a_circle(tmp_path: Path) -> None:
    storage.write(f"{tmp_path}/scene/1.tif", b"")
    (tmp_path / "scene" / "up").symlink_to(tmp_path)
    (tmp_path / "again").symlink_to(tmp_path / "scene")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    names = [file.uri.removeprefix(f"{tmp_path}/") for file in storage.list_files(f"{tmp_path}/")]
    assert names == ["again/1.tif", "scene/1.tif"]


@pytest.mark.parametrize("uri", ["gs://bucket/file", "https://example.org/file", "s3:///file"])
def test_what_is_neither_s3_nor_a_path_is_refused(uri: str) -> None:
    with pytest.raises(storage.StorageError, match=f"^{uri} .*: write s3://bucket/"):
        storage.read(uri)


def test_a_folder_is_read_without_loading_the_aws_library() -> None:
    program = f"import sys; from snowcover import storage; storage.read({__file__!r}); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout.split()
    assert b"obstore" in loaded
    assert not {b"botocore", b"boto3"} & set(loaded)


def test_a_cached_tile_is_asked_for_once(s3: Bucket, s3_proxy: Callable[..., Proxy], tmp_path: Path) -> None:
    s3.put("tile", b"content")
    proxy = s3_proxy()
    file = File(f"{s3.uri}/tile", 7)
    assert [Cache(str(tmp_path / "cache")).read(file) for _ in range(3)] == [b"content"] * 3
    assert proxy.count("GET") == 1


def test_a_truncated_or_damaged_cached_tile_is_read_again(s3: Bucket, tmp_path: Path) -> None:
    s3.put("tile", b"content")
    cache, file = Cache(str(tmp_path)), File(f"{s3.uri}/tile", 7)
    cache.read(file)
    (kept,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    whole = kept.read_bytes()
    for damaged in (whole[:4], b"C" + whole[1:], b""):
        kept.write_bytes(damaged)
        assert cache.read(file) == b"content"
        assert kept.read_bytes() == whole


def test_an_object_replaced_by_one_of_another_size_is_not_served_from_the_cache(s3: Bucket, tmp_path: Path) -> None:
    cache = Cache(str(tmp_path))
    for content in (b"content", b"other content"):
        s3.put("tile", content)
        assert cache.read(*storage.list_files(f"{s3.uri}/tile")) == content
    for _ in range(2):
        with pytest.raises(storage.FileChanged, match="tile has 13 bytes where 1 were listed"):
            cache.read(File(f"{s3.uri}/tile", 1))


def test_a_file_of_another_size_than_listed_is_reported(root: str) -> None:
    storage.write(f"{root}/tile", b"content")
    assert storage.read(f"{root}/tile", 7) == b"content"
    with pytest.raises(storage.FileChanged, match=f"^{root}/tile has 7 bytes where 9 were listed"):
        storage.read(f"{root}/tile", 9)


def test_an_empty_file_is_read_and_copied(root: str, tmp_path: Path) -> None:
    storage.write(f"{root}/empty", b"")
    assert storage.read(f"{root}/empty", 0) == b""
    storage.download(f"{root}/empty", str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == b""


def test_a_file_that_is_written_to_while_it_is_copied_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "last.ckpt"
    source.write_bytes(b"a" * 10)
    monkeypatch.setattr(local, "COPY_BYTES", 4)
    copying = local.atomically

    @contextmanager
    def grown(path: str) -> Iterator[BinaryIO]:
        with copying(path) as file:
            with source.open("ab") as other:
                other.write(b"b")
            yield file

    monkeypatch.setattr(local, "atomically", grown)
    with pytest.raises(storage.FileChanged, match="changed meanwhile"):
        storage.download(str(source), str(tmp_path / "copy"))
    assert not (tmp_path / "copy").exists()


def test_many_threads_share_a_cache(s3: Bucket, tmp_path: Path) -> None:
    content = {f"{s3.uri}/{i}": os.urandom(100_000) for i in range(4)}
    for uri, tile in content.items():
        storage.write(uri, tile)
    files = [File(uri, len(tile)) for uri, tile in content.items()] * 8
    caches = [Cache(str(tmp_path)) for _ in files]
    with ThreadPoolExecutor(8) as threads:
        read = list(threads.map(Cache.read, caches, files))
    assert read == [content[file.uri] for file in files]
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 4


def test_a_cache_lies_on_this_machine_and_keeps_no_local_files(tmp_path: Path) -> None:
    with pytest.raises(storage.StorageError, match="s3://bucket/cache cannot be a cache"):
        Cache("s3://bucket/cache")
    storage.write(f"{tmp_path}/tile", b"content")
    assert Cache(str(tmp_path / "cache")).read(File(f"{tmp_path}/tile", 7)) == b"content"
    assert not (tmp_path / "cache").exists()
