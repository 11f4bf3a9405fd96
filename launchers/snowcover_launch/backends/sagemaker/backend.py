"""SageMaker as a backend: one training job per job, with its config, checkpoints and results in S3."""

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from snowcover.provenance import commit
from snowcover_launch.aws import bucket
from snowcover_launch.aws import training_jobs as aws_jobs
from snowcover_launch.aws.errors import AwsError, NoCredentials, QuotaExceeded
from snowcover_launch.aws.logs import JobLog
from snowcover_launch.aws.roles import refuse_role_of_other_account
from snowcover_launch.aws.session import Account
from snowcover_launch.aws.training_jobs import JobState
from snowcover_launch.backends.base import ExistingJob, SweepContext
from snowcover_launch.backends.sagemaker import claims, reports, request, results
from snowcover_launch.backends.sagemaker.account_check import refuse_incomplete_account, refuse_local_only
from snowcover_launch.backends.sagemaker.code import Images
from snowcover_launch.backends.sagemaker.fallback import configs_to_try, typed_hw_keys
from snowcover_launch.backends.sagemaker.inputs import InputDigests
from snowcover_launch.backends.sagemaker.job_names import attempt_of
from snowcover_launch.backends.sagemaker.limits import check_limits
from snowcover_launch.backends.sagemaker.machine_check import machine_warnings
from snowcover_launch.backends.sagemaker.reuse import EarlierJobs
from snowcover_launch.config import SWEEP_TAG, JobConfig
from snowcover_launch.cost import Cost, cost, most_expensive
from snowcover_launch.errors import MissingAccount, NoCapacity, NotFound, Unreachable
from snowcover_launch.images.labels import check_image
from snowcover_launch.job import Job, Report, State
from snowcover_launch.plan import naming_job

log = logging.getLogger(__name__)

QUOTA = re.compile(r"is (\d+) Instances.*request delta of (\d+)", re.DOTALL)
CAPACITY_ATTEMPTS = 5
CAPACITY_PAUSE_S = 60.0  # after the first attempt; doubles each time


