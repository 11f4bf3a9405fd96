"""Jobs from start to end: submitted as slots become free, polled, and retried where that may help."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from snowcover.errors import UserError
from snowcover_launch.backends.base import Backend
from snowcover_launch.errors import BackendError, CredentialsRefused, NoCapacity, NotFound, Unreachable
from snowcover_launch.job import Report, State
from snowcover_launch.jobs_file import JobsFile
from snowcover_launch.tracked_job import MAX_POLL_INTERVAL_S, MIN_POLL_INTERVAL_S, TrackedJob

# DescribeTrainingJob allows some calls a second for the whole account: leave room for others.
POLLS_PER_S = 2.0
# A router restarts, a laptop sleeps, credentials expire: the jobs keep running meanwhile.
GIVE_UP_AFTER_S = 2 * 3600
CAPACITY_PAUSE_S = 60.0
LOOP_PAUSE_S = 0.2


class PollingTimeout(UserError):
    """Running jobs could not be polled for hours; they keep running."""


class Watcher(Protocol):
    """Is notified of what happens to jobs."""

    def changed(self, tracked: TrackedJob) -> None:
        """A job's state or its details have changed."""

    def printed(self, tracked: TrackedJob, lines: Sequence[str]) -> None:
        """A job has printed these lines since the last call."""

    def polling_problem(self, message: str | None) -> None:
        """Why polling fails at the moment; None when it works again."""

    def show(self, message: str) -> None:
        """Show the user a message."""


