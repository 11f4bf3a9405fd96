"""The training jobs of an account: what Create, Describe, Stop and List do."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

from tests.aws.job import ENDED, Job
from tests.aws.responses import Refusal, invalid

HELD = ("InUse", "Available")  # states of a warm pool in which it counts


class Jobs:
    """Every training job of the account, by region and name: names are never free again."""

    def __init__(self) -> None:
        self._jobs: dict[tuple[str, str], Job] = {}
        self.requests: list[dict[str, Any]] = []
        self.on_created: Callable[[Job], None] = lambda job: None

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self._jobs.values()))

    def create(self, request: dict[str, Any], region: str, account: str) -> dict[str, Any]:
        """CreateTrainingJob, of a request that every rule has passed; what Describe shows can be seen at once."""
        arn = f"arn:aws:sagemaker:{region}:{account}:training-job/{request['TrainingJobName']}"
        job = Job(copy.deepcopy(request), arn, region)
        job.step("Starting")
        if (pool := self._warm_pool_for(job)) is not None:
            pool.reused_by = job.name
        self._jobs[region, job.name] = job
        self.requests.append(request)
        self.on_created(job)
        return {"TrainingJobArn": arn}

    def _warm_pool_for(self, job: Job) -> Job | None:
        """The ended job whose machines this one takes over, if they are kept and it matches."""
        for other in self:
            pool = other.warm_pool()
            if pool and pool["Status"] == "Available" and _pool_key(other) == _pool_key(job):
                return other
        return None

    def check_free(self, name: str, region: str) -> None:
        """ResourceInUse if a job of this name was ever made."""
        if (region, name) in self._jobs:
            message = "Training job names must be unique within an AWS account and region, and a training job with this"
            raise Refusal("ResourceInUse", f"{message} name already exists ({self._jobs[region, name].arn})")

    def get(self, name: str, region: str) -> Job:
        """The job of this name; ValidationException if there is none."""
        if (region, name) not in self._jobs:
            raise invalid("Requested resource not found.")
        return self._jobs[region, name]

    def describe(self, request: dict[str, Any], region: str) -> dict[str, Any]:
        """DescribeTrainingJob."""
        job = self.get(request["TrainingJobName"], region)
        answer = job.describe()
        job.on_described()
        return answer

    def stop(self, request: dict[str, Any], region: str) -> dict[str, Any]:
        """StopTrainingJob: the job is Stopping until its machine has let go."""
        job = self.get(request["TrainingJobName"], region)
        with job.lock:
            if job.status != "InProgress":
                raise invalid(f"The request was rejected because the training job is in status {job.status}.")
            job.step("Stopping")
        job.stop.set()
        return {}

    def list(self, request: dict[str, Any], region: str) -> dict[str, Any]:
        """ListTrainingJobs: filtered, sorted, a page of at most MaxResults (10 by default)."""
        jobs = [job for job in self if job.region == region and _wanted(job, request)]
        keys = {"Name": lambda job: job.name, "CreationTime": lambda job: job.created, "Status": lambda job: job.status}
        jobs.sort(key=keys[request.get("SortBy", "CreationTime")], reverse=request.get("SortOrder") == "Descending")
        start, count = int(request.get("NextToken", 0)), request.get("MaxResults", 10)
        page = jobs[start : start + count]
        answer: dict[str, Any] = {"TrainingJobSummaries": [job.summary() for job in page]}
        for job in page:
            job.on_described()
        return answer | ({"NextToken": str(start + count)} if start + count < len(jobs) else {})

    def in_warm_pools(self, instance_type: str, region: str) -> int:
        """Machines of this type that jobs keep, or will keep at their end."""
        pools = [job for job in self if job.region == region and (job.warm_pool() or {}).get("Status") in HELD]
        return sum(job.instances for job in pools if job.request["ResourceConfig"]["InstanceType"] == instance_type)

    def in_use(self, instance_type: str, is_spot: bool, region: str) -> int:
        """Machines of this type that jobs hold now."""
        holding = [job for job in self if job.region == region and job.status not in ENDED and job.is_spot == is_spot]
        return sum(job.instances for job in holding if job.request["ResourceConfig"]["InstanceType"] == instance_type)


def _pool_key(job: Job) -> tuple[str, ...]:
    """What two jobs must have in common for the second to take over the first one's machines."""
    resources = {
        key: job.request["ResourceConfig"].get(key) for key in ("InstanceType", "InstanceCount", "VolumeKmsKeyId")
    }
    alike = ("RoleArn", "VpcConfig", "EnableNetworkIsolation", "EnableInterContainerTrafficEncryption")
    return (job.region, str(resources), *(str(job.request.get(key)) for key in alike))


def _wanted(job: Job, request: dict[str, Any]) -> bool:
    created, modified = job.created.timestamp(), job.modified.timestamp()
    return (
        request.get("NameContains", "") in job.name
        and request.get("StatusEquals", job.status) == job.status
        and request.get("CreationTimeAfter", created) <= created <= request.get("CreationTimeBefore", created)
        and request.get("LastModifiedTimeAfter", modified)
        <= modified
        <= request.get("LastModifiedTimeBefore", modified)
    )
