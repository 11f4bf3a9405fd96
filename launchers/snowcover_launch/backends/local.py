"""Jobs in the process that launches them, one after another."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf, open_dict

from snowcover.cli import without_nodes
from snowcover.secrets import masked_values
from snowcover.validation_callback import known_to_hydra
from snowcover_launch.backends.base import ExistingJob
from snowcover_launch.errors import NotFound
from snowcover_launch.job import Job, Report, State
from snowcover_launch.results import parse_result, test_iou

log = logging.getLogger(__name__)


class LocalBackend:
    """Runs jobs in this process."""

    in_process = True
    slots: int | None = 1
    outlives_us = False

    def __init__(self, run_here: Callable[[DictConfig], JobReturn]) -> None:
        """`run_here` runs one composed config as Hydra's own launcher does."""
        self._run_here = run_here

    def check(self, job: Job) -> None:
        """There are no backend-specific checks."""

    def validate(self, jobs: Sequence[Job]) -> None:
        """There is nothing to request."""

    def find(self, jobs: Sequence[Job]) -> Mapping[Job, ExistingJob]:
        """Runs on this machine are only resumed on request, by checkpoint.resume=auto."""
        return {}

    def describe(self, job: Job) -> str:
        assert job.composed is not None
        with known_to_hydra(job.composed, job.folder_below(Path(job.composed.hydra.sweep.dir))):
            values = OmegaConf.to_container(without_nodes(job.composed, "hydra"), resolve=True)
        return f"runs on this machine\n\n{OmegaConf.to_yaml(OmegaConf.create(masked_values(values)))}"

    def submit(self, job: Job) -> Report:
        """Train to the end; raises what training raises."""
        assert job.composed is not None
        log.info("  %d  %s  on this machine", job.number, job.title)
        with open_dict(job.composed):
            job.composed.tracking.tags = {**job.planned_config.tracking.tags, **job.tags}
        done = self._run_here(job.composed)
        if done.status is JobStatus.COMPLETED:
            folder = job.folder_below(Path(job.composed.hydra.sweep.dir))
            return Report(state=State.COMPLETED, objective=done.return_value, test_iou=_test_iou(folder))
        error: Exception = done._return_value
        raise error

    def poll(self, job: Job) -> Report:
        raise NotFound(f"Job {job.number} ran in the process that launched it, which has ended.")

    def logs(self, job: Job) -> list[str]:
        return []

    def stop(self, job: Job) -> None:
        """It ends with the process."""

    def retry(self, job: Job) -> float | None:
        return None

    def collect(self, job: Job, report: Report) -> str | None:
        """Its run is already in the user's store."""
        return None

    def fetch(self, job: Job) -> list[Path]:
        """Its files are already in its folder."""
        return []


def _test_iou(folder: Path) -> float | None:
    """Of a run that has ended; None for a run that resumed in the folder of an earlier one."""
    path = folder / "result.json"
    return test_iou(parse_result(path.read_bytes())) if path.is_file() else None
