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
    """Some of the jobs have no result, or could not be asked for."""


@dataclass
class Chosen:
    """Jobs of one sweep."""

    file: JobsFile
    jobs: list[Job]
    backends: Backends = field(init=False)

    def __post_init__(self) -> None:
        context = SweepContext(self.file.sweep, self.file.folder, read_prices(None))
        self.backends = Backends(context, account=(self.file.region, self.file.profile))

    def backend(self, job: Job) -> Backend:
        """The backend that runs a job, by the name that jobs.json has for it."""
        return self.backends[job.backend]


class Skipped:
    """Jobs with which something went wrong: told at once, while the others have their turn."""

    def __init__(self) -> None:
        self._names: list[str] = []

    @contextmanager
    def job(self, job: Job) -> Iterator[None]:
        """A block about one job: a UserError in it is printed, `refuse` counts it, and the next job has its turn."""
        try:
            yield
        except UserError as error:
            self._names.append(job.name)
            say(f"  {job.name}  {error}")

    def refuse(self) -> None:
        """Raises: JobsFailed: some were skipped."""
        if self._names:
            raise JobsFailed(f"Of {len(self._names)} jobs nothing came, as is said above: {', '.join(self._names)}.")


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and do what it says.

    Raises: UserError
    """
    given = _parser().parse_args(arguments)
    log_to_terminal()
    given.run(_chosen(given.jobs, given.outputs), given)


def _chosen(words: Sequence[str], outputs: Path) -> list[Chosen]:
    """Sweeps by their folder, jobs by their name or its beginning; without words all of them.

    Raises:
        NoJobs: nothing is meant by any word.
    """
    files = list(all_jobs(outputs))
    if not words:
        if not files:
            raise NoJobs(f"No jobs were sent from here: there is no jobs.json under {outputs}/ (--outputs DIR).")
        return [Chosen(file, file.jobs) for file in files]
    chosen, unknown = [], []
    for word in words:
        found = list(_meant_by(word, files))
        chosen += found
        unknown += [] if found else [word]
    if unknown:
        said = f"{', '.join(unknown)}: no sweep's folder nor the beginning of a job's name (`jobs list` has them)"
        if not chosen:
            raise NoJobs(f"{said}.")
        say(f"  {said}; the others have their turn")
    return chosen


def _meant_by(word: str, files: Sequence[JobsFile]) -> Iterator[Chosen]:
    if Path(word).is_dir():
        try:
            file = read_jobs(Path(word))
        except NoJobs as error:
            say(f"  {error}")
            return
        yield Chosen(file, file.jobs)
        return
    for file in files:
        if jobs := [job for job in file.jobs if job.name.startswith(word) or file.sweep == word]:
            yield Chosen(file, jobs)


def _list(chosen: list[Chosen], given: argparse.Namespace) -> None:
    for one in chosen:
        say(f"sweep {one.file.sweep}  {one.file.folder}")
        for job in one.jobs:
            objective = "" if job.objective is None else f"  val_iou {job.objective:.4f}"
            status = job.state if job.state.has_ended else job.status or job.state
            say(f"  {job.number}  {job.name}  {status}  {job.machine or job.backend}{objective}  {job.title}")


def _show(chosen: list[Chosen], given: argparse.Namespace) -> None:
    skipped = Skipped()
    for one, job in _each_started(chosen):
        with skipped.job(job):
            report = one.backend(job).poll(job)
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
                "files": one.file.folder_of(job),
            }
            say("\n".join(f"  {name:<16} {value}" for name, value in rows.items() if value is not None), "\n")
    skipped.refuse()


def _logs(chosen: list[Chosen], given: argparse.Namespace) -> None:
    skipped, started = Skipped(), list(_each_started(chosen))
    for one, job in started:
        with skipped.job(job):
            for line in one.backend(job).logs(job):
                say(f"{job.number}: {line}" if len(started) > 1 else line)
    skipped.refuse()


def _wait(chosen: list[Chosen], given: argparse.Namespace) -> None:
    """As the command that sent them would have: wait for their ends, import what they left."""
    from snowcover_launch.runner import JobRunner

    failed = []
    for one in chosen:
        if unsent := [job for job in one.jobs if job.state is State.PLANNED and job.twin_of is None]:
            say(f"{len(unsent)} jobs were never started; the command that sent the others starts them, and only them.")
        sent = [job for job in one.jobs if job.may_run or job.twin_of is not None]
        errors = JobRunner(one.file, sent, one.backends).run(None, given.on_interrupt)
        failed += [job.name for job in sent if job.number in errors or job.result is None]
    if failed:
        raise JobsFailed(f"{len(failed)} jobs have no result: {', '.join(failed)}.")


def _stop(chosen: list[Chosen], given: argparse.Namespace) -> None:
    skipped = Skipped()
    for one, job in _each_started(chosen):
        with skipped.job(job):
            backend = one.backend(job)
            if backend.poll(job).state.has_ended:
                say(f"  {job.name} has ended")
                continue
            backend.stop(job)
            say(f"  {job.name} was asked to stop; it saves its checkpoint first")
    skipped.refuse()


def _fetch(chosen: list[Chosen], given: argparse.Namespace) -> None:
    skipped = Skipped()
    for one, job in _each_started(chosen):
        with skipped.job(job):
            folders = one.backend(job).fetch(job)
            say("\n".join(f"  {folder}" for folder in folders) or f"  {job.name} has left nothing yet")
            best = one.file.folder_of(job) / "model" / BEST
            if best.is_file():
                say(f"  start from it with checkpoint.init_from={best}")
    skipped.refuse()


def _cost(chosen: list[Chosen], given: argparse.Namespace) -> None:
    """Each job once, however many sweeps have taken its result: in the sweep that started it, where that is here."""
    known, unknown, counted = 0.0, 0, set()
    skipped = Skipped()
    for one, job in sorted(_each_started(chosen), key=lambda found: found[1].adopted):
        if job.name in counted:
            continue
        counted.add(job.name)
        with skipped.job(job):
            metrics = one.backend(job).poll(job).metrics
            seconds, usd = metrics.get("job_billable_seconds"), metrics.get("job_cost_usd")
            told = "runs yet" if seconds is None else f"{seconds / 3600:.2f} h"
            say(f"  {job.name}  {told}  {'unknown' if usd is None else f'{usd:.2f} USD'}")
            known, unknown = known + (usd or 0), unknown + (usd is None)
    say(f"  {known:.2f} USD in all" + (f", and {unknown} jobs of unknown cost" if unknown else ""))
    skipped.refuse()


def _each_started(chosen: list[Chosen]) -> list[tuple[Chosen, Job]]:
    return [(one, job) for one in chosen for job in one.jobs if job.may_run]


COMMANDS: dict[str, tuple[Callable[[list[Chosen], argparse.Namespace], None], str]] = {
    "list": (_list, "the jobs that were sent from here, as they were last seen"),
    "show": (_show, "what their backend says of jobs now"),
    "logs": (_logs, "what jobs have printed"),
    "wait": (_wait, "wait until jobs have ended and import their results"),
    "attach": (_wait, "the same: go on where the command that sent them was interrupted"),
    "stop": (_stop, "ask jobs to stop; they save their checkpoints first"),
    "fetch": (_fetch, "bring the models and outputs of jobs to this machine"),
    "cost": (_cost, "what jobs have cost, by the price table of when they were sent"),
}


def _folder(given: str) -> Path:
    return Path(given).expanduser()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m snowcover.jobs", description="Jobs that were sent from here.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (run, what) in COMMANDS.items():
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument(
            "jobs", nargs="*", help="names of jobs or their beginnings, or folders of sweeps; all if none"
        )
        command.add_argument("--outputs", type=_folder, default=Path("outputs"), help="where sweeps keep their folders")
        command.add_argument("--on-interrupt", choices=("stop", "detach"), help="what Ctrl-C does; by default it asks")
        command.set_defaults(run=run)
    return parser
