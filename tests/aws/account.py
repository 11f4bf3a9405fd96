"""An AWS account: permissions, quotas, jobs; its buckets are those of the real S3 server."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from moto.ecr.models import ecr_backends
from moto.iam.models import iam_backends

from snowcover import __version__
from tests.aws.algorithms import Algorithms
from tests.aws.jobs import Jobs
from tests.aws.policies import Document
from tests.servers import Server

REGION = "us-west-2"
VARIANT, VERSION = "snowcover.variant", "org.opencontainers.image.version"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class Account:
    """State of the one account; `id` is moto's."""

    id = "123456789012"

    def __init__(self, s3: Server) -> None:
        self.s3 = s3
        self.secrets = {s3.key: s3.secret, s3.reader_key: s3.reader_secret}
        self.secrets |= dict.fromkeys((s3.launcher_key, s3.job_key), s3.limited_secret)
        self.readers = {s3.reader_key}
        self.policies: dict[str, Sequence[Document]] = {}
        """The policies of access keys; a key that is not here may do everything."""
        self.job_keys = (s3.key, s3.secret)
        """The credentials of the jobs' role."""
        self.role_client = s3.client
        """S3 client of SageMaker with that role."""
        self.roles: set[str] = set()
        self.quotas: dict[tuple[str, bool], int] = {}
        """Machines by type and whether they are spot; types that are not here are unlimited."""
        self.warm_quotas: dict[str, int] = {}
        """Machines by type that jobs may keep in warm pools (AWS's own default is none)."""
        self.bucket_regions: dict[str, str] = {}
        """Regions of buckets that are not in REGION."""
        self.layers: dict[str, bytes] = {}
        """Configs of images in ECR, by digest."""
        self.jobs = Jobs()
        self.algorithms = Algorithms()

    def region_of(self, bucket: str) -> str:
        """The region of a bucket."""
        return self.bucket_regions.get(bucket, REGION)

    def keys(self, bucket: str, prefix: str, at_most: int | None = None) -> list[str]:
        """Keys under a prefix; none if there is no such bucket."""
        client = self.role_client
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=prefix, PaginationConfig={"MaxItems": at_most}
        )
        try:
            return [item["Key"] for page in pages for item in page.get("Contents", [])]
        except client.exceptions.NoSuchBucket:
            return []

    def has_role(self, arn: str) -> bool:
        """Whether SageMaker may take this role: one of ours, or one of moto's IAM that trusts it."""
        trusting = [role for role in iam_backends[self.id]["aws"].roles.values() if role.arn == arn]
        return arn in self.roles or any(_trusts_sagemaker(role) for role in trusting)

    def has_repository(self, registry: str, region: str, name: str) -> bool:
        """Whether ECR has a repository of this name."""
        return registry == self.id and name in ecr_backends[registry][region].repositories

    def has_image(self, registry: str, region: str, repository: str, tag: str, digest: str | None) -> bool:
        """Whether a repository has an image of this digest, or else of this tag."""
        images = ecr_backends[registry][region].repositories[repository].images
        return any(image.get_image_digest() == digest if digest else tag in image.image_tags for image in images)

    def add_image(self, repository: str, tag: str, labels: dict[str, str] | None = None) -> str:
        """Puts an image into ECR and gives its URI; its labels are by default those that its tag promises."""
        ecr = ecr_backends[self.id][REGION]
        if repository not in ecr.repositories:
            ecr.create_repository(repository, None, {"encryptionType": "AES256"}, None, "MUTABLE", [])
        if labels is None:
            labels = {VARIANT: tag.rpartition("-")[2], VERSION: __version__}
        blob = json.dumps({"config": {"Labels": labels}, "of": tag}).encode()
        digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
        self.layers[digest] = blob
        config = {"digest": digest, "size": len(blob)}
        # moto tells images apart by their layers
        whole = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [config]}
        ecr.put_image(repository, json.dumps(whole), tag)
        return f"{self.id}.dkr.ecr.{REGION}.amazonaws.com/{repository}:{tag}"


def _trusts_sagemaker(role: Any) -> bool:
    return "sagemaker.amazonaws.com" in str(role.assume_role_policy_document)
