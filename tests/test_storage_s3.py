"""S3 through a real server: exact listings, few requests, what passes is retried, what stays is named."""

import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snowcover import storage
from snowcover.storage import File, s3_connection
from snowcover.storage import s3 as storage_s3
from tests.servers import Bucket, Fault, Proxy, Request, Server

StartProxy = Callable[..., Proxy]
NAMES = st.text(alphabet="ab2-_. é雪%+", min_size=1, max_size=4).filter(lambda name: name.strip("."))
KEYS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries as ever, but for part of a second instead of a minute."""
    monkeypatch.setattr(s3_connection, "RETRY_FOR_S", 0.3)
    monkeypatch.setattr(s3_connection, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(s3_connection, "LIST_ATTEMPTS", 2)


def error_message(failure: pytest.ExceptionInfo[storage.StorageError]) -> str:
    """The message, after a look that it is one sentence with a way out."""
    text = str(failure.value)
    assert not set("\n<>") & set(text)
    assert ": " in text
    assert len(text) < 400
    return text


def first(count: int, fault: Fault) -> Callable[[Request], Fault | None]:
    """A proxy's schedule: the first `count` requests fail, the others go through."""
    return lambda request: fault if request.number < count else None


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=st.sets(KEYS, min_size=1, max_size=8), data=st.data())
def test_a_listing_has_exactly_the_keys_that_begin_so(s3: Bucket, keys: set[str], data: st.DataObject) -> None:
    s3.empty()
    for key in keys:
        storage.write(f"{s3.uri}/{key}", key.encode())
    some_key = data.draw(st.sampled_from(sorted(keys)))
    for prefix in {"", *(some_key[:end] for end in range(1, len(some_key) + 1)), data.draw(KEYS)}:
        expected = sorted(key for key in keys if key.startswith(prefix))
        listed = storage.list_files(f"{s3.uri}/{prefix}")
        assert listed == [File(f"{s3.uri}/{key}", len(key.encode())) for key in expected], prefix
    assert [storage.read(f"{s3.uri}/{key}") for key in keys] == [key.encode() for key in keys]


def test_a_folder_marker_is_not_taken_for_a_file_of_that_name(s3: Bucket) -> None:
    s3.put("scene/")
    s3.put("scene/1.tif")
    assert [file.uri for file in storage.list_files(s3.uri)] == [f"{s3.uri}/scene/", f"{s3.uri}/scene/1.tif"]


def test_a_listing_takes_a_request_per_thousand_files_and_none_for_others(s3: Bucket, s3_proxy: StartProxy) -> None:
    folders = [f"{scene}/15/{x}" for scene in ("20180527_a", "20180528_b", "20180530_c") for x in range(22)]
    uris = [f"{s3.uri}/{folder}/{y}.tif" for folder in folders for y in range(50)]  # 1,100 a scene
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(storage.write, uris, [b""] * len(uris)))
    proxy = s3_proxy()
    assert len(storage.list_files(f"{s3.uri}/20180528")) == 1100
    assert len(proxy.requests) == 2
    assert len(storage.list_files(f"{s3.uri}/2018053")) == 1100
    assert len(proxy.requests) == 4


def test_a_read_and_a_write_are_one_request_each(s3: Bucket, s3_proxy: StartProxy) -> None:
    proxy = s3_proxy()
    storage.write(f"{s3.uri}/tile", b"x" * 2_100_000)
    storage.read(f"{s3.uri}/tile")
    assert [request.method for request in proxy.requests] == ["PUT", "GET"]


SLOW_DOWN = "<Error><Code>SlowDown</Code></Error>"
PASSING = [Fault(503), Fault(500), Fault(429, SLOW_DOWN), Fault(reset=True), Fault(truncated=True)]
SHORT = Fault(missing_bytes=100)


