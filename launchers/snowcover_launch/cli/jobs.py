"""`python -m snowcover.jobs`: the jobs of this folder's sweeps."""

import argparse
import logging
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snowcover.errors import UserError
from snowcover_launch.jobs_file import JobRecord, NoJobs, SweepRecord, all_records, read_record


class JobsFailed(UserError):
    """Some of the jobs that were waited for have no result."""


@dataclass(frozen=True)
class Chosen:
    """Jobs of one sweep."""

    folder: Path
    sweep: SweepRecord
    jobs: list[JobRecord]

    def account(self) -> Any:
        from snowcover_launch.aws.session import Account

        return Account(self.sweep.region, self.sweep.profile)


def main(arguments: list[str] | None = None) -> None:
    """Raises: UserError."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
    given.run(_chosen(given.jobs, given.outputs), given)


def _chosen(words: Sequence[str], outputs: Path) -> list[Chosen]:
    """Sweeps by their folder, jobs by their name or its beginning; without words all of them.

    Raises:
        NoJobs: nothing is meant by a word.
    """
    if not words:
        found = [Chosen(folder, sweep, sweep.jobs) for folder, sweep in all_records(outputs)]
        if not found:
            raise NoJobs(f"No jobs were sent from here: there is no jobs.json under {outputs}/ (--outputs DIR).")
        return found
    chosen = []
    for word in words:
        if Path(word).is_dir():
            sweep = read_record(Path(word))
            chosen.append(Chosen(Path(word), sweep, sweep.jobs))
            continue
        matching = [
            Chosen(folder, sweep, jobs)
            for folder, sweep in all_records(outputs)
            if (jobs := [job for job in sweep.jobs if job.name.startswith(word) or sweep.sweep == word])
        ]
        if not matching:
            raise NoJobs(
                f"{word} is neither a sweep's folder nor the beginning of a job's name; `jobs list` shows them."
            )
        chosen += matching
    return chosen


def _list(chosen: list[Chosen], given: argparse.Namespace) -> None:
    for one in chosen:
        print(f"sweep {one.sweep.sweep}  {one.folder}")
        for job in one.jobs:
            objective = "" if job.objective is None else f"  val_iou {job.objective:.4f}"
            print(f"  {job.number}  {job.name}  {job.status or job.stage}  {job.instance_type}{objective}  {job.title}")


def _show(chosen: list[Chosen], given: argparse.Namespace) -> None:
    from snowcover_launch.aws.training_jobs import describe
    from snowcover_launch.results import console_link, facts

    for job, account in _each_started(chosen):
        state = describe(account, job.name)
        _, metrics = facts(job, state, account.region)
        rows = {
            "job": job.name,
            "what": job.title,
            "status": f"{state.status} ({state.secondary})",
            "reason": state.reason,
            "machine": f"{job.machines} x {job.instance_type}{', spot' if job.spot else ''}",
            "started": state.started,
            "ended": state.ended,
            **{name.removeprefix("job_").replace("_", " "): value for name, value in metrics.items()},
            "val_iou": job.objective,
            "objects": job.prefix,
            "files": job.folder,
            "console": console_link(job, account.region),
        }
        print("\n".join(f"  {name:<16} {value}" for name, value in rows.items() if value is not None), "\n")


def _logs(chosen: list[Chosen], given: argparse.Namespace) -> None:
    from snowcover_launch.aws.logs import JobLog

    started = list(_each_started(chosen))
    for job, account in started:
        for line in JobLog(account, job.name).new_lines():
            print(f"{job.number}: {line}" if len(started) > 1 else line)


def _wait(chosen: list[Chosen], given: argparse.Namespace) -> None:
    """As the command that sent them would have: follow to the end, bring home."""
    from snowcover_launch.job_runner import Away
    from snowcover_launch.tracked_job import Followed

    failed = []
    for one in chosen:
        account = one.account()
        if unsent := [job for job in one.jobs if job.stage == "planned"]:
            print(
                f"{len(unsent)} jobs were never started; the command that sent the others starts them, and only them."
            )
        sent = {job.name: Followed(account, job) for job in one.jobs if _may_run(job)}
        for followed in sent.values():
            followed.record.stage = "running"  # looked at anew, whatever was known
        outcomes = Away(account, one.sweep.sweep, one.folder, sent).run(None, given.on_interrupt)
        failed += [name for name, outcome in outcomes.items() if outcome.error or math.isnan(outcome.objective)]
    if failed:
        raise JobsFailed(f"{len(failed)} jobs have no result: {', '.join(failed)}.")


def _stop(chosen: list[Chosen], given: argparse.Namespace) -> None:
    from snowcover_launch.aws.training_jobs import describe, stop

    for job, account in _each_started(chosen):
        if describe(account, job.name).has_ended:
            print(f"  {job.name} has ended")
            continue
        stop(account, job.name)
        print(f"  {job.name} was asked to stop; it saves its checkpoint first")


def _fetch(chosen: list[Chosen], given: argparse.Namespace) -> None:
    from snowcover_launch.results import fetch

    for job, account in _each_started(chosen):
        folders = fetch(account, job, Path(job.folder))
        if not folders:
            print(f"  {job.name} has left nothing yet")
        for folder in folders:
            print(f"  {folder}")
        best = Path(job.folder) / "model" / "best.ckpt"
        if best.is_file():
            print(f"  start from it with checkpoint.init_from={best}")


def _cost(chosen: list[Chosen], given: argparse.Namespace) -> None:
    from snowcover_launch.aws.training_jobs import describe
    from snowcover_launch.cost import Cost

    known, unknown = 0.0, 0
    for job, account in _each_started(chosen):
        seconds = describe(account, job.name).billable_s
        usd = None if seconds is None else Cost(job.usd_per_hour, job.machines, 0).of_seconds(seconds)
        told = "runs yet" if seconds is None else f"{seconds * job.machines / 3600:.2f} h"
        print(f"  {job.name}  {told}  {'unknown' if usd is None else f'{usd:.2f} USD'}")
        known, unknown = known + (usd or 0), unknown + (usd is None)
    print(f"  {known:.2f} USD in all" + (f", and {unknown} jobs of unknown cost" if unknown else ""))


def _each_started(chosen: list[Chosen]) -> list[tuple[JobRecord, Any]]:
    return [(job, account) for one in chosen for account in [one.account()] for job in one.jobs if _may_run(job)]


def _may_run(job: JobRecord) -> bool:
    return bool(job.arn) or job.stage in ("starting", "running")


COMMANDS: dict[str, tuple[Callable[[list[Chosen], argparse.Namespace], None], str]] = {
    "list": (_list, "the jobs that were sent from here, as they were last seen"),
    "show": (_show, "what SageMaker says of jobs now"),
    "logs": (_logs, "what jobs have printed"),
    "wait": (_wait, "wait until jobs have ended and bring their results home"),
    "attach": (_wait, "the same: go on where the command that sent them was interrupted"),
    "stop": (_stop, "ask jobs to stop; they save their checkpoints first"),
    "fetch": (_fetch, "bring the models and outputs of jobs to this machine"),
    "cost": (_cost, "what jobs have cost, by the price table of when they were sent"),
}


def _folder(given: str) -> Path:
    return Path(given).expanduser()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m snowcover.jobs", description="Jobs on rented machines.")
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
