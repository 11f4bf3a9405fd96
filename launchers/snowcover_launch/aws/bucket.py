"""The project's objects in S3."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.exceptions import ClientError

from snowcover.errors import first_line
from snowcover_launch.aws.errors import NotFound, ObjectExists, OtherRegion, Unreachable, aws_errors
from snowcover_launch.aws.session import Account

CONFLICT_ATTEMPTS, CONFLICT_PAUSE_S = 5, 0.2


@dataclass(frozen=True)
class StoredObject:
    """An object, from a listing."""

    uri: str
    size: int
    etag: str
    """changes with the content"""
    modified: datetime


def put_new(account: Account, uri: str, content: bytes) -> None:
    """Write an object that does not exist yet; never overwrites. Writing the same content again has no effect.

    If several write to one uri at once, one succeeds; the content shows which one.

    Raises:
        ObjectExists: it exists with other content, which the error carries.
    """
    while not _put_if(account, uri, content, IfNoneMatch="*"):
        found = read(account, uri)
        if found == content:  # our own: a response was lost, and botocore retried
            return
        if found is not None:  # else it was deleted meanwhile
            raise ObjectExists(f"{uri} already exists with other content: start the command again.", found)


def refuse_other_region(account: Account, bucket: str) -> None:
    """Check that jobs can read the bucket, before one is paid for that cannot.

    Raises:
        OtherRegion: it is not in the account's region.
        NotFound: there is no such bucket.
    """
    try:
        with aws_errors(f"check the bucket {bucket}", account):
            # boto3 follows a bucket to another region; SageMaker does not.
            answer = account.client("s3").head_bucket(Bucket=bucket)
    except NotFound as error:
        raise NotFound(f"There is no bucket {bucket}: check aws.bucket (SNOWCOVER_BUCKET).") from error
    found = answer.get("BucketRegion") or account.region
    if found != account.region:
        raise OtherRegion(
            f"The bucket {bucket} is in {found} and the jobs would run in {account.region}, where SageMaker cannot "
            f"read it: set AWS_REGION={found}, or aws.bucket to one in {account.region}."
        )


def folders(account: Account, uri: str) -> list[str]:
    """Names of the folders directly below s3://bucket/folder."""
    bucket, key = _split(uri)
    with aws_errors(f"list {uri}/", account):
        pages = account.client("s3").get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=bucket, Prefix=f"{key}/", Delimiter="/")
        entries = [entry["Prefix"] for page in found for entry in page.get("CommonPrefixes", [])]
    return [entry.rstrip("/").rpartition("/")[2] for entry in entries]


def objects(account: Account, uri: str, excluded_folder: str = "") -> Iterator[StoredObject]:
    """Every object below the folder s3://bucket/folder, by name: one request per 1,000.

    Args:
        leaving_out: `/name/`: folders of this name, at any depth, are not listed; each counts as one object of the
            request.
    """
    return objects_beginning(account, f"{uri.rstrip('/')}/", excluded_folder)


def objects_beginning(account: Account, prefix: str, excluded_folder: str = "") -> Iterator[StoredObject]:
    """Every object whose uri begins with `prefix`, which may end in the middle of a name."""
    bucket, key = _split(prefix)
    options = {"Delimiter": excluded_folder} if excluded_folder else {}
    with aws_errors(f"list {prefix}", account):
        for page in (
            account.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key, **options)
        ):
            for entry in page.get("Contents", []):
                yield StoredObject(
                    f"s3://{bucket}/{entry['Key']}", entry["Size"], entry["ETag"].strip('"'), entry["LastModified"]
                )


def read(account: Account, uri: str) -> bytes | None:
    """The content of a small object; None if it does not exist."""
    bucket, key = _split(uri)
    try:
        with aws_errors(f"read {uri}", account):
            content: bytes = account.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    except NotFound:
        return None
    return content


def download(account: Account, uri: str, path: Path) -> bool:
    """Download an object to a file, atomically; False if it does not exist."""
    bucket, key = _split(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with aws_errors(f"fetch {uri}", account):
            account.client("s3").download_file(bucket, key, str(path))  # to a temporary name, then renames
    except NotFound:
        return False
    except Boto3Error as error:  # the connection kept breaking in the middle of the file
        raise Unreachable(f"{uri} cannot be fetched ({first_line(error)}): start the command again.") from error
    return True


def _put_if(account: Account, uri: str, content: bytes, **condition: Any) -> bool:
    """Write an object if the condition holds; returns whether it did.

    S3 answers all but one of simultaneous writes with a conflict, which says nothing about the condition.
    """
    bucket, key = _split(uri)
    for attempt in range(CONFLICT_ATTEMPTS):
        with aws_errors(f"write {uri}", account):
            try:
                account.client("s3").put_object(Bucket=bucket, Key=key, Body=content, **condition)
                return True
            except ClientError as error:
                code = error.response.get("Error", {}).get("Code")
                if code == "PreconditionFailed":
                    return False
                if code != "ConditionalRequestConflict":
                    raise
        time.sleep(CONFLICT_PAUSE_S * attempt)
    raise Unreachable(f"Others keep writing {uri} at the same time: start the command again.")


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