@pytest.mark.parametrize("fault", PASSING, ids=["503", "500", "429", "reset", "truncated"])
def test_what_passes_is_tried_again(s3: Bucket, s3_proxy: StartProxy, impatient: None, fault: Fault) -> None:
    content = os.urandom(300_000)
    s3.put("tile", content)
    proxy = s3_proxy(fail=first(2, fault))
    assert storage.read(f"{s3.uri}/tile") == content
    assert proxy.count("GET") == 3
    proxy.fail = first(len(proxy.requests) + 1, fault)
    assert storage.list_files(s3.uri) == [File(f"{s3.uri}/tile", 300_000)]
    if not fault.truncated:
        proxy.fail = first(len(proxy.requests) + 2, fault)
        storage.write(f"{s3.uri}/other", content)
        assert s3.get("other") == content


@pytest.mark.parametrize("fault", PASSING, ids=["503", "500", "429", "reset", "truncated"])
def test_what_does_not_pass_ends_in_a_message(s3: Bucket, s3_proxy: StartProxy, impatient: None, fault: Fault) -> None:
    s3.put("tile", os.urandom(300_000))
    proxy = s3_proxy(fail=lambda _: fault)
    with pytest.raises(storage.Unreachable) as failure:
        storage.read(f"{s3.uri}/tile")
    assert error_message(failure).startswith(f"{s3.uri}/tile cannot be read")
    assert proxy.count("GET") > 2
    with pytest.raises(storage.Unreachable) as failure:
        storage.list_files(f"{s3.uri}/ti")
    assert error_message(failure).startswith(f"{s3.uri}/ti cannot be listed")


@pytest.mark.parametrize("size", [101, 300_000])
def test_an_answer_cut_short_with_a_length_that_fits_is_asked_for_again(
    s3: Bucket, s3_proxy: StartProxy, impatient: None, tmp_path: Path, size: int
) -> None:
    content = os.urandom(size)
    s3.put("tile", content)
    proxy = s3_proxy(fail=first(2, SHORT))
    assert storage.read(f"{s3.uri}/tile", size) == content
    assert proxy.count("GET") == 3
    proxy.fail = first(5, SHORT)
    storage.download(f"{s3.uri}/tile", str(tmp_path / "tile"))
    assert (tmp_path / "tile").read_bytes() == content
    proxy.fail = lambda _: SHORT
    with pytest.raises(storage.Unreachable, match=f"only {size - 100} of {size} bytes come") as failure:
        storage.read(f"{s3.uri}/tile")  # though its listed size is not known
    assert error_message(failure).startswith(f"{s3.uri}/tile cannot be read")
    with pytest.raises(storage.Unreachable, match="of [0-9]+ bytes come"):
        storage.download(f"{s3.uri}/tile", str(tmp_path / "other"))
    assert not (tmp_path / "other").exists()


def test_an_object_that_shrinks_under_a_download_is_reported_as_that(
    s3: Bucket, s3_proxy: StartProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_s3, "PART_BYTES", 1 << 20)
    s3.put("last.ckpt", os.urandom(3 << 20))
    answer = Fault(416, "<Error><Code>InvalidRange</Code></Error>")
    s3_proxy(fail=lambda request: answer if request.number == 1 else None)
    with pytest.raises(storage.FileChanged, match="shorter than the server said at first") as failure:
        storage.download(f"{s3.uri}/last.ckpt", str(tmp_path / "last.ckpt"))
    assert "check the name" not in error_message(failure)
    assert os.listdir(tmp_path) == []


def test_an_interrupted_download_resumes_where_it_was(
    s3: Bucket, s3_proxy: StartProxy, impatient: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_s3, "PART_BYTES", 1 << 20)
    content = os.urandom(5 << 20)
    s3.put("last.ckpt", content)
    proxy = s3_proxy(fail=lambda request: {2: Fault(truncated=True), 4: SHORT}.get(request.number))
    storage.download(f"{s3.uri}/last.ckpt", str(tmp_path / "last.ckpt"))
    assert (tmp_path / "last.ckpt").read_bytes() == content
    assert proxy.count("GET") == 5 + 2


def test_a_download_never_mixes_two_versions(
    s3: Bucket, s3_proxy: StartProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_s3, "PART_BYTES", 1 << 20)
    s3.put("last.ckpt", os.urandom(3 << 20))
    s3_proxy(fail=lambda request: s3.put("last.ckpt", os.urandom(3 << 20)) if request.number == 2 else None)
    with pytest.raises(storage.StorageError, match="changed") as failure:
        storage.download(f"{s3.uri}/last.ckpt", str(tmp_path / "last.ckpt"))
    assert error_message(failure).startswith(f"{s3.uri}/last.ckpt")
    assert os.listdir(tmp_path) == []


