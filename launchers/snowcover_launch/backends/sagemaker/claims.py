"""One job for each digest, however many commands want it at the same time.

All commands give the same job the same name (job_names.py). Two atomic operations decide between them:

- `claim` uploads the job's config if there is none yet; later commands get the first one's config.
- AWS accepts each name once. Any command may create the job of a claimed config, so that a command that died between
  the two leaves nothing that must time out, and nothing that could be paid for twice.

After an attempt without a result comes the attempt of the next number; commands that start it at the same time again
use the same name.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from snowcover_launch.aws import bucket
from snowcover_launch.aws.errors import ObjectExists
from snowcover_launch.aws.session import Account
from snowcover_launch.backends.sagemaker.job_names import parse_name
from snowcover_launch.backends.sagemaker.request import archive_uri, result_uri
from snowcover_launch.results import KINDS

CHECKPOINTS = "/checkpoints/"  # with the copy of the job's MLflow store: dozens of objects that are irrelevant here
OBJECTS_OF_A_JOB = 5  # config, result, two archives, and all checkpoints as one
OBJECTS_PER_REQUEST = 1000


@dataclass(frozen=True)
class Attempt:
    """A job, from its objects in S3, without a request to SageMaker."""

    name: str
    digest: str
    number: int
    """1 for the first with its digest"""
    is_complete: bool
    """its result and both archives exist; otherwise it may run, have ended, or never have started"""


@dataclass(frozen=True)
class Claim:
    """The config of a job, uploaded before the job is created."""

    is_ours: bool
    config: bytes
    """ours, or that of the command that was first"""


def claim(account: Account, job_prefix: str, config: bytes) -> Claim:
    """Upload the config of the job whose s3:// folder is `job_prefix`, unless it exists. One request.

    Raises:
        AwsError
    """
    try:
        bucket.put_new(account, f"{job_prefix}/config/config.yaml", config)
    except ObjectExists as first:
        return Claim(False, first.content)
    return Claim(True, config)


def find_attempts(account: Account, experiment_prefix: str, digests: Collection[str]) -> dict[str, list[Attempt]]:
    """The attempts at jobs of these digests, in order; from listings, not one request per job.

    Raises:
        AwsError
    """
    names = bucket.folders(account, experiment_prefix)
    wanted = {name: parts for name in names if (parts := parse_name(name)) and parts.digest in digests}
    complete = _complete_names(account, experiment_prefix, [*wanted], len(names))
    found: dict[str, list[Attempt]] = {}
    for name, parts in sorted(wanted.items(), key=lambda item: item[1].attempt):
        found.setdefault(parts.digest, []).append(Attempt(name, parts.digest, parts.attempt, name in complete))
    return found


def next_number(attempts: Sequence[Attempt]) -> int:
    """The number of the attempt after these."""
    return max((attempt.number for attempt in attempts), default=0) + 1


def _complete_names(account: Account, experiment_prefix: str, wanted: Sequence[str], job_count: int) -> set[str]:
    """Which of the wanted jobs have all objects of a complete job."""
    if not wanted:
        return set()
    one_by_one = len(wanted) < job_count * OBJECTS_OF_A_JOB / OBJECTS_PER_REQUEST
    prefixes = [f"{experiment_prefix}/{name}" for name in wanted] if one_by_one else [experiment_prefix]
    existing = {each.uri for prefix in prefixes for each in bucket.objects(account, prefix, CHECKPOINTS)}
    return {name for name in wanted if _objects_of_complete_job(f"{experiment_prefix}/{name}", name) <= existing}


def _objects_of_complete_job(job_prefix: str, name: str) -> set[str]:
    return {result_uri(job_prefix), *(archive_uri(job_prefix, name, kind) for kind in KINDS)}
