"""Jobs on rented machines from their start to their results, whoever waits for them: a sweep, or `jobs attach`."""

import logging
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Generic, TypeVar

from snowcover.errors import Stopped, UserError, first_line
from snowcover_launch import results
from snowcover_launch.aws.session import Account
from snowcover_launch.jobs_file import NAME, SweepRecord, read_record
from snowcover_launch.poller import Follower, LostSight
from snowcover_launch.progress import watching
from snowcover_launch.result import Outcome
from snowcover_launch.signals import stopping_on_signals
from snowcover_launch.tracked_job import Followed, failure_of, result_of

log = logging.getLogger(__name__)

K = TypeVar("K")  # what the caller knows a job by
Meanwhile = Callable[[], None]


class Away(Generic[K]):
    """Jobs that run elsewhere, and the record of them on this machine."""

    def __init__(self, account: Account, sweep: str, folder: Path, jobs: Mapping[K, Followed]) -> None:
        """`folder` is the sweep's; jobs of earlier batches that are recorded there stay recorded."""
        self._account = account
        self._folder = folder
        self._jobs = jobs
        followed = self._followed = list(jobs.values())
        mine = {job.record.name for job in followed}
        before = read_record(folder).jobs if (folder / NAME).exists() else []
        records = [record for record in before if record.name not in mine] + [job.record for job in followed]
        self._record = SweepRecord(sweep=sweep, region=account.region, profile=account.profile, jobs=records)
        self._outcomes: dict[str, Outcome] = {}
        self._tell: Callable[[str], None] = log.info

    def send(self) -> None:
        """Start the jobs and leave them."""
        self._save()
        with watching(self._followed, alone=True) as watcher:
            Follower(self._account, self._followed, self._save, watcher).start_all()
        log.info("Not waiting (launch.wait=false). %s", self._how_to_attach)

    def run(
        self, max_parallel: int | None, on_interrupt: str | None, meanwhile: Meanwhile | None = None
    ) -> dict[K, Outcome]:
        """Start what is not started, follow all to their ends, bring home what they left.

        Args:
            on_interrupt: stop or detach; None asks.
            meanwhile: what is to run on this machine while the jobs run.

        Raises:
            Stopped: Ctrl-C or SIGTERM; says what became of the jobs.
            LostSight: says how to attach to the jobs again.
        """
        self._save()
        with watching(self._followed, alone=meanwhile is None) as watcher, stopping_on_signals():
            follower = Follower(self._account, self._followed, self._save, watcher, max_parallel)
            self._tell = watcher.tell
            try:
                if meanwhile is None:
                    follower.run(self._ended)
                else:
                    self._run_beside(follower, meanwhile)
            except Stopped as stop:
                interrupt = stop
            except LostSight as error:
                raise LostSight(f"{error} {self._how_to_attach}") from error
            else:
                return {key: self._outcomes[job.record.name] for key, job in self._jobs.items()}
        raise self._interrupted(follower, interrupt, on_interrupt)

    def _run_beside(self, follower: Follower, meanwhile: Meanwhile) -> None:
        """Follow in a thread, for training wants the main one; home they come in the main one, as MLflow's do."""
        ended: SimpleQueue[Followed | BaseException | None] = SimpleQueue()

        def follow() -> None:
            try:
                follower.run(ended.put)
                ended.put(None)
            except BaseException as error:
                ended.put(error)

        threading.Thread(target=follow, name="jobs", daemon=True).start()
        try:
            meanwhile()
            while (job := ended.get()) is not None:
                if isinstance(job, BaseException):
                    raise job
                self._ended(job)
        except BaseException:
            follower.halt()
            raise

    def _ended(self, job: Followed) -> None:
        """Take in what a job left. What cannot be brought home now can be later: its run is not lost."""
        record = job.record
        result = result_of(self._account, record) if job.state is not None else None
        if job.state is not None:
            try:
                record.run_id = results.bring_run_home(self._account, record, job.state)
            except UserError as error:
                self._tell(f"{error} The run of {record.name} stays in S3: {self._how_to_attach}")
            except Exception as error:
                why = f"{type(error).__name__}: {first_line(error)}"
                self._tell(f"The run of {record.name} could not be brought home ({why}): {self._how_to_attach}")
        if result is not None and job.state is not None and job.state.status == "Completed":
            record.objective = float(result["objective"])
            self._outcomes[record.name] = Outcome(record.objective)
            self._tell(f"  {record.number}  val_iou {record.objective:.4f}  {record.title}")
        else:
            failure = failure_of(job)
            self._outcomes[record.name] = Outcome(error=failure)
            self._tell(f"  {record.number}  {failure}")
        self._save()

    def _interrupted(self, follower: Follower, stop: Stopped, wanted: str | None) -> Stopped:
        running = [job.record.name for job in follower.running]
        number = stop.signal_number
        if not running:
            return Stopped(f"Stopped by {signal.Signals(number).name}; no job runs on rented machines.", number)
        wanted = wanted or _asked(len(running), number)
        if wanted == "stop":
            in_the_way = follower.stop()
            what = " ".join(in_the_way) or f"{_several(len(running))} asked to stop; what they have learned is kept."
        else:
            stops = f"`python -m snowcover.jobs stop {self._folder}` stops them."
            what = f"running on, and costing, until they end: {_several(len(running))}; {stops}"
        return Stopped(f"Stopped by {signal.Signals(number).name}: {what} {self._how_to_attach}", number)

    @property
    def _how_to_attach(self) -> str:
        return f"`python -m snowcover.jobs attach {self._folder}` waits for them and brings their results home."

    def _save(self) -> None:
        self._record.save(self._folder)


def _several(jobs: int) -> str:
    return f"{jobs} job" + ("" if jobs == 1 else "s")


def _asked(running: int, number: int) -> str:
    """stop or detach; without anybody to ask the jobs run on, for a lost run costs more than it saves."""
    if number != signal.SIGINT or not sys.stdin.isatty():
        return "detach"
    try:
        answer = input(f"\nStop what runs ({_several(running)})? [y: stop them / n: let them run] ")
    except (EOFError, KeyboardInterrupt):
        return "detach"
    return "stop" if answer.strip().lower().startswith(("y", "s")) else "detach"