def test_a_failed_upload_leaves_nothing(
    s3: Bucket, s3_proxy: StartProxy, impatient: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_s3, "PART_BYTES", 5 << 20)
    (tmp_path / "last.ckpt").write_bytes(os.urandom(11 << 20))
    s3_proxy(fail=lambda request: Fault(503) if "partNumber=2" in request.path else None)
    with pytest.raises(storage.Unreachable) as failure:
        storage.upload(str(tmp_path / "last.ckpt"), f"{s3.uri}/last.ckpt")
    assert error_message(failure).startswith(f"{s3.uri}/last.ckpt cannot be written")
    assert s3.keys() == []
    assert s3.uploads() == []


def test_a_wrong_bucket_is_named(s3: Bucket) -> None:
    actions: list[Callable[[str], object]] = [
        storage.list_files,
        storage.read,
        lambda uri: storage.write(uri, b""),
        lambda uri: storage.upload(__file__, uri),
    ]
    for action in actions:
        with pytest.raises(storage.MissingBucket) as failure:
            action("s3://no-such-bucket/scene")
        assert "there is no bucket no-such-bucket" in error_message(failure)
    with pytest.raises(storage.MissingBucket, match="there is no bucket No_Bucket"):
        storage.list_files("s3://No_Bucket/scene")


def test_a_refused_write_is_named(s3: Bucket, aws_settings: pytest.MonkeyPatch) -> None:
    s3.put("tile", b"content")
    aws_settings.setenv("AWS_ACCESS_KEY_ID", s3.server.reader_key)
    aws_settings.setenv("AWS_SECRET_ACCESS_KEY", s3.server.reader_secret)
    storage.forget_connections()
    assert storage.read(f"{s3.uri}/tile") == b"content"
    with pytest.raises(storage.AccessDenied) as failure:
        storage.write(f"{s3.uri}/tile", b"")
    assert f"{s3.uri}/tile cannot be written" in error_message(failure)


@pytest.mark.parametrize("action", [storage.read, storage.list_files])
def test_no_credentials_and_wrong_ones_are_named(
    s3: Bucket, aws_settings: pytest.MonkeyPatch, action: Callable[[str], object]
) -> None:
    aws_settings.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    storage.forget_connections()
    with pytest.raises(storage.NoCredentials, match="SignatureDoesNotMatch") as failure:
        action(f"{s3.uri}/tile")
    assert "aws sso login" in error_message(failure)
    aws_settings.delenv("AWS_ACCESS_KEY_ID")
    aws_settings.delenv("AWS_SECRET_ACCESS_KEY")
    storage.forget_connections()
    with pytest.raises(storage.NoCredentials, match="Unable to locate credentials") as failure:
        action(f"{s3.uri}/tile")
    assert f"{s3.uri}/tile" in error_message(failure)
    aws_settings.setenv("AWS_PROFILE", "nobody")
    storage.forget_connections()
    with pytest.raises(storage.NoCredentials, match="nobody") as failure:
        action(f"{s3.uri}/tile")
    error_message(failure)


@pytest.mark.parametrize("action", [storage.read, storage.list_files])
def test_a_server_that_is_not_there_is_named(
    s3: Bucket, aws_settings: pytest.MonkeyPatch, impatient: None, action: Callable[[str], object]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}"
    for endpoint in (closed, "http://no-such-host.invalid"):
        aws_settings.setenv("AWS_ENDPOINT_URL", endpoint)
        storage.forget_connections()
        with pytest.raises(storage.Unreachable) as failure:
            action(f"{s3.uri}/tile")
        assert endpoint in error_message(failure)
        assert "AWS_ENDPOINT_URL" in error_message(failure)


WRONG_REGION = [
    Fault(301, "<Error><Code>PermanentRedirect</Code></Error>", {"x-amz-bucket-region": "us-west-2"}),
    Fault(400, "<Error><Code>AuthorizationHeaderMalformed</Code><Region>us-west-2</Region></Error>"),
]


