"""A sweep's jobs, batch by batch, from their check to their results."""

import json
import logging
import math
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf, open_dict

from snowcover.addresses import where_to_look, without_password
from snowcover.command import sentence
from snowcover.errors import UserError
from snowcover_launch.parent_runs import Parents, TagsOf
from snowcover_launch.plan import Job, without_hydra
from snowcover_launch.result import Outcome

log = logging.getLogger(__name__)

BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


class CannotLaunch(UserError):
    """What was asked of the launcher does not go together."""


class Sweep:
    """Jobs that belong together: some run here, one after another, while others run on rented machines."""

    def __init__(self, config: DictConfig, run_here: Callable[[DictConfig], JobReturn]) -> None:
        """`config` is the sweep's own, before any of its jobs is composed."""
        self._run_here = run_here
        self._name = secrets.token_hex(3)  # no other sweep has it, not even one of the same second
        self._folder = Path(config.hydra.sweep.dir)
        self._optimizes = config.hydra.sweeper._target_ != BASIC_SWEEPER
        self._title = " ".join(config.hydra.overrides.task)
        self._parents: Parents | None = None

    def run(self, batch: Sequence[Job]) -> list[JobReturn]:
        """What came of each job of a batch, in order.

        Raises:
            UserError: nothing was started.
            Stopped: Ctrl-C or SIGTERM.
        """
        self._refuse_what_does_not_go_together(batch)
        elsewhere = [job for job in batch if job.backend == "sagemaker"]
        here = [job for job in batch if job.backend != "sagemaker"]
        launch = batch[0].config.launch
        if launch.dry_run:
            self._show(here, elsewhere)
            return [_returned(job, Outcome(), "continue") for job in batch]
        if elsewhere:
            from snowcover_launch.preflight import rent

            rented = rent(elsewhere, self._name)
        self._parents = self._parents or Parents(self._name, self._title, self._optimizes or len(batch) > 1)
        with self._parents.open() as tags_of:
            done: dict[Job, Outcome] = {}

            def all_here() -> None:
                done.update({job: self._here(job, tags_of) for job in here})

            if not elsewhere:
                all_here()
            else:
                away = rented.away(self._folder, tags_of)
                if launch.wait:
                    done |= away.run(launch.max_parallel, launch.on_interrupt, all_here if here else None)
                else:
                    away.send()
                    all_here()
            self._parents.best({job: outcome.objective for job, outcome in done.items()})
        if len(done) > 1:
            log.info(_told(done))
        return [_returned(job, done.get(job, Outcome()), launch.on_failure) for job in batch]

    def _refuse_what_does_not_go_together(self, batch: Sequence[Job]) -> None:
        launch = batch[0].config.launch
        if any(job.config.launch != launch for job in batch):
            raise CannotLaunch("The jobs of one sweep are launched alike: do not sweep keys of launch.")
        if self._optimizes and launch.dry_run:
            raise CannotLaunch("launch.dry_run=true learns nothing that an optimizing sweeper could go on from.")
        if not launch.wait and self._optimizes:
            raise CannotLaunch("An optimizing sweeper needs each job's result: leave launch.wait=true.")
        if not launch.wait and launch.max_parallel is not None:
            raise CannotLaunch("launch.max_parallel starts the next job when one ends: leave launch.wait=true.")
        if several := [job for job in batch if job.backend == "local" and job.config.hw.devices != 1]:
            raise CannotLaunch(f"Job {several[0].number}: a sweep trains each run here on one device: hw.devices=1.")

    def _here(self, job: Job, tags_of: TagsOf) -> Outcome:
        """One job on this machine; a failure is told at once, for others may run for hours yet."""
        if job.backend == "docker":
            return self._in_docker(job, tags_of(job))
        log.info("  %d  %s  on this machine", job.number, job.title)
        with open_dict(job.composed):
            job.composed.tracking.tags = {**job.config.tracking.tags, **tags_of(job)}
        done = self._run_here(job.composed)
        if done.status is JobStatus.COMPLETED:
            return Outcome(done.return_value)
        error: Exception = done._return_value
        log.warning("  %d  %s", job.number, sentence(error, "config"))
        return Outcome(error=error)

    def _in_docker(self, job: Job, tags: dict[str, str]) -> Outcome:
        from snowcover_launch.backends.docker import run_in_docker

        try:
            return run_in_docker(job, self._name, tags)
        except UserError as error:
            log.warning("  %d  %s", job.number, error)
            return Outcome(error=error)

    def _show(self, here: Sequence[Job], elsewhere: Sequence[Job]) -> None:
        """Print each job's config and, for rented machines, the exact request. Sends nothing."""
        for job in here:
            print(f"# job {job.number}: {job.title}: runs on this machine\n")
            print(OmegaConf.to_yaml(without_hydra(job.composed), resolve=True))
        if not elsewhere:
            return
        from snowcover_launch.preflight import priced, told

        ready, prices = priced(elsewhere, self._name)
        for one in ready:
            print(f"# job {one.job.number}: {one.job.title}\n# CreateTrainingJob")
            print(json.dumps(one.request(), indent=2))
            print(f"# {one.prefix}/config/config.yaml\n{one.staged({'sweep': self._name, 'job': one.name})}")
        print(told(ready, {}, prices), "\nNothing was sent (launch.dry_run=true).", sep="\n")


def _told(done: Mapping[Job, Outcome]) -> str:
    """What came of several jobs, the best first."""
    ranked = sorted(done.items(), key=lambda item: (math.isnan(item[1].objective), -item[1].objective))
    lines = [
        f"  {'-' if math.isnan(outcome.objective) else f'{outcome.objective:.4f}':<7}  {job.number}  {job.title}"
        for job, outcome in ranked
    ]
    stores = sorted({without_password(job.config.tracking.uri) for job in done})
    look = [f"  look     {where_to_look(uri)}" for uri in stores]
    return "\n".join(["  val_iou  job", *lines, *look])


def _returned(job: Job, outcome: Outcome, on_failure: str) -> JobReturn:
    """As Hydra's sweepers take it. FAILED raises there, after all jobs of the batch have ended."""
    with open_dict(job.composed):
        done = JobReturn(
            overrides=list(job.composed.hydra.overrides.task),
            cfg=without_hydra(job.composed),
            hydra_cfg=OmegaConf.masked_copy(job.composed, "hydra"),
            working_dir=os.getcwd(),
            task_name=job.composed.hydra.job.name,
        )
    failed = outcome.error is not None and on_failure == "raise"
    done.status = JobStatus.FAILED if failed else JobStatus.COMPLETED
    # A sweeper that optimises takes NaN for a trial without a result.
    done.return_value = outcome.error if failed else math.nan if outcome.error else outcome.objective
    return done
