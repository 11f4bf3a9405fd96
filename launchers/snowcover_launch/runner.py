"""Jobs from their start to their results, whoever waits for them: a sweep, or `jobs attach`."""

import logging
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue

from snowcover.cli import sentence
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
    """The jobs of a batch: some in this process, one after another, while others run elsewhere."""

    def __init__(self, file: JobsFile, jobs: Sequence[Job], backends: Mapping[str, Backend]) -> None:
        self._file = file
        self._backends = backends
        self._here = [job for job in jobs if backends[job.backend].in_process]
        self._tracked = [TrackedJob(job, file.folder_of(job)) for job in jobs if job not in self._here]
        self._errors: dict[int, Exception] = {}
        self._tell: Callable[[str], None] = log.info

    def start(self) -> Errors:
        """Start the jobs elsewhere and leave them; then run those in this process."""
        self._file.save()
        if self._tracked:
            with watching(self._tracked, alone=True) as watcher:
                JobPoller(self._file, self._tracked, self._backends, watcher).start_all()
            for one in self._tracked:
                if one.job.state is State.NOT_STARTED:
                    self._errors[one.job.number] = JobFailed(one.job.reason or "not started")
                    log.warning("  %d  %s", one.job.number, one.job.reason)
            log.info("Not waiting (launch.wait=false). %s", self._how_to_attach)
        self._run_here()
        return self._errors

    def run(self, max_parallel: int | None, on_interrupt: str | None) -> Errors:
        """Start what is not started, wait for all to end, import what they left.

        Args:
            max_parallel: jobs that a backend without limits of its own runs at a time.
            on_interrupt: stop or detach; None asks.

        Raises:
            Stopped: Ctrl-C or SIGTERM; says what became of the jobs.
            PollingTimeout: says how to attach to the jobs again.
        """
        if not self._tracked:
            self._run_here()
            return self._errors
        self._file.save()
        with watching(self._tracked, alone=not self._here) as watcher, stopping_on_signals(repeatedly=True):
            poller = JobPoller(self._file, self._tracked, self._backends, watcher, max_parallel)
            self._tell = watcher.tell
            try:
                if self._here:
                    self._run_beside(poller)
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
            except Exception as error:  # told at once, for others may run for hours yet
                self._file.move(job, State.FAILED, reason=first_line(error))
                self._errors[job.number] = error
                log.warning("  %d  %s", job.number, sentence(error, "config"))

    def _run_beside(self, poller: JobPoller) -> None:
        """Poll in a thread, for training wants the main one; import in the main one, as MLflow's own writes do."""
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
            while (one := ended.get()) is not None:
                if isinstance(one, BaseException):
                    raise one
                self._ended(one)
        except BaseException:
            poller.halt()
            raise

    # Elsewhere

    def _ended(self, one: TrackedJob) -> None:
        """Import what a job left. What cannot be imported now can be later: its run is not lost."""
        job = one.job
        if job.state is not State.NOT_STARTED and job.twin_of is None:
            self._import(one)
        if job.state is State.COMPLETED and job.objective is not None:
            self._tell(f"  {job.number}  val_iou {job.objective:.4f}  {job.title}")
        else:
            self._errors[job.number] = one.failure
            self._tell(f"  {job.number}  {one.failure}")
        self._file.save()

    def _import(self, one: TrackedJob) -> None:
        job, backend = one.job, self._backends[one.job.backend]
        try:
            job.run_id = backend.collect(job, one.report or job.as_found or backend.poll(job))
        except UserError as error:
            self._tell(f"{error} The run of {job.name} stays where the job left it: {self._how_to_attach}")
        except Exception as error:
            why = f"{type(error).__name__}: {first_line(error)}"
            self._tell(f"The run of {job.name} could not be imported ({why}): {self._how_to_attach}")

    def _interrupted(self, poller: JobPoller, stop: Stopped, wanted: str | None) -> Stopped:
        number = stop.signal_number
        begin = f"Stopped by {signal.Signals(number).name}"
        ours = [one for one in poller.running if not one.job.adopted]
        with_us = [one for one in ours if not self._backends[one.job.backend].outlives_us]
        elsewhere = [one for one in ours if one not in with_us]
        others = [one for one in poller.running if one.job.adopted]
        said = poller.stop(with_us)
        if with_us and not said:  # they have ended with us, and nobody else imports what they left
            poller.poll_once(with_us, self._ended)
            said.append(f"{_several(with_us)} of this machine stopped; what was learned until then is kept.")
        if elsewhere:
            if (wanted or _asked(len(elsewhere), number)) == "stop":
                in_the_way = poller.stop(elsewhere)
                said += in_the_way or [f"{_several(elsewhere)} asked to stop; what they have learned is kept."]
            else:
                stops = f"`python -m snowcover.jobs stop {self._file.folder}` stops them."
                said.append(f"running on, and costing, until they end: {_several(elsewhere)}; {stops}")
        if others:
            said.append(f"{_several(others)} of another command {'runs' if len(others) == 1 else 'run'} on.")
        if not elsewhere and not others:
            return Stopped(f"{begin}; {' '.join(said) or 'no job runs on a cloud instance.'}", number)
        return Stopped(f"{begin}: {' '.join(said)} {self._how_to_attach}", number)

    @property
    def _how_to_attach(self) -> str:
        return f"`python -m snowcover.jobs attach {self._file.folder}` waits for them and imports their results."


def _several(jobs: Sequence[object]) -> str:
    return f"{len(jobs)} job" + ("" if len(jobs) == 1 else "s")


def _asked(running: int, number: int) -> str:
    """stop or detach; without anybody to ask the jobs run on, for a lost run costs more than it saves."""
    if number != signal.SIGINT or not sys.stdin.isatty():
        return "detach"
    try:
        answer = input(f"\nStop what runs ({running} jobs)? [y: stop them / n: let them run] ")
    except (EOFError, KeyboardInterrupt):
        return "detach"
    return "stop" if answer.strip().lower().startswith(("y", "s")) else "detach"