@pytest.mark.parametrize("action", [storage.read, storage.list_files])
@pytest.mark.parametrize("fault", WRONG_REGION, ids=["redirect", "malformed"])
def test_a_bucket_in_another_region_is_named(
    s3: Bucket, s3_proxy: StartProxy, action: Callable[[str], object], fault: Fault
) -> None:
    s3_proxy(fail=lambda _: fault)
    with pytest.raises(storage.OtherRegion) as failure:
        action(f"{s3.uri}/tile")
    assert "AWS_REGION" in error_message(failure)


@pytest.mark.parametrize("action", [storage.read, storage.list_files])
def test_a_clock_that_is_off_is_named_and_no_right_is_asked_for(
    s3: Bucket, s3_proxy: StartProxy, action: Callable[[str], object]
) -> None:
    s3_proxy(fail=lambda _: Fault(403, "<Error><Code>RequestTimeTooSkewed</Code></Error>"))
    with pytest.raises(storage.AccessDenied, match=r"this machine's clock is off .*: set it") as failure:
        action(f"{s3.uri}/tile")
    assert "RequestTimeTooSkewed" in error_message(failure)


def test_keys_that_obstore_would_change_are_refused(s3: Bucket) -> None:
    s3.put("tile")
    s3.put("scene/tile")
    for key in ("", "/tile", "tile/", "scene//tile", "scene/./tile", "scene/../tile"):
        with pytest.raises(storage.StorageError) as failure:
            storage.read(f"{s3.uri}/{key}")
        assert f"{s3.uri}/{key}" in error_message(failure)


def test_a_public_bucket_needs_no_credentials(s3_server: Server, aws_settings: pytest.MonkeyPatch) -> None:
    s3_server.client.create_bucket(Bucket="public")
    s3_server.client.put_object(Bucket="public", Key="tile", Body=b"content")
    aws_settings.setenv("AWS_ENDPOINT_URL_S3", s3_server.endpoint)
    aws_settings.setenv("AWS_NO_SIGN_REQUEST", "true")
    assert storage.list_files("s3://public/t") == [File("s3://public/tile", 7)]
    assert storage.read("s3://public/tile") == b"content"


def test_a_profile_says_who_and_where_and_its_expiring_credentials_are_renewed(
    s3: Bucket, aws_settings: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    s3.put("tile", b"content")
    soon = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    keys = {"AccessKeyId": s3.server.key, "SecretAccessKey": s3.server.secret}
    (tmp_path / "keys").write_text(json.dumps({"Version": 1, "Expiration": soon, **keys}))
    script = tmp_path / "keys.py"
    script.write_text(f"open({str(tmp_path / 'asked')!r}, 'a').write('x')\n"
                      f"print(open({str(tmp_path / 'keys')!r}).read())\n")  # fmt: skip
    (tmp_path / "config").write_text(
        f"[profile field]\nregion = us-east-1\nendpoint_url = {s3.server.endpoint}\n"
        f"credential_process = {sys.executable} {script}\n"
    )
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        aws_settings.delenv(name)
    aws_settings.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    aws_settings.setenv("AWS_PROFILE", "field")
    aws_settings.setattr(s3_connection, "CREDENTIALS_HOLD", timedelta(0))
    storage.forget_connections()
    assert storage.read(f"{s3.uri}/tile") == b"content"
    asked = (tmp_path / "asked").stat().st_size
    assert storage.read(f"{s3.uri}/tile") == b"content"
    assert (tmp_path / "asked").stat().st_size > asked


def test_many_threads_share_a_connection(s3: Bucket) -> None:
    uris = [f"{s3.uri}/{i}" for i in range(32)]
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(storage.write, uris, [uri.encode() for uri in uris]))
        assert list(threads.map(storage.read, uris)) == [uri.encode() for uri in uris]


def test_a_forked_process_is_refused_instead_of_waiting_for_ever(s3: Bucket) -> None:
    storage.write(f"{s3.uri}/tile", b"")
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # rather than wait for ever ourselves
        try:
            storage.read(f"{s3.uri}/tile")
        except RuntimeError as error:
            os._exit(42 if "spawn" in str(error) else 1)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