class JobPoller:
    """Starts and polls jobs until all have ended. Knows backends only by their protocol."""

    def __init__(
        self, file: JobsFile, tracked_jobs: Sequence[TrackedJob], backends: Mapping[str, Backend], watcher: Watcher,
        max_parallel: int | None = None,
    ) -> None:  # fmt: skip
        self._file = file
        self._tracked = list(tracked_jobs)
        self._backends = backends
        self._watcher = watcher
        self._max_parallel = max_parallel or len(tracked_jobs)
        self._failing_since: float | None = None
        self._halted = False
        self._reported_waiting: set[int] = set()

    def halt(self) -> None:
        """Make `run` return soon, whatever the jobs do."""
        self._halted = True

    @property
    def running(self) -> list[TrackedJob]:
        """Jobs that run or may run: a submission may not have been answered yet."""
        return [tracked for tracked in self._tracked if tracked.job.state in (State.SUBMITTING, State.RUNNING)]

    @property
    def waiting(self) -> list[TrackedJob]:
        return [
            tracked for tracked in self._tracked if tracked.job.state is State.PLANNED and tracked.job.twin_of is None
        ]

    def start_all(self) -> None:
        """Start every job without waiting for any. A job for which no machine is available now is not started."""
        while self.waiting:
            self._submit_waiting(lambda _: None, wait_for_capacity=False)
            time.sleep(MIN_POLL_INTERVAL_S if self.waiting else 0)

    def run(self, on_end: Callable[[TrackedJob], None]) -> None:
        """Start and poll until every job has ended; `on_end` is called once for each.

        Raises:
            PollingTimeout: polling failed for GIVE_UP_AFTER_S.
        """
        for tracked in self._tracked:
            if tracked.job.state.has_ended:
                self._notify_end(tracked, on_end)
        while (self.running or self.waiting) and not self._halted:
            self._submit_waiting(on_end, wait_for_capacity=True)
            for tracked in self.running:
                if tracked.next_poll_at <= time.monotonic():
                    self._poll(tracked, on_end)
            time.sleep(LOOP_PAUSE_S)

    def stop(self, jobs: Sequence[TrackedJob]) -> list[str]:
        """Ask jobs to stop. Returns the errors, if any."""
        problems = []
        for tracked in jobs:
            try:
                self._backend(tracked).stop(tracked.job)
            except NotFound:
                continue  # it was never created
            except BackendError as error:
                problems.append(str(error))
        return problems

    def poll_once(self, jobs: Sequence[TrackedJob], on_end: Callable[[TrackedJob], None]) -> None:
        """Poll jobs once; `on_end` is called for each that has ended."""
        for tracked in jobs:
            self._poll(tracked, on_end)

    def _backend(self, tracked: TrackedJob) -> Backend:
        return self._backends[tracked.job.backend]

    # Starting

    def _submit_waiting(self, on_end: Callable[[TrackedJob], None], wait_for_capacity: bool) -> None:
        for tracked in self.waiting:
            if tracked.next_poll_at > time.monotonic() or not self._has_place(tracked):
                continue
            try:
                self._submit(tracked)
            except Unreachable as error:
                if isinstance(error, CredentialsRefused) and self.running == [tracked]:
                    raise  # nothing else is running
                self._file.move(tracked.job, State.PLANNED)
                self._polling_failed(error)
                tracked.schedule_next_poll(False, 0)
                return
            except NoCapacity as error:
                if wait_for_capacity or error.pause_s == 0:
                    pause_s = CAPACITY_PAUSE_S if error.pause_s is None else error.pause_s
                    self._wait_for_capacity(tracked, error, pause_s)
                else:
                    self._end(tracked, State.NOT_STARTED, on_end, reason=str(error))
            except UserError as error:
                self._end(tracked, State.NOT_STARTED, on_end, reason=str(error))

    def _has_place(self, tracked: TrackedJob) -> bool:
        competing = [other for other in self.running if other.job.backend == tracked.job.backend]
        slots = self._backend(tracked).slots
        return len(competing) < (self._max_parallel if slots is None else slots)

    def _submit(self, tracked: TrackedJob) -> None:
        self._file.move(tracked.job, State.SUBMITTING)  # before it may run and cost
        report = self._backend(tracked).submit(tracked.job)
        self._polling_succeeded()
        tracked.started_at = time.monotonic()
        tracked.update(report)
        self._file.move(tracked.job, State.RUNNING, report)
        tracked.schedule_next_poll(True, self._min_interval_s)
        self._watcher.changed(tracked)

    def _wait_for_capacity(self, tracked: TrackedJob, error: UserError | str, pause_s: float) -> None:
        self._file.move(tracked.job, State.PLANNED, reason=str(error))
        tracked.report = None
        tracked.next_poll_at = time.monotonic() + pause_s
        if tracked.job.number not in self._reported_waiting:
            self._reported_waiting.add(tracked.job.number)
            self._watcher.show(f"  {tracked.job.number}  waits for a machine: {error}")

    # Polling

    @property
    def _min_interval_s(self) -> float:
        return len(self.running) / POLLS_PER_S

    def _poll(self, tracked: TrackedJob, on_end: Callable[[TrackedJob], None]) -> None:
        backend = self._backend(tracked)
        try:
            report = backend.poll(tracked.job)
            lines = backend.logs(tracked.job)
        except NotFound as error:  # the command that was starting it ended first
            self._end(tracked, State.NOT_STARTED, on_end, reason=str(error))
            return
        except BackendError as error:
            self._polling_failed(error)
            tracked.schedule_next_poll(False, MAX_POLL_INTERVAL_S / 4)
            return
        self._polling_succeeded()
        changed = tracked.update(report)
        tracked.add_output(lines)
        if lines:
            self._watcher.printed(tracked, lines)
        if report.no_capacity and (pause_s := backend.retry(tracked.job)) is not None:
            self._wait_for_capacity(tracked, report.reason or "there is none", pause_s)
            return
        if report.state.has_ended:
            self._end(tracked, report.state, on_end, report)
            return
        if tracked.is_silent:
            self._stop_silent(tracked)
        tracked.schedule_next_poll(changed or bool(lines), self._min_interval_s)
        if tracked.job.state is State.SUBMITTING:
            self._file.move(tracked.job, State.RUNNING, report)
        elif changed:
            tracked.job.apply(report)
            self._file.save()
        if changed:
            self._watcher.changed(tracked)

    def _stop_silent(self, tracked: TrackedJob) -> None:
        tracked.last_output_at = time.monotonic()  # so that it is reported once per limit if the job ignores the stop
        job = tracked.job
        self._watcher.show(
            f"  {job.number}  {job.name} has printed nothing for {job.max_silent_minutes:g} minutes "
            "(hw.max_silent_minutes): it was asked to stop. The same command resumes from its last epoch."
        )
        if problems := self.stop([tracked]):
            self._watcher.show(" ".join(problems))

    # Ending

    def _end(
        self, tracked: TrackedJob, state: State, on_end: Callable[[TrackedJob], None], report: Report | None = None,
        reason: str | None = None,
    ) -> None:  # fmt: skip
        self._file.move(tracked.job, state, report, reason)
        self._watcher.changed(tracked)
        self._notify_end(tracked, on_end)

    def _notify_end(self, tracked: TrackedJob, on_end: Callable[[TrackedJob], None]) -> None:
        on_end(tracked)
        for twin in self._tracked:
            if twin.job.twin_of == tracked.job.number and twin.job.state is State.PLANNED:
                twin.report = tracked.report
                job = tracked.job
                twin.job.name, twin.job.objective, twin.job.test_iou = job.name, job.objective, job.test_iou
                self._file.move(twin.job, job.state, tracked.report, job.reason)
                on_end(twin)

    # Errors while polling

    def _polling_failed(self, error: BackendError) -> None:
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
            self._watcher.polling_problem(f"{error} The jobs keep running; retrying until it answers.")
        if now - self._failing_since > GIVE_UP_AFTER_S:
            raise PollingTimeout(
                f"The jobs could not be polled for {GIVE_UP_AFTER_S / 3600:g} hours; they keep running: {error}"
            )

    def _polling_succeeded(self) -> None:
        if self._failing_since is not None:
            self._failing_since = None
            self._watcher.polling_problem(None)
