"""Jobs from their start to their end: submitted as places come free, polled, and tried again where that may help."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from snowcover.errors import UserError
from snowcover_launch.backends.base import Backend
from snowcover_launch.errors import BackendError, CredentialsRefused, NoCapacity, NotFound, Unreachable
from snowcover_launch.job import Report, State
from snowcover_launch.jobs_file import JobsFile
from snowcover_launch.tracked_job import LATEST_S, SOONEST_S, TrackedJob

# DescribeTrainingJob allows some calls a second for the whole account: leave room for others.
POLLS_PER_S = 2.0
# A router restarts, a laptop sleeps, somebody signs in again: the jobs run on all the same.
GIVE_UP_AFTER_S = 2 * 3600
CAPACITY_PAUSE_S = 60.0
LOOP_PAUSE_S = 0.2


class PollingTimeout(UserError):
    """Nothing could be learned of running jobs for hours; they go on."""


class Watcher(Protocol):
    """Who is told what happens to jobs."""

    def changed(self, tracked: TrackedJob) -> None:
        """A job's state, or what is said of it, is new."""

    def printed(self, tracked: TrackedJob, lines: Sequence[str]) -> None:
        """A job has printed these lines since the last call."""

    def trouble(self, sentence: str | None) -> None:
        """Why polling fails at the moment; None once it works again."""

    def tell(self, sentence: str) -> None:
        """A sentence for the user about the whole batch."""


