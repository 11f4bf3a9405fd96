"""What a job finds in S3 and leaves there, for jobs that a test ends itself."""

import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any

import yaml

from tests.aws.account import Account
from tests.aws.job import Job
from tests.aws.rules import split


def staged(account: Account, job: Job) -> dict[str, Any]:
    """The one YAML file of the job's input channel `config`."""
    channels = {channel["ChannelName"]: channel for channel in job.request["InputDataConfig"]}
    bucket, prefix = split(channels["config"]["DataSource"]["S3DataSource"]["S3Uri"])
    (key,) = [key for key in account.keys(bucket, prefix) if key.endswith((".yaml", ".yml"))]
    config: dict[str, Any] = yaml.safe_load(account.s3.client.get_object(Bucket=bucket, Key=key)["Body"].read())
    return config


def write_results(
    account: Account, job: Job, result: Mapping[str, Any] | None, archives: Mapping[str, Mapping[str, bytes]]
) -> None:
    """Puts the result where the staged config wants it, and the archives into the job's output."""
    if result is not None:
        _put(account, staged(account, job)["job"]["result"], json.dumps(result).encode())
    output = f"{job.request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{job.name}/output"
    for name, members in archives.items():
        _put(account, f"{output}/{name}", _archive(members))
    job.artifacts = f"{output}/model.tar.gz"


def _put(account: Account, uri: str, content: bytes) -> None:
    bucket, key = split(uri)
    account.s3.client.put_object(Bucket=bucket, Key=key, Body=content)


def _archive(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()
