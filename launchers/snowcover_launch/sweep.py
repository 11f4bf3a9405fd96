"""A sweep's jobs, batch by batch, from validation to results."""

import logging
import math
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf, open_dict

from snowcover.errors import UserError
from snowcover.overrides import as_typed, given_overrides
from snowcover.tracking_uri import ui_hint
from snowcover_launch import ranking
from snowcover_launch.backends import Backends
from snowcover_launch.backends.base import ExistingJob, SweepContext
from snowcover_launch.cost import read_prices
from snowcover_launch.job import Job
from snowcover_launch.jobs_file import NAME, JobsFile, read_jobs
from snowcover_launch.parent_runs import ParentRuns
from snowcover_launch.plan import plan
from snowcover_launch.preflight import format_plan, refuse_conflicting_keys
from snowcover_launch.runner import Errors, JobRunner
from snowcover_launch.spending import Spending

log = logging.getLogger(__name__)

BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


class NoObjective(UserError):
    """A job of an optimizing sweeper has ended without a value."""


class Sweep:
    """The jobs of one sweep, on any backends; this code is independent of them."""

    def __init__(
        self, config: DictConfig, run_here: Callable[[DictConfig], JobReturn],
        hw_of: Callable[[str], Mapping[str, Any]],
    ) -> None:  # fmt: skip
        """`config` is the sweep's own, before its jobs are composed; `hw_of` gives what `hw=NAME` composes."""
        self._run_here = run_here
        self._hw_of = hw_of
        self._name = secrets.token_hex(3)  # unique, even among sweeps started in the same second
        self._folder = Path(config.hydra.sweep.dir)
        self._optimizes = config.hydra.sweeper._target_ != BASIC_SWEEPER
        self._title = " ".join(map(as_typed, given_overrides(config.hydra)))
        self._parents: ParentRuns | None = None
        self._backends: Backends | None = None
        self._spending = Spending()

    def run(self, composed: Sequence[DictConfig], swept: Sequence[Sequence[str]]) -> list[JobReturn]:
        """Run a batch; returns the result of each job, in order. `swept` is what the sweep sets for each.

        Raises:
            UserError: nothing was started.
            Stopped: Ctrl-C or SIGTERM.
        """
        batch = plan(composed, swept, lambda name: self._backends_for(composed[0])[name])
        backends = self._backends_for(composed[0])
        refuse_conflicting_keys(batch, backends, self._optimizes)
        launch = batch[0].planned_config.launch
        if launch.dry_run:
            self._print_plan(batch, backends)
            return [self._returned(job, None) for job in batch]
        self._admit(batch, backends)
        self._parents = self._parents or ParentRuns(self._name, self._title, self._optimizes or len(batch) > 1)
        with self._parents.open() as tags_of:
            for job in batch:
                job.tags = tags_of(job)
            runner = JobRunner(self._file(batch), batch, backends)
            errors = runner.run(launch.max_parallel, launch.on_interrupt) if launch.wait else runner.start()
            self._parents.rank(batch)
        if launch.wait and len(batch) > 1:
            stores = sorted({job.tracking_uri for job in batch})
            log.info("\n".join([ranking.text(batch), *(f"  look     {ui_hint(uri)}" for uri in stores)]))
        return [self._returned(job, errors) for job in batch]

    def _backends_for(self, composed: DictConfig) -> Backends:
        if self._backends is None:
            prices = read_prices(OmegaConf.select(composed, "launch.prices"))
            self._backends = Backends(SweepContext(self._name, self._folder, prices, self._hw_of), self._run_here)
        return self._backends

    def _file(self, batch: Sequence[Job]) -> JobsFile:
        """jobs.json with this batch's jobs added to those of earlier ones."""
        aws = batch[0].planned_config.aws
        exists = (self._folder / NAME).exists()
        file = read_jobs(self._folder) if exists else JobsFile(sweep=self._name, jobs=[], folder=self._folder)
        file.region, file.profile = aws.region, aws.profile
        file.add(batch)
        return file

    def _admit(self, batch: Sequence[Job], backends: Backends) -> None:
        """Check everything that can be checked at no cost, and log what the batch may cost.

        Raises:
            UserError: nothing was started.
        """
        found: dict[Job, ExistingJob] = {}
        for name in sorted({job.backend for job in batch}):
            jobs = [job for job in batch if job.backend == name]
            backends[name].validate(jobs)
            found |= backends[name].find(jobs)
        for job, earlier in found.items():
            job.adopt(earlier.name, earlier.report, earlier.facts)
        self._mark_twins(batch)
        if table := format_plan(batch, backends.context.prices):
            log.info(table)
        self._spending.admit(batch, batch[0].planned_config.launch.max_cost_usd)

    def _mark_twins(self, batch: Sequence[Job]) -> None:
        """Of identical jobs, only the first runs, for all of them."""
        first: dict[str, Job] = {}
        for job in batch:
            if job.digest and not job.adopted and (leader := first.setdefault(job.digest, job)) is not job:
                job.twin_of, job.name = leader.number, leader.name

    def _print_plan(self, batch: Sequence[Job], backends: Backends) -> None:
        """Print everything that would be sent. Sends nothing."""
        for job in batch:
            print(f"# job {job.number}: {job.title}: {backends[job.backend].describe(job)}\n")
        if table := format_plan(batch, backends.context.prices):
            print(table)
        print("\nNothing was sent (launch.dry_run=true).")

    def _returned(self, job: Job, errors: Errors | None) -> JobReturn:
        """A job's result for Hydra's sweepers, which raise if it is FAILED, after all jobs of the batch have ended."""
        assert job.composed is not None
        with open_dict(job.composed):
            done = JobReturn(
                overrides=given_overrides(job.composed.hydra),
                cfg=job.composed_of_run,
                hydra_cfg=OmegaConf.masked_copy(job.composed, "hydra"),
                working_dir=os.getcwd(),
                task_name=job.composed.hydra.job.name,
            )
        error = (errors or {}).get(job.number)
        objective = math.nan if job.objective is None else job.objective
        if self._optimizes and error is None and job.result is None:
            error = NoObjective(f"Job {job.number} ended with val_iou {objective}: a failed trial.")
        # An optimizing sweeper gets each failed trial and continues; it does not accept NaN.
        failed = error is not None and (self._optimizes or job.planned_config.launch.on_failure == "raise")
        done.status = JobStatus.FAILED if failed else JobStatus.COMPLETED
        done.return_value = error if failed else objective
        return done