class JobPoller:
    """Starts and polls jobs until all have ended. Knows no backend but by its protocol."""

    def __init__(
        self, file: JobsFile, tracked: Sequence[TrackedJob], backends: Mapping[str, Backend], watcher: Watcher,
        max_parallel: int | None = None,
    ) -> None:  # fmt: skip
        self._file = file
        self._tracked = list(tracked)
        self._backends = backends
        self._watcher = watcher
        self._max_parallel = max_parallel or len(tracked)
        self._trouble_since: float | None = None
        self._halted = False
        self._told_to_wait: set[int] = set()

    def halt(self) -> None:
        """Let `run` end soon, whatever the jobs do."""
        self._halted = True

    @property
    def running(self) -> list[TrackedJob]:
        """Those that run, or may: the answer to the request that starts one may still be on its way."""
        return [one for one in self._tracked if one.job.state in (State.SUBMITTING, State.RUNNING)]

    @property
    def waiting(self) -> list[TrackedJob]:
        return [one for one in self._tracked if one.job.state is State.PLANNED and one.job.twin_of is None]

    def start_all(self) -> None:
        """Start every job, without waiting for any; one for which there is no machine now is not started."""
        while self.waiting:
            self._submit_what_may(lambda _: None, wait_for_capacity=False)
            time.sleep(SOONEST_S if self.waiting else 0)

    def run(self, on_end: Callable[[TrackedJob], None]) -> None:
        """Until every job has ended; `on_end` is called once for each.

        Raises:
            PollingTimeout: nothing could be learned for GIVE_UP_AFTER_S.
        """
        for one in self._tracked:
            if one.job.state.has_ended:
                self._tell_end(one, on_end)
        while (self.running or self.waiting) and not self._halted:
            self._submit_what_may(on_end, wait_for_capacity=True)
            for one in self.running:
                if one.due <= time.monotonic():
                    self._poll(one, on_end)
            time.sleep(LOOP_PAUSE_S)

    def stop(self, jobs: Sequence[TrackedJob]) -> list[str]:
        """Ask jobs to stop; returns what was in the way."""
        in_the_way = []
        for one in jobs:
            try:
                self._backend(one).stop(one.job)
            except NotFound:
                continue  # it never came to be
            except BackendError as error:
                in_the_way.append(str(error))
        return in_the_way

    def poll_once(self, jobs: Sequence[TrackedJob], on_end: Callable[[TrackedJob], None]) -> None:
        """See what has become of jobs; `on_end` is called for each that has ended."""
        for one in jobs:
            self._poll(one, on_end)

    def _backend(self, one: TrackedJob) -> Backend:
        return self._backends[one.job.backend]

    # Starting

    def _submit_what_may(self, on_end: Callable[[TrackedJob], None], wait_for_capacity: bool) -> None:
        for one in self.waiting:
            if one.due > time.monotonic() or not self._has_place(one):
                continue
            try:
                self._submit(one)
            except Unreachable as error:
                if isinstance(error, CredentialsRefused) and self.running == [one]:
                    raise  # there is nothing to wait for
                self._file.move(one.job, State.PLANNED)
                self._in_trouble(error)
                one.schedule_next_poll(False, 0)
                return
            except NoCapacity as error:
                if wait_for_capacity or error.pause_s == 0:
                    self._wait_for_capacity(one, error, CAPACITY_PAUSE_S if error.pause_s is None else error.pause_s)
                else:
                    self._end(one, State.NOT_STARTED, on_end, reason=str(error))
            except UserError as error:
                self._end(one, State.NOT_STARTED, on_end, reason=str(error))

    def _has_place(self, one: TrackedJob) -> bool:
        beside = [other for other in self.running if other.job.backend == one.job.backend]
        slots = self._backend(one).slots
        return len(beside) < (self._max_parallel if slots is None else slots)

    def _submit(self, one: TrackedJob) -> None:
        self._file.move(one.job, State.SUBMITTING)  # whoever is killed now must not forget a job that may run, and cost
        report = self._backend(one).submit(one.job)
        self._out_of_trouble()
        one.began = time.monotonic()
        one.saw(report)
        self._file.move(one.job, State.RUNNING, report)
        one.schedule_next_poll(True, self._shortest_s)
        self._watcher.changed(one)

    def _wait_for_capacity(self, one: TrackedJob, error: UserError | str, pause_s: float) -> None:
        self._file.move(one.job, State.PLANNED, reason=str(error))
        one.report = None
        one.due = time.monotonic() + pause_s
        if one.job.number not in self._told_to_wait:
            self._told_to_wait.add(one.job.number)
            self._watcher.tell(f"  {one.job.number}  waits for a machine: {error}")

    # Polling

    @property
    def _shortest_s(self) -> float:
        return len(self.running) / POLLS_PER_S

    def _poll(self, one: TrackedJob, on_end: Callable[[TrackedJob], None]) -> None:
        backend = self._backend(one)
        try:
            report = backend.poll(one.job)
            lines = backend.logs(one.job)
        except NotFound as error:  # the command that was to start it ended before it could
            self._end(one, State.NOT_STARTED, on_end, reason=str(error))
            return
        except BackendError as error:
            self._in_trouble(error)
            one.schedule_next_poll(False, LATEST_S / 4)
            return
        self._out_of_trouble()
        changed = one.saw(report)
        one.printed(lines)
        if lines:
            self._watcher.printed(one, lines)
        if report.no_capacity and (pause_s := backend.retry(one.job)) is not None:
            self._wait_for_capacity(one, report.reason or "there is none", pause_s)
            return
        if report.state.has_ended:
            self._end(one, report.state, on_end, report)
            return
        if one.is_silent:
            self._stop_silent(one)
        one.schedule_next_poll(changed or bool(lines), self._shortest_s)
        if one.job.state is State.SUBMITTING:
            self._file.move(one.job, State.RUNNING, report)
        elif changed:
            one.job.learn(report)
            self._file.save()
        if changed:
            self._watcher.changed(one)

    def _stop_silent(self, one: TrackedJob) -> None:
        one.heard = time.monotonic()  # told once in that time, should the stop not be heard
        self._watcher.tell(
            f"  {one.job.number}  {one.job.name} has printed nothing for {one.job.max_silent_minutes:g} minutes "
            "(hw.max_silent_minutes): it is asked to stop. The same command goes on from its last epoch."
        )
        if in_the_way := self.stop([one]):
            self._watcher.tell(" ".join(in_the_way))

    # Ending

    def _end(
        self, one: TrackedJob, state: State, on_end: Callable[[TrackedJob], None], report: Report | None = None,
        reason: str | None = None,
    ) -> None:  # fmt: skip
        self._file.move(one.job, state, report, reason)
        self._watcher.changed(one)
        self._tell_end(one, on_end)

    def _tell_end(self, one: TrackedJob, on_end: Callable[[TrackedJob], None]) -> None:
        on_end(one)
        for twin in self._tracked:
            if twin.job.twin_of == one.job.number and twin.job.state is State.PLANNED:
                twin.report = one.report
                twin.job.name, twin.job.objective, twin.job.test_iou = one.job.name, one.job.objective, one.job.test_iou
                self._file.move(twin.job, one.job.state, one.report, one.job.reason)
                on_end(twin)

    # Trouble

    def _in_trouble(self, error: BackendError) -> None:
        now = time.monotonic()
        if self._trouble_since is None:
            self._trouble_since = now
            self._watcher.trouble(f"{error} The jobs go on all the same; asking again until it answers.")
        if now - self._trouble_since > GIVE_UP_AFTER_S:
            raise PollingTimeout(
                f"For {GIVE_UP_AFTER_S / 3600:g} hours nothing could be learned of the jobs, which go on: {error}"
            )

    def _out_of_trouble(self) -> None:
        if self._trouble_since is not None:
            self._trouble_since = None
            self._watcher.trouble(None)
