"""From composed configs to jobs that can run: all are checked before any is started. Sends nothing."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra.core.utils import filter_overrides
from omegaconf import DictConfig, OmegaConf, open_dict

from snowcover.errors import UserError
from snowcover.overrides import as_typed, given_overrides
from snowcover.preflight import heavy_imports, places, refuse_unfit_run
from snowcover.validation import check
from snowcover.validation_callback import known_to_hydra
from snowcover.writable import refuse_unwritable
from snowcover.yaml_texts import refuse_changed_texts
from snowcover_launch.backends.base import Backend
from snowcover_launch.config import JobConfig
from snowcover_launch.job import Job


class WrongJob(UserError):
    """One job of a sweep cannot be run; the whole sweep stops before anything is started."""


class SharedFolder(UserError):
    """Two jobs of a sweep would use the same folder."""


def folder_of(composed: DictConfig) -> Path:
    """The folder of one job of a sweep."""
    with open_dict(composed):
        return Path(composed.hydra.sweep.dir) / str(composed.hydra.sweep.subdir)


def refuse_shared_folders(composed: Sequence[DictConfig], taken: set[Path]) -> None:
    """Refuse jobs that would write over each other's files.

    Args:
        taken: folders of the sweep's earlier jobs; the folders of these jobs are added.

    Raises:
        SharedFolder
    """
    for config in composed:
        folder = folder_of(config)
        if folder in taken:
            raise SharedFolder(
                f"Two jobs of this sweep would share the folder {folder}, so none was started: leave "
                "hydra.sweep.subdir as it is, or put ${hydra.job.num} into it."
            )
        taken.add(folder)


def plan(
    composed: Sequence[DictConfig], swept: Sequence[Sequence[str]], backend: Callable[[str], Backend]
) -> list[Job]:
    """The jobs of a batch, all validated.

    Args:
        swept: what the sweep sets for each.
        backend: gives the backend of a name.

    Raises:
        WrongJob: names the first wrong job, and why.
        UserError: the same for the only job of a sweep.
    """
    jobs = []
    for config, given in zip(composed, swept, strict=True):
        of_task, folder = list(filter_overrides(given)), folder_of(config)
        with naming_job(config.hydra.job.num, of_task, len(composed)), known_to_hydra(config, folder):
            jobs.append(_job(config, folder, of_task, backend))
    return jobs


@contextmanager
def naming_job(number: int, swept: Sequence[str], count: int) -> Iterator[None]:
    """Add the number of the job to errors, if there are several jobs."""
    try:
        yield
    except UserError as error:
        if count == 1:
            raise
        raise WrongJob(f"Job {number} ({' '.join(swept)}), so none was started: {error}") from error


def _job(composed: DictConfig, folder: Path, swept: Sequence[str], backend: Callable[[str], Backend]) -> Job:
    refuse_changed_texts(JobConfig, composed)
    of_run = _without_hydra(composed)
    config = check(JobConfig, of_run)
    job = Job(
        number=composed.hydra.job.num,
        title=" ".join(map(as_typed, swept)) or config.model["_target_"].rsplit(".", 1)[-1].lower(),
        backend=config.hw.backend,
        experiment=config.experiment_name,
        folder=os.path.relpath(folder, composed.hydra.sweep.dir),
        tracking_uri=config.tracking.uri,
        max_silent_minutes=config.hw.max_silent_minutes,
        overrides=[as_typed(override) for override in given_overrides(composed.hydra)],
        config=config,
        composed=composed,
        composed_of_run=of_run,
    )
    backend(job.backend).check(job)
    if not config.launch.dry_run:
        _try_components(job, composed, folder)
    return job


def _try_components(job: Job, composed: DictConfig, folder: Path) -> None:
    """Check what would otherwise fail only after the run has started, or been paid for."""
    config, written = job.planned_config, places(composed)
    if job.backend == "local":
        refuse_unfit_run(config, folder, written)
        return
    refuse_unwritable({key: place for key, place in written.items() if key in ("hydra.sweep.dir", "tracking.uri")})
    with heavy_imports("snowcover.component_checks"):
        from snowcover.component_checks import check_components

    check_components(config)


def _without_hydra(composed: DictConfig) -> DictConfig:
    """The config without Hydra's node; its interpolations can still be resolved."""
    copy = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
    copy._set_parent(composed._get_parent())
    return copy
