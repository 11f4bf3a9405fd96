"""A job's /opt/ml: created from its request; checkpoints are synced to S3, results archived there."""

import json
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from tests.aws.account import Account
from tests.aws.job import Job
from tests.aws.rules import split

HOST = "algo-1"
GROUP = "homogeneousCluster"
MARKERS = (".sagemaker-uploading", ".sagemaker-uploaded")  # SageMaker leaves these next to checkpoints


class Tree:
    """The folder that one attempt at a job sees as /opt/ml."""

    def __init__(self, root: Path, job: Job, account: Account) -> None:
        self.root, self.job, self.account = root, job, account
        self._synced: dict[Path, tuple[int, int]] = {}
        for folder in ("input/config", "input/data", "model", "output/data"):
            (root / folder).mkdir(parents=True)

    def lay_out(self) -> None:
        """Writes the settings and fetches input channels and checkpoints."""
        for name, content in self._settings().items():
            (self.root / "input/config" / f"{name}.json").write_text(json.dumps(content))
        for channel in self.job.request.get("InputDataConfig", []):
            self._fetch_channel(channel)
        if self.checkpoints is not None:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            self._fetch(self._checkpoint_uri, self.checkpoints)
            self._synced = {file: _state(file) for file in self._checkpoint_files()}

    def _settings(self) -> dict[str, Any]:
        request = self.job.request
        instance_type = request["ResourceConfig"]["InstanceType"]
        group = {"instance_group_name": GROUP, "instance_type": instance_type, "hosts": [HOST]}
        resources = {
            "current_host": HOST,
            "current_instance_type": instance_type,
            "current_group_name": GROUP,
            "hosts": [HOST],
            "instance_groups": [group],
            "network_interface_name": "eth0",
        }
        mode = request["AlgorithmSpecification"]["TrainingInputMode"]
        settings = {"S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
        channels = {
            channel["ChannelName"]: {"TrainingInputMode": channel.get("InputMode", mode), **settings}
            for channel in request.get("InputDataConfig", [])
        }
        return {
            "hyperparameters": request.get("HyperParameters", {}),
            "resourceconfig": resources,
            "inputdataconfig": channels,
            "checkpointconfig": request.get("CheckpointConfig", {}),
        }

    def _fetch_channel(self, channel: dict[str, Any]) -> None:
        name, uri = channel["ChannelName"], channel["DataSource"]["S3DataSource"]["S3Uri"]
        self._fetch(uri, self.root / "input/data" / name)
        (self.root / "input/data" / f"{name}-manifest").write_text(json.dumps([{"prefix": uri}]))

    def _fetch(self, uri: str, folder: Path) -> None:
        """Every object whose key begins with the prefix; as on AWS, `config` also matches `config-old`."""
        bucket, prefix = split(uri)
        parent = prefix.rpartition("/")[0]
        for key in self.account.keys(bucket, prefix):
            if not key.endswith("/"):
                inside = key.removeprefix(f"{prefix.rstrip('/')}/")
                file = folder / (inside if inside != key else key.removeprefix(f"{parent}/"))
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(self.account.role_client.get_object(Bucket=bucket, Key=key)["Body"].read())

    @property
    def checkpoints(self) -> Path | None:
        """The folder that is synced to S3, if the job has one."""
        config = self.job.request.get("CheckpointConfig")
        place = (config or {}).get("LocalPath", "/opt/ml/checkpoints")
        return self.root / Path(place).relative_to("/opt/ml") if config else None

    @property
    def _checkpoint_uri(self) -> str:
        return str(self.job.request["CheckpointConfig"]["S3Uri"]).rstrip("/") + "/"

    def _checkpoint_files(self) -> list[Path]:
        if self.checkpoints is None:
            return []
        return [file for file in self.checkpoints.rglob("*") if file.is_file() and file.suffix not in MARKERS]

    def sync(self) -> None:
        """Copies changed checkpoints to S3, complete or not; deleted ones stay in S3."""
        for file in self._checkpoint_files():
            try:
                state = _state(file)
                if self._synced.get(file) != state:
                    self._upload(file)
                    self._synced[file] = state
            except FileNotFoundError:
                pass  # renamed or deleted meanwhile

    def _upload(self, file: Path) -> None:
        assert self.checkpoints is not None
        bucket, prefix = split(self._checkpoint_uri)
        uploading, uploaded = (file.with_name(file.name + marker) for marker in MARKERS)
        uploading.touch()
        key = f"{prefix}{file.relative_to(self.checkpoints)}"
        try:
            self.account.role_client.put_object(Bucket=bucket, Key=key, Body=file.read_bytes())
        finally:
            uploading.rename(uploaded)

    def archive(self) -> None:
        """Archives /opt/ml/model and, unless empty, /opt/ml/output/data in S3."""
        place = f"{self.job.request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{self.job.name}/output"
        bucket, prefix = split(place)
        if self.account.region_of(bucket) != self.job.region:
            raise PermissionError(f"{place} (BucketRegionError: bucket must be in the same region as the job)")
        archives = {"model.tar.gz": self.root / "model", "output.tar.gz": self.root / "output/data"}
        for name, folder in archives.items():
            if name == "model.tar.gz" or any(folder.iterdir()):
                self._put_archive(bucket, f"{prefix}/{name}", folder)
        self.job.artifacts = f"{place}/model.tar.gz"

    def _put_archive(self, bucket: str, key: str, folder: Path) -> None:
        with tempfile.TemporaryFile() as file:
            # weights hardly compress: not worth the time
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=0) as archive:
                for member in sorted(folder.iterdir()):
                    archive.add(member, arcname=member.name)
            file.seek(0)
            self.account.role_client.put_object(Bucket=bucket, Key=key, Body=file)

    def failure(self) -> str:
        """What the job wrote into output/failure."""
        file = self.root / "output/failure"
        return file.read_text(errors="replace")[:1024] if file.is_file() else ""


def _state(file: Path) -> tuple[int, int]:
    stat = file.stat()
    return stat.st_mtime_ns, stat.st_size
