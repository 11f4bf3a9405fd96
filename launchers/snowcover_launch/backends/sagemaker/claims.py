"""One job for each identity, however many commands want it at the same moment.

All who want the same job call it by the same name (job_names.py), and two things decide between them, each atomic:

- `claim` uploads the job's config where there is none yet; whoever comes later is given the first one's.
- AWS takes each name once. Whoever has a claim's config, ours or theirs, may create its job: a command that died
  between the two leaves nothing that must time out, and nothing that could be paid for twice.

An attempt that ended without a result is followed by that of the next number; two commands that begin it at once meet
again in its name.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from snowcover_launch.aws import bucket
from snowcover_launch.aws.errors import ObjectExists
from snowcover_launch.aws.session import Account
from snowcover_launch.backends.sagemaker.job_names import parse_name
from snowcover_launch.backends.sagemaker.request import archive_uri, result_uri
from snowcover_launch.results import KINDS

CHECKPOINTS = "/checkpoints/"  # with the copy of the job's MLflow store, dozens of objects that tell nothing here
OBJECTS_OF_A_JOB = 5  # config, result, two archives, and all checkpoints as one
OBJECTS_PER_REQUEST = 1000


@dataclass(frozen=True)
class Attempt:
    """A job as its objects in S3 tell it, without a question to SageMaker."""

    name: str
    digest: str
    number: int
    """1 for the first of its identity"""
    is_complete: bool
    """its result and both of its archives are there; what is not complete may run, have ended, or never have begun"""


@dataclass(frozen=True)
class Claim:
    """The config from which a job trains, uploaded before the job is created."""

    is_ours: bool
    config: bytes
    """ours, or that of the command that came first"""


def claim(account: Account, job_prefix: str, config: bytes) -> Claim:
    """Upload the config of the job whose s3:// folder is `job_prefix`, unless another command has. One request.

    Raises:
        AwsError
    """
    try:
        bucket.put_new(account, f"{job_prefix}/config/config.yaml", config)
    except ObjectExists as first:
        return Claim(False, first.content)
    return Claim(True, config)


def find_attempts(account: Account, experiment_prefix: str, digests: Collection[str]) -> dict[str, list[Attempt]]:
    """The attempts at jobs of these digests, the first one first; by listings, not by a request for each job.

    Raises:
        AwsError
    """
    names = bucket.folders(account, experiment_prefix)
    wanted = {name: parts for name in names if (parts := parse_name(name)) and parts.digest in digests}
    complete = _complete(account, experiment_prefix, [*wanted], len(names))
    found: dict[str, list[Attempt]] = {}
    for name, parts in sorted(wanted.items(), key=lambda item: item[1].attempt):
        found.setdefault(parts.digest, []).append(Attempt(name, parts.digest, parts.attempt, name in complete))
    return found


def next_number(attempts: Sequence[Attempt]) -> int:
    """Of the attempt after these."""
    return max((attempt.number for attempt in attempts), default=0) + 1


def _complete(account: Account, experiment_prefix: str, wanted: Sequence[str], job_count: int) -> set[str]:
    """Which of the wanted jobs have left all that a complete one leaves."""
    if not wanted:
        return set()
    one_by_one = len(wanted) < job_count * OBJECTS_OF_A_JOB / OBJECTS_PER_REQUEST
    prefixes = [f"{experiment_prefix}/{name}" for name in wanted] if one_by_one else [experiment_prefix]
    there = {each.uri for prefix in prefixes for each in bucket.objects(account, prefix, CHECKPOINTS)}
    return {name for name in wanted if _left_by(f"{experiment_prefix}/{name}", name) <= there}


def _left_by(job_prefix: str, name: str) -> set[str]:
    return {result_uri(job_prefix), *(archive_uri(job_prefix, name, kind) for kind in KINDS)}
