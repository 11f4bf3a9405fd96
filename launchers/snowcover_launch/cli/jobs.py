"""`python -m snowcover.jobs`: the jobs of this folder's sweeps."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from snowcover.errors import UserError
from snowcover.terminal import log_to_terminal, say
from snowcover_launch.backends import Backends
from snowcover_launch.backends.base import Backend, SweepContext
from snowcover_launch.cost import read_prices
from snowcover_launch.job import Job, State
from snowcover_launch.jobs_file import JobsFile, NoJobs, all_jobs, read_jobs
from snowcover_launch.results import BEST


class JobsFailed(UserError):
    """Some of the jobs have no result, or could not be reached."""


@dataclass
class Selection:
    """Jobs of one sweep."""

    file: JobsFile
    jobs: list[Job]
    backends: Backends = field(init=False)

    def __post_init__(self) -> None:
        context = SweepContext(self.file.sweep, self.file.folder, read_prices(None))
        self.backends = Backends(context, account=(self.file.region, self.file.profile))

    def backend(self, job: Job) -> Backend:
        """The backend that runs a job, by its name in jobs.json."""
        return self.backends[job.backend]


class Failures:
    """Collects jobs that failed: each error is printed at once, and the other jobs continue."""

    def __init__(self) -> None:
        self._names: list[str] = []

    @contextmanager
    def job(self, job: Job) -> Iterator[None]:
        """Within the block, a UserError is printed and the job is skipped; `raise_if_any` reports it."""
        try:
            yield
        except UserError as error:
            self._names.append(job.name)
            say(f"  {job.name}  {error}")

    def raise_if_any(self) -> None:
        """Raises: JobsFailed: some were skipped."""
        if self._names:
            raise JobsFailed(f"{len(self._names)} jobs failed (errors above): {', '.join(self._names)}.")


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and run its command.

    Raises: UserError
    """
    given = _parser().parse_args(arguments)
    log_to_terminal()
    given.run(_select(given.jobs, given.outputs), given)


def _select(words: Sequence[str], outputs: Path) -> list[Selection]:
    """Selects sweeps by folder, jobs by name or its beginning; everything without words.

    Raises:
        NoJobs: no word matches anything.
    """
    files = list(all_jobs(outputs))
    if not words:
        if not files:
            raise NoJobs(f"No jobs were started from here: there is no jobs.json under {outputs}/ (--outputs DIR).")
        return [Selection(file, file.jobs) for file in files]
    selections, unknown = [], []
    for word in words:
        matches = list(_matches(word, files))
        selections += matches
        unknown += [] if matches else [word]
    if unknown:
        message = f"{', '.join(unknown)}: not a sweep's folder or the beginning of a job's name (see `jobs list`)"
        if not selections:
            raise NoJobs(f"{message}.")
        say(f"  {message}; continuing with the others")
    return selections


def _matches(word: str, files: Sequence[JobsFile]) -> Iterator[Selection]:
    if Path(word).is_dir():
        try:
            file = read_jobs(Path(word))
        except NoJobs as error:
            say(f"  {error}")
            return
        yield Selection(file, file.jobs)
        return
    for file in files:
        if jobs := [job for job in file.jobs if job.name.startswith(word) or file.sweep == word]:
            yield Selection(file, jobs)


def _list(selections: list[Selection], given: argparse.Namespace) -> None:
    for selection in selections:
        say(f"sweep {selection.file.sweep}  {selection.file.folder}")
        for job in selection.jobs:
            objective = "" if job.objective is None else f"  val_iou {job.objective:.4f}"
            status = job.state if job.state.has_ended else job.status or job.state
            say(f"  {job.number}  {job.name}  {status}  {job.machine or job.backend}{objective}  {job.title}")


def _show(selections: list[Selection], given: argparse.Namespace) -> None:
    failures = Failures()
    for selection, job in _each_started(selections):
        with failures.job(job):
            report = selection.backend(job).poll(job)
            rows = {
                "job": job.name,
                "what": job.title,
                "status": f"{report.status} ({report.detail})",
                "reason": report.reason,
                "machine": f"{job.machines} x {job.machine}{', spot' if job.spot else ''}",
                **report.facts,
                **{name.removeprefix("job_").replace("_", " "): value for name, value in report.metrics.items()},
                "val_iou": job.objective if report.objective is None else report.objective,
                "objects": job.prefix,
                "files": selection.file.folder_of(job),
            }
            say("\n".join(f"  {name:<16} {value}" for name, value in rows.items() if value is not None), "\n")
    failures.raise_if_any()


