"""The project's objects in S3."""

from pathlib import Path

from botocore.exceptions import ClientError

from snowcover_launch.aws.errors import NotFound, ObjectExists, OtherRegion, named
from snowcover_launch.aws.session import Account


def put_new(account: Account, uri: str, content: bytes) -> None:
    """Write an object that is not there yet; never overwrites.

    Raises:
        ObjectExists
    """
    bucket, key = _split(uri)
    client = account.client("s3")
    with named(f"write {uri}"):
        try:
            client.put_object(Bucket=bucket, Key=key, Body=content, IfNoneMatch="*")
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise
            if client.get_object(Bucket=bucket, Key=key)["Body"].read() != content:  # else our own, asked twice
                raise ObjectExists(f"{uri} is there already with other content: start the command again.") from error


def refuse_other_region(account: Account, bucket: str) -> None:
    """See that jobs can read the bucket before one is paid for that cannot.

    Raises:
        OtherRegion: it is not in the account's region.
        NotFound: there is no such bucket.
    """
    try:
        with named(f"look at the bucket {bucket}"):
            # boto3 follows a bucket to its region; SageMaker does not.
            answer = account.client("s3").head_bucket(Bucket=bucket)
    except NotFound as error:
        raise NotFound(f"There is no bucket {bucket}: check aws.bucket (SNOWCOVER_BUCKET).") from error
    found = answer.get("BucketRegion") or account.region
    if found != account.region:
        raise OtherRegion(
            f"The bucket {bucket} is in {found} and the jobs would run in {account.region}, where SageMaker reads no "
            f"bucket of elsewhere: set AWS_REGION={found}, or aws.bucket to one in {account.region}."
        )


def folders(account: Account, uri: str) -> list[str]:
    """Names of the folders directly below s3://bucket/folder."""
    bucket, key = _split(uri)
    with named(f"list {uri}/"):
        pages = account.client("s3").get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=bucket, Prefix=f"{key}/", Delimiter="/")
        entries = [entry["Prefix"] for page in found for entry in page.get("CommonPrefixes", [])]
    return [entry.rstrip("/").rpartition("/")[2] for entry in entries]


def read(account: Account, uri: str) -> bytes | None:
    """A small object; None where there is none."""
    bucket, key = _split(uri)
    try:
        with named(f"read {uri}"):
            content: bytes = account.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    except NotFound:
        return None
    return content


def download(account: Account, uri: str, path: Path) -> bool:
    """Copy an object to a file, whole or not at all; False where there is none."""
    bucket, key = _split(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with named(f"fetch {uri}"):
            account.client("s3").download_file(bucket, key, str(path))  # to a temporary name, then renames
    except NotFound:
        return False
    return True


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
