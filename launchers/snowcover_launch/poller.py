"""Jobs on rented machines from their start to their end: started as places come free, and looked at."""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from snowcover.errors import UserError
from snowcover_launch.aws import training_jobs as jobs
from snowcover_launch.aws.errors import AwsError, NoCredentials, NotFound, QuotaExceeded, Unreachable
from snowcover_launch.aws.session import Account
from snowcover_launch.tracked_job import LATEST_S, SOONEST_S, Followed, JobFailed

# DescribeTrainingJob allows some calls a second for the whole account: leave room for others.
LOOKS_PER_S = 2.0
# A router restarts, a laptop sleeps, somebody signs in again: the jobs run on all the same.
GIVE_UP_AFTER_S = 2 * 3600


class LostSight(UserError):
    """AWS could not be asked about running jobs for hours; they go on."""


class Watcher(Protocol):
    """Who is told what happens to jobs."""

    def changed(self, job: Followed) -> None: ...
    def printed(self, job: Followed, lines: Sequence[str]) -> None: ...
    def trouble(self, sentence: str | None) -> None: ...
    def tell(self, sentence: str) -> None: ...


class Follower:
    """Starts and follows jobs until all have ended."""

    def __init__(
        self, account: Account, followed: Sequence[Followed], save: Callable[[], None], watcher: Watcher,
        max_parallel: int | None = None,
    ) -> None:  # fmt: skip
        """`save` keeps the jobs' records on disk; it is called after each change."""
        self._account = account
        self._save = save
        self._watcher = watcher
        self._max_parallel = max_parallel or len(followed)
        self._followed = list(followed)
        self._trouble_since: float | None = None
        self._halted = False

    def halt(self) -> None:
        """Let `run` end soon, whatever the jobs do."""
        self._halted = True

    @property
    def running(self) -> list[Followed]:
        """Those that run, or may: the answer to the request that starts one may still be on its way."""
        return [job for job in self._followed if job.record.stage in ("starting", "running")]

    @property
    def waiting(self) -> list[Followed]:
        return [job for job in self._followed if job.record.stage == "planned"]

    def start_all(self) -> None:
        """Start every job, without following any."""
        while self.waiting:
            self._start_what_may(on_end=lambda _: None)
            time.sleep(SOONEST_S if self.waiting else 0)

    def run(self, on_end: Callable[[Followed], None]) -> None:
        """Until every job has ended; `on_end` is called once for each.

        Raises:
            LostSight: AWS could not be asked for GIVE_UP_AFTER_S.
        """
        for job in self._followed:
            if job.record.stage == "ended":
                on_end(job)
        while (self.running or self.waiting) and not self._halted:
            self._start_what_may(on_end)
            for job in self.running:
                if job.due <= time.monotonic() and self._look(job):
                    on_end(job)
            time.sleep(0.2)

    def stop(self) -> list[str]:
        """Stop the jobs that run; returns what was in the way."""
        in_the_way = []
        for job in self.running:
            try:
                jobs.stop(self._account, job.record.name)
            except NotFound:
                continue  # it never came to be
            except AwsError as error:
                in_the_way.append(str(error))
        return in_the_way

    def _start_what_may(self, on_end: Callable[[Followed], None]) -> None:
        """Start waiting jobs while there are places; `on_end` is told of those that AWS refuses for good."""
        for job in self.waiting:
            if len(self.running) >= self._max_parallel or job.due > time.monotonic():
                return
            try:
                self._start(job)
            except (Unreachable, NoCredentials) as error:
                if isinstance(error, NoCredentials) and self.running == [job]:
                    raise  # there is nothing to wait for
                job.record.stage = "planned"  # started or not: its name is its own, so asking again starts no second
                self._in_trouble(error)
                job.rest(False, 0)
                return
            except QuotaExceeded as error:
                job.record.stage = "planned"
                if any(other.record.instance_type == job.record.instance_type for other in self.running):
                    job.rest(False, LATEST_S)  # one of ours has the last place; it will come free
                    return
                self._end_unstarted(job, error, on_end)
            except AwsError as error:
                self._end_unstarted(job, error, on_end)

    def _start(self, job: Followed) -> None:
        assert job.start is not None
        job.record.stage = "starting"
        self._save()  # whoever is killed now must not forget a job that may run, and cost
        job.state = job.start()
        self._out_of_trouble()
        job.record.stage, job.record.status, job.record.arn = "running", job.state.status, job.state.arn
        job.began = time.monotonic()
        job.rest(True, self._shortest_s)
        self._changed(job)

    @property
    def _shortest_s(self) -> float:
        return len(self.running) / LOOKS_PER_S

    def _look(self, job: Followed) -> bool:
        """Look at one job and its log; whether it has ended."""
        before = job.state
        try:
            state = jobs.describe(self._account, job.record.name)
            lines = job.new_lines()
        except NotFound as error:  # the command that was to start it ended before it could
            self._end_unstarted(job, error, lambda _: None)
            return True
        except AwsError as error:
            self._in_trouble(error)
            job.rest(False, LATEST_S / 4)
            return False
        self._out_of_trouble()
        job.state = state
        if lines:
            self._watcher.printed(job, lines)
        changed = before is None or (before.status, before.secondary) != (state.status, state.secondary)
        job.rest(changed or bool(lines), self._shortest_s)
        job.record.stage = "ended" if state.has_ended else "running"
        if state.has_ended:
            job.ended_at = time.monotonic()
        if changed:
            job.record.status, job.record.reason, job.record.arn = state.status, state.reason, state.arn
            self._changed(job)
        return state.has_ended

    def _changed(self, job: Followed) -> None:
        self._save()
        self._watcher.changed(job)

    def _end_unstarted(self, job: Followed, error: UserError, on_end: Callable[[Followed], None]) -> None:
        job.error, job.record.stage, job.record.status = JobFailed(str(error)), "ended", "NotStarted"
        job.record.reason = str(error)
        self._changed(job)
        on_end(job)

    def _in_trouble(self, error: AwsError) -> None:
        now = time.monotonic()
        if self._trouble_since is None:
            self._trouble_since = now
            self._watcher.trouble(f"{error} The jobs go on all the same; asking again until it answers.")
        if isinstance(error, NoCredentials):
            self._account.enter_anew()
        if now - self._trouble_since > GIVE_UP_AFTER_S:
            raise LostSight(
                f"For {GIVE_UP_AFTER_S / 3600:g} hours nothing could be learned of the jobs, which go on: {error}"
            )

    def _out_of_trouble(self) -> None:
        if self._trouble_since is not None:
            self._trouble_since = None
            self._watcher.trouble(None)