def _logs(selections: list[Selection], given: argparse.Namespace) -> None:
    failures, started = Failures(), list(_each_started(selections))
    for selection, job in started:
        with failures.job(job):
            for line in selection.backend(job).logs(job):
                say(f"{job.number}: {line}" if len(started) > 1 else line)
    failures.raise_if_any()


def _wait(selections: list[Selection], given: argparse.Namespace) -> None:
    """Like the command that started them: wait until they have ended, import their runs."""
    from snowcover_launch.runner import JobRunner

    failed = []
    for selection in selections:
        if unsent := [job for job in selection.jobs if job.state is State.PLANNED and job.twin_of is None]:
            say(f"{len(unsent)} jobs were never started: run the command again, which starts only these.")
        sent = [job for job in selection.jobs if job.may_run or job.twin_of is not None]
        errors = JobRunner(selection.file, sent, selection.backends).run(None, given.on_interrupt)
        failed += [job.name for job in sent if job.number in errors or job.result is None]
    if failed:
        raise JobsFailed(f"{len(failed)} jobs have no result: {', '.join(failed)}.")


def _stop(selections: list[Selection], given: argparse.Namespace) -> None:
    failures = Failures()
    for selection, job in _each_started(selections):
        with failures.job(job):
            backend = selection.backend(job)
            if backend.poll(job).state.has_ended:
                say(f"  {job.name} has ended")
                continue
            backend.stop(job)
            say(f"  {job.name} was asked to stop; it saves its checkpoint first")
    failures.raise_if_any()


def _fetch(selections: list[Selection], given: argparse.Namespace) -> None:
    failures = Failures()
    for selection, job in _each_started(selections):
        with failures.job(job):
            folders = selection.backend(job).fetch(job)
            say("\n".join(f"  {folder}" for folder in folders) or f"  {job.name} has left nothing yet")
            best = selection.file.folder_of(job) / "model" / BEST
            if best.is_file():
                say(f"  start from it with checkpoint.init_from={best}")
    failures.raise_if_any()


def _cost(selections: list[Selection], given: argparse.Namespace) -> None:
    """Each job once, however many sweeps use its result; in the sweep that started it, if that is here."""
    known, unknown, counted = 0.0, 0, set()
    failures = Failures()
    for selection, job in sorted(_each_started(selections), key=lambda pair: pair[1].adopted):
        if job.name in counted:
            continue
        counted.add(job.name)
        with failures.job(job):
            metrics = selection.backend(job).poll(job).metrics
            seconds, usd = metrics.get("job_billable_seconds"), metrics.get("job_cost_usd")
            duration = "still running" if seconds is None else f"{seconds / 3600:.2f} h"
            say(f"  {job.name}  {duration}  {'unknown' if usd is None else f'{usd:.2f} USD'}")
            known, unknown = known + (usd or 0), unknown + (usd is None)
    say(f"  {known:.2f} USD in all" + (f", and {unknown} jobs of unknown cost" if unknown else ""))
    failures.raise_if_any()


def _each_started(selections: list[Selection]) -> list[tuple[Selection, Job]]:
    return [(selection, job) for selection in selections for job in selection.jobs if job.may_run]


COMMANDS: dict[str, tuple[Callable[[list[Selection], argparse.Namespace], None], str]] = {
    "list": (_list, "the jobs that were started from here, with their last known status"),
    "show": (_show, "the current status of jobs, from their backend"),
    "logs": (_logs, "the output of jobs"),
    "wait": (_wait, "wait until jobs have ended and import their results"),
    "attach": (_wait, "the same, after the command that started them was interrupted"),
    "stop": (_stop, "ask jobs to stop; they save their checkpoints first"),
    "fetch": (_fetch, "download the models and outputs of jobs to this machine"),
    "cost": (_cost, "what jobs have cost, by the price table at the time they were started"),
}


def _folder(given: str) -> Path:
    return Path(given).expanduser()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m snowcover.jobs", description="Jobs that were started from here.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (run, what) in COMMANDS.items():
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument(
            "jobs", nargs="*", help="names of jobs or their beginnings, or folders of sweeps; all if none"
        )
        command.add_argument("--outputs", type=_folder, default=Path("outputs"), help="folder of the sweeps")
        command.add_argument("--on-interrupt", choices=("stop", "detach"), help="what Ctrl-C does; by default it asks")
        command.set_defaults(run=run)
    return parser
