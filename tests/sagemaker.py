"""A strict fake of SageMaker for launching jobs: an extended moto, a real S3 server, and fake machines."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from snowcover import storage
from tests.servers import Bucket, Proxy, Request, client_of

if TYPE_CHECKING:  # moto takes half a second to import
    from tests.aws.job import Job
    from tests.aws.policies import Document

ROLE = "arn:aws:iam::123456789012:role/snowcover-job"
PATIENCE_S = 120


class SageMaker:
    """The fake, for tests. Jobs stay InProgress until `finish`, or really run after `use_machine`."""

    def __init__(self, bucket: Bucket, folder: Path) -> None:
        from tests.aws.account import REGION, Account
        from tests.aws.faults import Faults
        from tests.aws.front import Front
        from tests.aws.regions import s3_fault

        self.bucket, self.region, self._folder = bucket, REGION, folder
        self.account = Account(bucket.server)
        self.account.roles.add(ROLE)
        self.account.jobs.on_created = self._begin
        self.role_arn = ROLE
        self.image_uri = self.account.add_image("snowcover", "0.1.0-current")
        self.faults = Faults()
        self._front = Front(self.account, self.faults)
        self._s3 = Proxy(bucket.server.endpoint, fail=lambda request: s3_fault(request, self.account, self.faults))
        self._s3_of_jobs: Proxy | None = None  # if their permissions are limited
        self._user = (bucket.server.key, bucket.server.secret)
        self._machine: Any = None
        self._timers: list[threading.Timer] = []

    # What a client needs to connect

    @property
    def endpoint(self) -> str:
        """Of every service except S3."""
        return self._front.endpoint

    @property
    def s3_endpoint(self) -> str:
        """Of S3, for a user: it knows regions, and is unreachable when the network is lost."""
        return self._s3.endpoint

    @property
    def s3_endpoint_of_jobs(self) -> str:
        """Of S3, for jobs, which reach it even while the user's network is lost."""
        return (self._s3_of_jobs or self.bucket.server).endpoint

    @property
    def environment(self) -> dict[str, str]:
        """AWS settings that connect a client to the fake."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ENDPOINT_URL_S3": self.s3_endpoint,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self._user[0],
            "AWS_SECRET_ACCESS_KEY": self._user[1],
        }

    # What happened

    @property
    def requests(self) -> list[dict[str, Any]]:
        """Every accepted CreateTrainingJob request, in order."""
        return self.account.jobs.requests

    @property
    def calls(self) -> Counter[str]:
        """Calls by action, including refused ones."""
        return self.faults.calls

    @property
    def s3_requests(self) -> list[Request]:
        """The user's requests to S3, in order, including refused ones."""
        return self._s3.requests

    @property
    def jobs(self) -> list["Job"]:
        """Every job, in the order of their creation."""
        return list(self.account.jobs)

    def job(self, name: str) -> "Job":
        """The job of this name."""
        return self.account.jobs.get(name, self.region)

    def log(self, name: str) -> list[str]:
        """Lines that the job wrote to CloudWatch."""
        from tests.aws.logs import lines

        return lines(self.account.id, self.region, name)

    def wait(self, until: Callable[[], Any], seconds: float = PATIENCE_S) -> None:
        """Waits until `until()` is true; fails the test if that takes too long."""
        end = time.monotonic() + seconds
        while not until():
            if time.monotonic() > end:
                states = {job.name: (job.status, job.secondary, self.log(job.name)[-3:]) for job in self.jobs}
                pytest.fail(f"not within {seconds:.0f} s; jobs: {states}")
            time.sleep(0.02)

    def wait_for(self, name: str, *states: str, seconds: float = PATIENCE_S) -> "Job":
        """Waits until the job is in one of these states (primary or secondary), or by default has ended."""
        states = states or ("Completed", "Failed", "Stopped")
        self.wait(lambda: {self.job(name).status, self.job(name).secondary} & {*states}, seconds)
        return self.job(name)

    # What a test does to jobs

    def finish(
        self,
        name: str,
        status: str = "Completed",
        failure_reason: str | None = None,
        result: Mapping[str, Any] | None = None,
        output: Mapping[str, bytes] | None = None,
        model: Mapping[str, bytes] | None = None,
        seconds: float = 100,
    ) -> None:
        """Ends a job without a machine, with the objects it would have left in S3; failures of AWS itself are retried.

        `result` is written to the staged config's `job.result`; `output` and `model` are the files in the archives.
        """
        from tests.aws.job_results import write_results

        job = self.job(name)
        job.step("Training")
        if status == "Failed" and (failure_reason or "").startswith("InternalServerError") and job.may_retry:
            job.retry()
            return
        write_results(self.account, job, result, {"model.tar.gz": model or {}, "output.tar.gz": output or {}})
        job.training_s = seconds
        job.end(status, failure_reason=failure_reason)

    def staged(self, name: str) -> dict[str, Any]:
        """The staged config of a job: the one object of its input channel `config`, parsed."""
        from tests.aws.job_results import staged

        return staged(self.account, self.job(name))

    def _begin(self, job: "Job") -> None:
        if self.faults.lacks_capacity(job.request["ResourceConfig"]["InstanceType"]):
            job.fail_without_capacity()
        elif self._machine is not None:
            self._machine.start(job)
        else:
            seen: list[str] = []

            def stopped_when_seen_stopping_twice() -> None:
                seen.append(job.status)
                if seen.count("Stopping") == 2 and job.status == "Stopping":
                    job.end("Stopped")

            job.on_described = stopped_when_seen_stopping_twice

    def use_machine(self, container: Any = None, slots: int = 2, grace_s: float = 120) -> None:
        """Jobs created from now on really train; skips the test if that is impossible.

        `container` starts them: by default this checkout's container/train, in its own namespaces.
        """
        from tests.aws.machine import Machine
        from tests.aws.namespaces import Namespaces

        container = container or Namespaces()
        if (obstacle := container.obstacle()) is not None:
            pytest.skip(obstacle)
        network = {"AWS_ENDPOINT_URL": self.endpoint, "AWS_ENDPOINT_URL_S3": self.s3_endpoint_of_jobs}
        self._machine = Machine(self.account, self._folder, network, container, slots, grace_s)

    def interrupt(self, name: str, notice: bool = True) -> None:
        """Interrupts the spot machine of a running job: with SIGTERM first, or (notice=False) at once.

        A job interrupted at once resumes from the checkpoints in S3.
        """
        self._machine.interrupt(name, notice)

    # What a test does to AWS

    def quota(self, instance_type: str, machines: int, spot: bool = False, warm: bool = False) -> None:
        """Sets how many machines of this type the account may use at once; `warm`: keep in warm pools."""
        if warm:
            self.account.warm_quotas[instance_type] = machines
        else:
            self.account.quotas[instance_type, spot] = machines

    def limit_rights(self, launch: Sequence["Document"], job: Sequence["Document"], role_arn: str) -> None:
        """From now on the user of `environment` and the jobs may only do what these policies allow."""
        from tests.aws.rights import s3_refusal

        server, account = self.bucket.server, self.account
        account.policies |= {server.launcher_key: launch, server.job_key: job}
        account.roles.add(role_arn)
        account.job_keys = (server.job_key, server.limited_secret)
        self.role_arn, self._user = role_arn, (server.launcher_key, server.limited_secret)
        self._s3_of_jobs = Proxy(
            server.endpoint, fail=lambda request: s3_refusal(account.policies, request, account.id)
        )
        account.role_client = client_of(self._s3_of_jobs.endpoint, *account.job_keys)

    def lose_network(self, seconds: float | None = None, how: str = "refused") -> None:
        """From now on the user's connections are refused or `reset`, for `seconds` or until `restore_network`.

        Jobs continue: they are inside AWS. S3 resets connections in either case.
        """
        assert how in ("refused", "reset")
        self.faults.network_is_lost = True
        if how == "refused":
            self._front.close()
        if seconds is not None:
            self._timers.append(threading.Timer(seconds, self.restore_network))
            self._timers[-1].start()

    def restore_network(self) -> None:
        """The network is back."""
        self._front.open()
        self.faults.network_is_lost = False  # last: whoever waits for this connects at once

    def expire_credentials(self, calls: int | None = None) -> None:
        """From now on the credentials are expired, for `calls` calls or until `renew_credentials`."""
        self.faults.expire(calls)

    def renew_credentials(self) -> None:
        """The same credentials are valid again."""
        self.faults.expire(0)

    def add_bucket(self, region: str) -> str:
        """A new bucket in another region."""
        name = f"elsewhere-{len(self.account.bucket_regions)}-{self.bucket.name}"
        if name not in {each["Name"] for each in self.bucket.server.client.list_buckets()["Buckets"]}:
            self.bucket.server.client.create_bucket(Bucket=name)
        self.account.bucket_regions[name] = region
        return name

    def close(self) -> None:
        """Ends everything: machines, servers, timers."""
        for timer in self._timers:
            timer.cancel()
        if self._machine is not None:
            self._machine.close()
        self._front.end()
        self._s3.close()
        if self._s3_of_jobs is not None:
            self._s3_of_jobs.close()
        broken = self._front.broken + (self._machine.broken if self._machine is not None else [])
        if broken:
            pytest.fail("the fake itself failed: " + "\n".join(broken))


@contextmanager
def running_sagemaker(bucket: Bucket, folder: Path) -> Iterator[SageMaker]:
    """The fake, empty, until the block ends."""
    from moto.moto_api._internal.models import moto_api_backend

    moto_api_backend.reset()
    fake = SageMaker(bucket, folder)
    try:
        yield fake
    finally:
        fake.close()
        moto_api_backend.reset()


def forget_clients() -> None:
    """Drop connections and clients of earlier tests, which libraries cache for the whole process."""
    storage.forget_connections()
    if (boto3 := sys.modules.get("boto3")) is not None:
        boto3.DEFAULT_SESSION = None
    if (utils := sys.modules.get("sagemaker.core.utils.utils")) is not None:
        utils.SageMakerClient.reset()


@pytest.fixture
def sagemaker(s3: Bucket, aws_settings: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SageMaker]:
    """An AWS account with SageMaker, ECR, CloudWatch logs, STS and S3, reached only through AWS_* settings."""
    with running_sagemaker(s3, tmp_path / "sagemaker") as fake:
        for name, value in fake.environment.items():
            aws_settings.setenv(name, value)
        forget_clients()
        yield fake
        forget_clients()