class SageMakerBackend:
    """Training jobs of one AWS account and region."""

    in_process = False
    slots: int | None = None
    outlives_us = True

    def __init__(self, context: SweepContext, region_and_profile: tuple[str | None, str | None] | None = None) -> None:
        """`region_and_profile` are those of jobs.json; otherwise the jobs' own config names them."""
        self._context = context
        self._region_and_profile = region_and_profile
        self._logs: dict[str, JobLog | None] = {}
        self._warned: set[str] = set()
        self._images: Images | None = None
        """of the last batch that was validated"""
        self._last_numbers: dict[str, int] = {}
        """number of the last attempt at a job, by digest"""
        found = commit()
        self._commit = found.sha if found else None

    @cached_property
    def account(self) -> Account:
        assert self._region_and_profile is not None, "no job was checked yet"
        return Account(*self._region_and_profile)

    # Before anything is sent

    def check(self, job: Job) -> None:
        config = job.planned_config
        refuse_local_only(config)
        refuse_incomplete_account(config.aws)
        region_and_profile = config.aws.region, config.aws.profile
        if region_and_profile != (self._region_and_profile or region_and_profile):
            raise MissingAccount("The jobs of one sweep run in one account: do not sweep aws.region or aws.profile.")
        self._region_and_profile = region_and_profile
        job.alternatives = configs_to_try(config, self._context.hw_of, typed_hw_keys(job.overrides))
        for warning in dict.fromkeys(warning for each in job.alternatives for warning in machine_warnings(each)):
            if warning not in self._warned:
                log.warning(warning)
            self._warned.add(warning)
        costs = {str(each.hw.instance_type): self._cost(each) for each in job.alternatives}
        job.highest_usd = most_expensive(list(costs.values())).highest_usd
        job.unpriced = [machine for machine, cost_on_machine in costs.items() if cost_on_machine.highest_usd is None]
        job.own_store = config.tracking.uri.startswith("sqlite:")
        self._name(job, request.config_digest(config), 1)  # preliminary, until _identify
        for each in reversed(job.alternatives):  # the job's own comes last
            self._use_machine(job, each)
            check_limits(self._request(job))

    def validate(self, jobs: Sequence[Job]) -> None:
        with self._refreshing_credentials():
            for role in sorted({str(job.planned_config.aws.role_arn) for job in jobs}):
                refuse_role_of_other_account(self.account, role)
            for name in sorted({str(job.planned_config.aws.bucket) for job in jobs}):
                bucket.refuse_other_region(self.account, name)
            self._images = images = Images(self.account)
            configs = [config for job in jobs for config in job.alternatives]
            for (uri, _), config in {(images.uri(config), config.hw.image): config for config in configs}.items():
                check_image(self.account, uri, config.hw)

    def find(self, jobs: Sequence[Job]) -> Mapping[Job, ExistingJob]:
        found: dict[Job, ExistingJob] = {}
        with self._refreshing_credentials():
            self._identify(jobs)
            earlier = EarlierJobs(self.account, self._context.folder, jobs)
            for job in jobs:
                self._last_numbers |= {digest: earlier.last_number(digest) for digest in job.digests}
                self._name(job, job.digests[0], self._last_numbers[job.digests[0]] + 1)
                if job.planned_config.launch.reuse and (existing := self._find_earlier(job, earlier)) is not None:
                    found[job] = existing
        return found

    def _identify(self, jobs: Sequence[Job]) -> None:
        """Compute the digest of each job on each of its machines, with the files and code that AWS has for it."""
        images, inputs = self._images or Images(self.account), InputDigests(self.account)
        for job in jobs:
            with naming_job(job.number, [job.title], len(jobs)):
                job.digests = [
                    request.config_digest(config, inputs.of(config), images.code(config)) for config in job.alternatives
                ]

    def _find_earlier(self, job: Job, earlier: EarlierJobs) -> ExistingJob | None:
        """The complete or running attempt, if any. Otherwise the job resumes from the last one's checkpoints."""
        for attempt in earlier.attempts(job):
            if (known := earlier.locally_known(attempt)) is not None:
                return known
            try:
                state = aws_jobs.describe(self.account, attempt.name)
            except NotFound:  # its config was uploaded, but it was not created: use its name
                if attempt.digest == job.digest:
                    self._name(job, job.digest, attempt.number)
                continue
            prefix = request.job_prefix(job.planned_config, attempt.name)
            if state.status in ("Completed", "InProgress"):
                report = self._report(job, state, prefix)
                if report.state is not State.FAILED:  # else its files have been deleted
                    facts = reports.facts_of_earlier(job, state, prefix, self.account.region, self._context.prices)
                    return ExistingJob(attempt.name, report, facts)
            if state.checkpoints:
                job.checkpoints = state.checkpoints
                return None
        return None

    def describe(self, job: Job) -> str:
        return (
            f"CreateTrainingJob\n{json.dumps(self._request(job), indent=2)}\n# {job.prefix}/config/config.yaml\n"
            f"{self._staged(job)}"
        )

    # Jobs

    def submit(self, job: Job) -> Report:
        try:
            with self._refreshing_credentials():
                while (state := self._start(job)) is None:
                    self._name_next_attempt(job)
        except QuotaExceeded as error:
            if (other := self._next_alternative(job)) is not None:
                self._use_machine(job, other)
                self._name_next_attempt(job)
                raise NoCapacity(f"{error} Next it asks for {job.machine}.", pause_s=0) from error
            quota = QUOTA.search(str(error))
            if quota is not None and int(quota[1]) >= int(quota[2]):
                raise NoCapacity(str(error)) from error  # other jobs use the machines now
            raise
        return self._report(job, state, job.prefix)

    def _start(self, job: Job) -> JobState | None:
        """Start the job, or find one of its name that another command started; None if it needs another name."""
        text = self._staged(job).encode()
        folder = job.folder_below(self._context.folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_bytes(text)
        self._last_numbers[job.digest] = attempt_of(job.name)
        claimed = claims.claim(self.account, job.prefix, text)
        if not claimed.is_ours and not job.planned_config.launch.reuse:
            return None
        state = aws_jobs.start(self.account, self._request(job))
        ours = not state.already_existed or aws_jobs.has_tag(self.account, state, SWEEP_TAG, self._context.name)
        if not ours and state.has_ended:  # long ago; its files have been deleted
            return None
        job.adopted = not ours
        return state

    def poll(self, job: Job) -> Report:
        with self._refreshing_credentials():
            return self._report(job, aws_jobs.describe(self.account, job.name), job.prefix)

    def logs(self, job: Job) -> list[str]:
        job_log = self._logs.setdefault(job.name, JobLog(self.account, job.name))
        if job_log is None:
            return []
        try:
            with self._refreshing_credentials():
                return job_log.new_lines()
        except Unreachable:
            raise
        except AwsError as error:  # without permission to read logs, keep polling the job
            log.warning("%s Its result will be available nevertheless.", error)
            self._logs[job.name] = None
            return []

    def stop(self, job: Job) -> None:
        with self._refreshing_credentials():
            aws_jobs.stop(self.account, job.name)

    def retry(self, job: Job) -> float | None:
        tries = job.attempt + 1
        if job.config is None or job.adopted or tries >= CAPACITY_ATTEMPTS * len(job.alternatives):
            return None
        job.attempt = tries
        other = self._next_alternative(job)
        self._use_machine(job, other or job.alternatives[0])
        self._name_next_attempt(job)
        return 0 if other else CAPACITY_PAUSE_S * 2 ** (tries // len(job.alternatives) - 1)

    # Results

    def collect(self, job: Job, report: Report) -> str | None:
        with self._refreshing_credentials():
            folder = job.folder_below(self._context.folder)
            return results.import_run(self.account, job, report, folder)

    def fetch(self, job: Job) -> list[Path]:
        with self._refreshing_credentials():
            return results.fetch(self.account, job, job.folder_below(self._context.folder))

    # Helpers

    def _cost(self, config: JobConfig) -> Cost:
        return cost(config.hw, self._context.prices, self.account.region)

    def _use_machine(self, job: Job, config: JobConfig) -> None:
        """Set the job's machine to that of this config."""
        hw = config.hw
        job.config, job.machine, job.machines, job.spot = config, str(hw.instance_type), hw.instance_count, hw.spot
        job.usd_per_hour = self._cost(config).usd_per_hour

    def _next_alternative(self, job: Job) -> JobConfig | None:
        """The config for the next machine, if the current one is unavailable; None after the last."""
        region_and_profile = job.alternatives.index(job.planned_config) + 1
        return job.alternatives[region_and_profile] if region_and_profile < len(job.alternatives) else None

    def _name_next_attempt(self, job: Job) -> None:
        """Name the next attempt, on the job's current machine; it resumes from the same checkpoints."""
        checkpoints = job.checkpoints
        digest = job.digests[job.alternatives.index(job.planned_config)]
        self._name(job, digest, self._last_numbers.get(digest, 0) + 1)
        job.checkpoints = checkpoints

    def _name(self, job: Job, digest: str, number: int) -> None:
        job.digest = digest
        job.name = request.job_name(job.planned_config, digest, number)
        job.prefix = request.job_prefix(job.planned_config, job.name)
        job.checkpoints = f"{job.prefix}/checkpoints"

    def _request(self, job: Job) -> dict[str, object]:
        return request.training_job_request(job, request.aws_tags(job, self._context.name, self._commit))

    def _staged(self, job: Job) -> str:
        return request.staged_config(job, {"sweep": self._context.name, **job.tags, "job": job.name})

    def _report(self, job: Job, state: JobState, prefix: str) -> Report:
        return reports.report(self.account, job, state, prefix, self._context.prices)

    @contextmanager
    def _refreshing_credentials(self) -> Iterator[None]:
        """If credentials are refused, reload them before the next request: the user may have signed in again."""
        try:
            yield
        except NoCredentials:
            self.account.refresh_credentials()
            raise
