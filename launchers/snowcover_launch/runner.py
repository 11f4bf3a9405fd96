"""Jobs from their start to their results: for a sweep, and for `jobs attach`."""

import logging
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue

from snowcover.cli import user_message
from snowcover.errors import Stopped, UserError, first_line
from snowcover.signals import stopping_on_signals
from snowcover_launch.backends.base import Backend
from snowcover_launch.errors import JobFailed
from snowcover_launch.job import Job, State
from snowcover_launch.jobs_file import JobsFile
from snowcover_launch.poller import JobPoller, PollingTimeout
from snowcover_launch.progress import watching
from snowcover_launch.tracked_job import TrackedJob

log = logging.getLogger(__name__)

Errors = Mapping[int, Exception]
"""number of a job that has no result -> why"""


class JobRunner:
    """The jobs of a batch: some run in this process, one after another, while others run elsewhere."""

    def __init__(self, file: JobsFile, jobs: Sequence[Job], backends: Mapping[str, Backend]) -> None:
        self._file = file
        self._backends = backends
        self._here = [job for job in jobs if backends[job.backend].in_process]
        self._tracked = [TrackedJob(job, file.folder_of(job)) for job in jobs if job not in self._here]
        self._errors: dict[int, Exception] = {}
        self._show: Callable[[str], None] = log.info

    def start(self) -> Errors:
        """Start the jobs elsewhere without waiting; then run those in this process."""
        self._file.save()
        if self._tracked:
            with watching(self._tracked, alone=True) as watcher:
                JobPoller(self._file, self._tracked, self._backends, watcher).start_all()
            for tracked in self._tracked:
                if tracked.job.state is State.NOT_STARTED:
                    self._errors[tracked.job.number] = JobFailed(tracked.job.reason or "not started")
                    log.warning("  %d  %s", tracked.job.number, tracked.job.reason)
            log.info("Not waiting (launch.wait=false). %s", self._how_to_attach)
        self._run_here()
        return self._errors

    def run(self, max_parallel: int | None, on_interrupt: str | None) -> Errors:
        """Start the jobs that are not started, wait for all to end, import their results.

        Args:
            max_parallel: how many jobs run at a time on a backend without its own limit.
            on_interrupt: stop or detach; None asks.

        Raises:
            Stopped: Ctrl-C or SIGTERM; the message says what happens to the jobs.
            PollingTimeout: the message says how to attach to the jobs again.
        """
        if not self._tracked:
            self._run_here()
            return self._errors
        self._file.save()
        with watching(self._tracked, alone=not self._here) as watcher, stopping_on_signals(repeatedly=True):
            poller = JobPoller(self._file, self._tracked, self._backends, watcher, max_parallel)
            self._show = watcher.show
            try:
                if self._here:
                    self._run_alongside(poller)
                else:
                    poller.run(self._ended)
            except Stopped as stop:
                interrupt = stop
            except PollingTimeout as error:
                raise PollingTimeout(f"{error} {self._how_to_attach}") from error
            else:
                return self._errors
        raise self._interrupted(poller, interrupt, on_interrupt)

    # In this process

    def _run_here(self) -> None:
        for job in self._here:
            self._file.move(job, State.SUBMITTING)
            try:
                self._file.move(job, State.COMPLETED, self._backends[job.backend].submit(job))
            except Exception as error:  # logged at once: the others may run for hours
                self._file.move(job, State.FAILED, reason=first_line(error))
                self._errors[job.number] = error
                log.warning("  %d  %s", job.number, user_message(error, "config"))

    def _run_alongside(self, poller: JobPoller) -> None:
        """Poll in a thread, since training needs the main one; import runs in the main one, where MLflow writes too."""
        ended: SimpleQueue[TrackedJob | BaseException | None] = SimpleQueue()

        def poll() -> None:
            try:
                poller.run(ended.put)
                ended.put(None)
            except BaseException as error:
                ended.put(error)

        threading.Thread(target=poll, name="jobs", daemon=True).start()
        try:
            self._run_here()
            while (tracked := ended.get()) is not None:
                if isinstance(tracked, BaseException):
                    raise tracked
                self._ended(tracked)
        except BaseException:
            poller.halt()
            raise

    # Elsewhere

    def _ended(self, tracked: TrackedJob) -> None:
        """Import an ended job's run. If that fails it can be imported later: the run is not lost."""
        job = tracked.job
        if job.state is not State.NOT_STARTED and job.twin_of is None:
            self._import(tracked)
        if job.state is State.COMPLETED and job.objective is not None:
            self._show(f"  {job.number}  val_iou {job.objective:.4f}  {job.title}")
        else:
            self._errors[job.number] = tracked.failure
            self._show(f"  {job.number}  {tracked.failure}")
        self._file.save()

    def _import(self, tracked: TrackedJob) -> None:
        job, backend = tracked.job, self._backends[tracked.job.backend]
        try:
            job.run_id = backend.collect(job, tracked.report or job.as_found or backend.poll(job))
        except UserError as error:
            self._show(f"{error} The run of {job.name} stays where the job left it: {self._how_to_attach}")
        except Exception as error:
            why = f"{type(error).__name__}: {first_line(error)}"
            self._show(f"The run of {job.name} could not be imported ({why}): {self._how_to_attach}")

    def _interrupted(self, poller: JobPoller, stop: Stopped, wanted: str | None) -> Stopped:
        number = stop.signal_number
        prefix = f"Stopped by {signal.Signals(number).name}"
        ours = [tracked for tracked in poller.running if not tracked.job.adopted]
        local = [tracked for tracked in ours if not self._backends[tracked.job.backend].outlives_us]
        remote = [tracked for tracked in ours if tracked not in local]
        others = [tracked for tracked in poller.running if tracked.job.adopted]
        parts = poller.stop(local)
        if local and not parts:  # they end with this command, so no other command imports their runs
            poller.poll_once(local, self._ended)
            parts.append(f"{_count_of(local)} on this machine stopped; training up to then is saved.")
        if remote:
            if (wanted or _ask_stop_or_detach(len(remote), number)) == "stop":
                problems = poller.stop(remote)
                parts += problems or [f"{_count_of(remote)} asked to stop; training up to then is saved."]
            else:
                how_to_stop = f"`python -m snowcover.jobs stop {self._file.folder}` stops them."
                parts.append(f"still running, and costing money, until they end: {_count_of(remote)}; {how_to_stop}")
        if others:
            parts.append(f"{_count_of(others)} of another command still {'runs' if len(others) == 1 else 'run'}.")
        if not remote and not others:
            return Stopped(f"{prefix}; {' '.join(parts) or 'no job runs on a cloud instance.'}", number)
        return Stopped(f"{prefix}: {' '.join(parts)} {self._how_to_attach}", number)

    @property
    def _how_to_attach(self) -> str:
        return f"`python -m snowcover.jobs attach {self._file.folder}` waits for them and imports their results."


def _count_of(jobs: Sequence[object]) -> str:
    return f"{len(jobs)} job" + ("" if len(jobs) == 1 else "s")


def _ask_stop_or_detach(running: int, number: int) -> str:
    """stop or detach. With nobody to ask, detach: a lost run costs more than it saves."""
    if number != signal.SIGINT or not sys.stdin.isatty():
        return "detach"
    try:
        answer = input(f"\nStop the running jobs ({running})? [y: stop them / n: let them run] ")
    except (EOFError, KeyboardInterrupt):
        return "detach"
    return "stop" if answer.strip().lower().startswith(("y", "s")) else "detach"
