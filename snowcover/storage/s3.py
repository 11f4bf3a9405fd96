"""Files in S3 and in what speaks like it.

botocore lists, obstore carries the bytes (outside Python's lock, and faster). obstore could list too, but
takes only whole folder names as prefixes. Cutting its listing of the folder above would rest on the server's
sorting by bytes (SeaweedFS and S3 directory buckets do not), and it shows the folder marker "a/" as a file
"a". S3's own prefix is exact.
"""

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store

from snowcover.storage import errors, local, s3_connection, s3_errors

if TYPE_CHECKING:
    from obstore import GetOptions

PART_BYTES = 16 << 20  # of large objects; each part has its own retries. S3 takes parts from 5 MiB
LEAST_TRIES = 3  # of a part that comes short, however long each try takes
PARTS_IN_FLIGHT = 2  # for sending; more would let a slow line run into the silence timeout


def sizes(prefix: str) -> dict[str, int]:
    """Size in bytes of every object whose uri begins with `prefix`, by uri; see `storage.list_files`."""
    bucket, key_begins = _split(prefix)
    with _named_errors(prefix, "listed"):
        client = s3_connection.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key_begins)
        items = [item for page in pages for item in _items(page, prefix, client.meta.region_name)]
    return {f"s3://{bucket}/{item['Key']}": item["Size"] for item in items}


def _items(page: dict[str, Any], prefix: str, region: str) -> list[dict[str, Any]]:
    """A page's objects. botocore follows a bucket to its region and obstore does not: so refuse it here."""
    found = page["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region", region)
    if found != region:
        raise s3_errors.other_region(prefix, "listed", found)
    items: list[dict[str, Any]] = page.get("Contents", [])
    return items


def read(uri: str, listed_bytes: int | None = None) -> bytes:
    """The whole object, by one request where it is no larger than PART_BYTES; see `storage.read`."""
    content = b"".join(_parts(uri))
    if listed_bytes is not None and len(content) != listed_bytes:
        raise errors.other_size(uri, len(content), listed_bytes)
    return content


def write(uri: str, content: bytes) -> None:
    """Writes an object by one request, which S3 takes whole or not at all; see `storage.write`."""
    with _named_errors(uri, "written"):
        obstore.put(*_object(uri), content, use_multipart=False)


def create(uri: str, content: bytes) -> None:
    """Writes an object that is not there yet; see `storage.create`."""
    try:
        with _named_errors(uri, "written"):
            obstore.put(*_object(uri), content, use_multipart=False, mode="create")
    except errors.StorageError as error:
        if isinstance(error.__cause__, AlreadyExistsError | PreconditionError):
            raise errors.already_there(uri) from error
        raise


def delete(uri: str) -> None:
    """Removes an object; see `storage.delete`."""
    with _named_errors(uri, "removed"):
        obstore.delete(*_object(uri))


def download(uri: str, path: str) -> None:
    """Fetches an object part by part; see `storage.download`."""
    with local.atomically(path) as file:
        for part in _parts(uri):
            file.write(part)


def _parts(uri: str) -> Iterator[bytes]:
    """The object in pieces of at most PART_BYTES, all of one version of it, each as long as the server said."""
    with _named_errors(uri, "read"):
        store, key = _object(uri)
        start, size, version = 0, PART_BYTES, None
        while start < size:
            content, size, version = _part(uri, store, key, start, version)
            yield content
            start += len(content)
            if not content:  # an empty object
                return


def _part(uri: str, store: S3Store, key: str, start: int, version: str | None) -> tuple[bytes, int, str | None]:
    """A piece that begins at `start`, the size of the whole object and its version.

    Asked for as a range even where it is all of a tile: the answer then says its length twice, and one that was cut
    short with its Content-Length made to fit is found out and asked for again.
    """
    end = time.monotonic() + s3_connection.RETRY_FOR_S
    wait_s = s3_connection.FIRST_WAIT_S
    for tried in itertools.count(1):
        options: GetOptions = {"range": (start, start + PART_BYTES)}
        if version is not None:
            options["if_match"] = version
        try:
            answer = obstore.get(store, key, options=options)
            content = bytes(answer.bytes())
        except BaseError as error:
            if start > 0 or not s3_errors.is_past_the_end(error):
                raise
            answer = obstore.get(store, key)  # no range begins in an empty object
            content = bytes(answer.bytes())
        first, last = answer.range
        if len(content) == last - first:
            return content, answer.meta["size"], answer.meta["e_tag"]
        if tried >= LEAST_TRIES and time.monotonic() + wait_s > end:
            raise s3_errors.cut_short(uri, len(content), last - first)
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, s3_connection.LONGEST_WAIT_S)
    raise AssertionError


def upload(path: str, uri: str) -> None:
    """Sends a file part by part; the object appears when all have arrived; see `storage.upload`."""
    with local.opened(path) as file, _named_errors(uri, "written"):
        obstore.put(*_object(uri), file, chunk_size=PART_BYTES, max_concurrency=PARTS_IN_FLIGHT)


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not bucket:
        raise errors.StorageError(f"{uri} names no bucket: write s3://bucket/folder/file")
    return bucket, key


def _object(uri: str) -> tuple[S3Store, str]:
    bucket, key = _split(uri)
    if {"", ".", ".."} & set(key.split("/")):  # obstore would take "a/" for "a"
        raise errors.StorageError(f"{uri} names no file: write s3://bucket/folder/file, no empty parts or dots")
    return s3_connection.store(bucket), key


@contextmanager
def _named_errors(uri: str, verb: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BaseError, BotoCoreError, ClientError, FileNotFoundError, ValueError) as error:
        raise s3_errors.named(error, uri, verb) from error
