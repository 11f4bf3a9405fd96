"""Runs a job in the image on this machine as SageMaker would: with the same start, paths and results."""

import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from snowcover.config import HwConfig
from snowcover.errors import UserError
from snowcover_launch.backends.base import ExistingJob, SweepContext
from snowcover_launch.backends.docker import container, tree
from snowcover_launch.backends.docker.container import ContainerLog, ContainerState
from snowcover_launch.backends.sagemaker.request import PROJECT, image_uri, staged_config
from snowcover_launch.errors import NotFound
from snowcover_launch.images.engine import DockerFailed, NoDocker, docker_output, refuse_without_engine
from snowcover_launch.images.labels import refuse_unfit
from snowcover_launch.job import Job, Report, State
from snowcover_launch.job_files import new_files, put_files
from snowcover_launch.results import KINDS, STORE, import_store, test_iou

log = logging.getLogger(__name__)

FORWARDED = ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_NO_SIGN_REQUEST")
KILLED = 137  # 128 + SIGKILL


class CheckpointsNotConfigurable(UserError):
    """A job in the image saves its checkpoints in its own folder."""


class DockerBackend:
    """Runs jobs in containers on this machine, in the image that SageMaker would use. They outlive a killed command."""

    in_process = False
    slots: int | None = 1
    outlives_us = False

    def __init__(self, context: SweepContext) -> None:
        self._context = context
        self._logs: dict[str, ContainerLog] = {}

    # Before anything is started

    def check(self, job: Job) -> None:
        config = job.planned_config
        if config.checkpoint.dir or config.checkpoint.resume == "auto":
            raise CheckpointsNotConfigurable(
                "A job in the image saves its checkpoints in its own folder: to resume from a given one, set "
                "checkpoint.resume=.../last.ckpt; or leave out hw=docker."
            )
        job.name = f"{PROJECT}-{self._context.name}-{job.number:03d}"
        job.own_store = config.tracking.uri.startswith("sqlite:")

    def validate(self, jobs: Sequence[Job]) -> None:
        """Raises: NoDocker, UnfitImage."""
        refuse_without_engine()
        for job in jobs:
            _refuse_unfit(_image_of(job), job.planned_config.hw)

    def find(self, jobs: Sequence[Job]) -> Mapping[Job, ExistingJob]:
        """None: containers are removed when they have ended."""
        return {}

    def describe(self, job: Job) -> str:
        return f"runs on this machine, in the image\n\n{staged_config(job, {})}"

    # Jobs

    def submit(self, job: Job) -> Report:
        image, ml = _image_of(job), self._ml(job)
        job.tags = {**job.tags, "job": job.name, "job.image": image}
        values, folders = tree.with_absolute_paths(yaml.safe_load(staged_config(job, job.tags)))
        values["job"]["result"] = None  # it stays on this machine
        tree.lay_out(ml, values)
        log.info("  %d  %s  in %s", job.number, job.title, image)
        environment = {"TRAINING_JOB_NAME": job.name, **_aws_environment(job)}
        gpus = job.planned_config.hw.accelerator == "gpu"
        try:
            container.start(job.name, image, ml, sorted(folders), environment, gpus)
        except DockerFailed:
            shutil.rmtree(ml, ignore_errors=True)
            raise
        return self.poll(job)

    def poll(self, job: Job) -> Report:
        """The container's status; the last known one if it was removed after its results were imported."""
        try:
            found = container.inspect(job.name)
        except NotFound:
            if not job.state.has_ended:
                raise
            return Report(
                state=job.state, status=job.status, reason=job.reason, objective=job.objective, test_iou=job.test_iou,
                id=job.id, tags=job.tags,
            )  # fmt: skip
        return _report(job, found, self._ml(job))

    def logs(self, job: Job) -> list[str]:
        try:
            return self._logs.setdefault(job.name, ContainerLog(job.name)).new_lines()
        except NotFound:  # it has ended; its log is in its folder
            return []

    def stop(self, job: Job) -> None:
        """Stop it as SageMaker would; returns when it has ended."""
        container.stop(job.name)

    def retry(self, job: Job) -> float | None:
        return None

    # Results

    def collect(self, job: Job, report: Report) -> str | None:
        from snowcover import tracking

        ml, folder = self._ml(job), self._folder(job)
        store, uri = ml / "output/data" / STORE, job.config.tracking.uri if job.config else job.tracking_uri
        if job.own_store and store.is_dir():
            import_store(job, report, store, uri)
        if ml.is_dir():
            _put_results(ml, folder, store=False)
            container.remove(job.name)
            shutil.rmtree(ml, ignore_errors=True)
        return tracking.run_of_job(uri, job.name)

    def fetch(self, job: Job) -> list[Path]:
        ml, folder = self._ml(job), self._folder(job)
        if ml.is_dir():
            _put_results(ml, folder, store=True)
        return [folder / kind for kind in KINDS if any((folder / kind).glob("*"))]

    def _folder(self, job: Job) -> Path:
        return job.folder_below(self._context.folder).absolute()

    def _ml(self, job: Job) -> Path:
        return self._folder(job) / "ml"


def _report(job: Job, found: ContainerState, ml: Path) -> Report:
    state, reason = State.RUNNING, None
    result = tree.result(ml) if found.has_ended and found.exit_code == 0 else None
    if result is not None:
        state = State.COMPLETED
    elif found.has_ended and found.exit_code == 0:
        state = State.STOPPED
    elif found.has_ended:
        state, reason = State.FAILED, tree.failure(ml) or _exit_reason(found)
    return Report(
        state=state, status=found.status, reason=reason, objective=result and float(result["objective"]),
        test_iou=test_iou(result), id=found.id, tags=dict(job.tags), works=state is State.RUNNING,
        facts={"started": found.started, "image": job.tags.get("job.image")},
    )  # fmt: skip


def _exit_reason(found: ContainerState) -> str:
    if found.out_of_memory:
        return "it ran out of memory: lower trainer.batch_size"
    if found.exit_code == KILLED:
        return "it was killed (SIGKILL), so training since its last epoch is lost"
    return f"it ended with status {found.exit_code}"


def _put_results(ml: Path, folder: Path, store: bool) -> None:
    with new_files(folder) as new:
        tree.copy_results(ml, new, store)
        for path in put_files(new, folder):
            log.warning("%s was changed, so it was not overwritten: rename it to get the job's own.", path)


def _image_of(job: Job) -> str:
    return image_uri(job.planned_config) or _local_image(job.planned_config.hw)


def _aws_environment(job: Job) -> dict[str, str]:
    """Environment variables that give the job our AWS credentials; none if there are none."""
    from snowcover_launch.aws.session import credentials_environment

    found = {name: os.environ[name] for name in FORWARDED if os.environ.get(name)}
    return found | credentials_environment(job.planned_config.aws.profile)


def _refuse_unfit(image: str, hw: HwConfig) -> None:
    try:
        labels = json.loads(docker_output("image", "inspect", "--format", "{{json .Config.Labels}}", image)) or {}
    except DockerFailed as error:
        raise NoDocker(f"There is no image {image} here: `docker pull` it, or build one with `make image`.") from error
    refuse_unfit(image, labels, hw)


def _local_image(hw: HwConfig) -> str:
    """The newest image of the machine's variant that was built here.

    Raises:
        NoDocker: there is none.
    """
    found = docker_output("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", PROJECT).splitlines()
    images = [image for image in found if image.endswith(f"-{hw.image}")]  # the newest first
    if not images:
        raise NoDocker(f"There is no {hw.image} image here: `make image` builds it, or give aws.image_uri.")
    return images[0]
