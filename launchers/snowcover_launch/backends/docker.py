"""A job in the image on this machine, laid out as SageMaker lays it out: the same start, paths and results."""

import json
import logging
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from snowcover.config import HwConfig
from snowcover.errors import Stopped, UserError
from snowcover_launch.backends.base import Found, SweepContext
from snowcover_launch.backends.sagemaker.request import PROJECT, image_uri, staged_config
from snowcover_launch.errors import NotFound
from snowcover_launch.images.engine import DockerFailed, NoDocker, asked, refuse_without_engine
from snowcover_launch.images.labels import refuse_unfit
from snowcover_launch.job import Job, Report, State
from snowcover_launch.signals import stopping_on_signals

log = logging.getLogger(__name__)

LOG_FILE = "job.log"
STOP_S = 120  # as SageMaker gives a job to save what it has
PASSED_ON = ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_NO_SIGN_REQUEST")


class DockerJobFailed(UserError):
    """The job in the image ended without a result."""


class DockerBackend:
    """This machine, in the image that SageMaker would run."""

    in_process = True
    slots: int | None = 1
    outlives_us = False

    def __init__(self, context: SweepContext) -> None:
        self._context = context

    def check(self, job: Job) -> None:
        checkpoint = job.planned_config.checkpoint
        if checkpoint.resume or checkpoint.dir:
            raise DockerJobFailed(
                "A job in the image keeps its own checkpoints: start it with checkpoint.init_from, or hw=local."
            )
        job.name = f"{PROJECT}-{self._context.name}-{job.number:03d}"

    def validate(self, jobs: Sequence[Job]) -> None:
        """Raises: NoDocker, UnfitImage."""
        refuse_without_engine()
        for job in jobs:
            _refuse_unfit(_image_of(job), job.planned_config.hw)

    def find(self, jobs: Sequence[Job]) -> Mapping[Job, Found]:
        return {}

    def describe(self, job: Job) -> str:
        return f"runs on this machine, in the image\n\n{staged_config(job, {})}"

    def submit(self, job: Job) -> Report:
        """Train in the image to the end, and import the run.

        Raises:
            NoDocker, UnfitImage: nothing was started.
            Stopped: Ctrl-C or SIGTERM; the job has saved what it had.
        """
        name, folder = job.name, job.folder_below(self._context.folder).absolute()
        image, config = _image_of(job), job.planned_config
        tags = {**job.tags, "job": name, "job.image": image}
        ml = folder / "ml"
        values, places = _at_absolute_paths(yaml.safe_load(staged_config(job, tags)))
        values["job"]["result"] = None  # it stays on this machine
        lay_out(ml, values)
        log.info("  %d  %s  in %s", job.number, job.title, image)
        settings = {"TRAINING_JOB_NAME": name, **_aws_settings(job)}
        with stopping_on_signals():
            status = _run(_command(name, image, ml, places, settings, config.hw.accelerator), settings, name, folder)
        try:
            return _brought_home(job, ml, folder, tags, status)
        finally:
            shutil.rmtree(ml, ignore_errors=True)

    def poll(self, job: Job) -> Report:
        raise NotFound(f"{job.name} ran on this machine, under the command that has ended.")

    def logs(self, job: Job) -> list[str]:
        return []

    def stop(self, job: Job) -> None:
        """It ends with the command."""

    def retry(self, job: Job) -> float | None:
        return None

    def collect(self, job: Job, report: Report) -> str | None:
        return None

    def fetch(self, job: Job) -> list[Path]:
        """Its files are in its folder already."""
        return []


def _image_of(job: Job) -> str:
    return image_uri(job.planned_config) or _local_image(job.planned_config.hw)


def lay_out(ml: Path, values: Mapping[str, Any]) -> None:
    """/opt/ml as SageMaker lays it out for one machine, around a staged config."""
    files = {
        "input/data/config/config.yaml": yaml.safe_dump(values, sort_keys=False),
        "input/config/hyperparameters.json": "{}",
        "input/config/resourceconfig.json": json.dumps(
            {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"}
        ),
        "input/config/inputdataconfig.json": json.dumps({"config": {"TrainingInputMode": "File"}}),
    }
    for path, text in files.items():
        (ml / path).parent.mkdir(parents=True, exist_ok=True)
        (ml / path).write_text(text)
    for path in ("model", "output/data", "checkpoints"):
        (ml / path).mkdir(parents=True, exist_ok=True)


def _at_absolute_paths(values: dict[str, Any]) -> tuple[dict[str, Any], set[Path]]:
    """The config with this machine's paths written out, and the folders to let the container read."""
    places: set[Path] = set()

    def absolute(place: str | None) -> str | None:
        if place is None or place.startswith("s3://"):
            return place
        path = os.path.abspath(os.path.expanduser(place))
        places.add(Path(re.split(r"[*?\[]", path, maxsplit=1)[0].rpartition("/")[0] or "/"))
        return path

    data, checkpoint = values["data"], values["checkpoint"]
    data["manifest"], checkpoint["init_from"] = absolute(data["manifest"]), absolute(checkpoint["init_from"])
    if not data["generate"]:  # generated tiles are made in the container
        for source in data["sources"]:
            scenes = [source["scenes"]] if isinstance(source["scenes"], str) else source["scenes"]
            source["scenes"], source["collect"] = [absolute(scene) for scene in scenes], absolute(source["collect"])
    return values, places


def _command(
    name: str, image: str, ml: Path, places: set[Path], settings: Mapping[str, str], accelerator: str
) -> list[str]:
    gpus = ["--gpus", "all"] if accelerator == "gpu" else []
    mounts = [f"{ml}:/opt/ml", *(f"{place}:{place}:ro" for place in sorted(places))]
    return [
        "docker", "run", "--rm", "--name", name, "--network", "host", *own_user(), *gpus,  # the host's: S3 may be on it
        *(word for mount in mounts for word in ("--volume", mount)),
        # Names alone: Docker takes the values from its environment, so that none is on a command line.
        *(word for variable in settings for word in ("--env", variable)),
        image, "train",
    ]  # fmt: skip


def own_user() -> list[str]:
    """Options that make what a container writes ours; root's containers run as root anyway."""
    return ["--user", f"{os.getuid()}:{os.getgid()}"] if os.getuid() else []


def _aws_settings(job: Job) -> dict[str, str]:
    """What the job needs to enter AWS as we do; nothing where nobody is signed in."""
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    found = {name: os.environ[name] for name in PASSED_ON if os.environ.get(name)}
    try:
        credentials = Session(profile=job.planned_config.aws.profile).get_credentials()
    except BotoCoreError:
        return found
    if credentials is None:
        return found
    frozen = credentials.get_frozen_credentials()
    keys = {
        "AWS_ACCESS_KEY_ID": frozen.access_key,
        "AWS_SECRET_ACCESS_KEY": frozen.secret_key,
        "AWS_SESSION_TOKEN": frozen.token,
    }
    return found | {name: value for name, value in keys.items() if value}


def _run(command: Sequence[str], settings: Mapping[str, str], name: str, folder: Path) -> int:
    """The container's exit status; what it prints goes to the terminal and to a file."""
    with (folder / LOG_FILE).open("w") as file:
        process = subprocess.Popen(
            command, env={**os.environ, **settings}, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us: we stop the container as SageMaker would
        )  # fmt: skip
        assert process.stdout is not None
        try:
            for line in process.stdout:
                file.write(line)
                log.info("  | %s", line.rstrip())
            return process.wait()
        except Stopped:
            subprocess.run(["docker", "stop", "--time", str(STOP_S), name], capture_output=True, check=False)
            process.wait()
            raise


def _brought_home(job: Job, ml: Path, folder: Path, tags: Mapping[str, str], status: int) -> Report:
    from snowcover import tracking

    for kind, place in (("model", "model"), ("output", "output/data"), ("checkpoints", "checkpoints")):
        shutil.rmtree(folder / kind, ignore_errors=True)
        if kind != "checkpoints":
            shutil.copytree(ml / place, folder / kind)
        elif (ml / place / "last.ckpt").is_file():  # else the run is complete, and its best one is in `model`
            shutil.copytree(ml / place, folder / kind, ignore=shutil.ignore_patterns("mlflow"))
    store = folder / "output" / "mlflow"
    if store.is_dir():
        tracking.bring_run(store, job.planned_config.tracking.uri, job.planned_config.experiment_name, tags)
        shutil.rmtree(store)
    result = folder / "output" / "result.json"
    if status == 0 and result.is_file():
        objective = float(json.loads(result.read_text())["objective"])
        log.info("  %d  val_iou %.4f  %s", job.number, objective, job.title)
        return Report(state=State.COMPLETED, objective=objective)
    failure = ml / "output" / "failure"
    said = failure.read_text() if failure.is_file() else f"it ended with status {status}"
    raise DockerJobFailed(f"The job in the image failed: {said} (its log: {folder / LOG_FILE})")


def _refuse_unfit(image: str, hw: HwConfig) -> None:
    try:
        labels = json.loads(asked("image", "inspect", "--format", "{{json .Config.Labels}}", image)) or {}
    except DockerFailed as error:
        raise NoDocker(f"There is no image {image} here: `docker pull` it, or build one with `make image`.") from error
    refuse_unfit(image, labels, hw)


def _local_image(hw: HwConfig) -> str:
    """The newest image of the machine's variant that was built here.

    Raises:
        NoDocker: there is none.
    """
    found = asked("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", PROJECT).splitlines()
    images = [image for image in found if image.endswith(f"-{hw.image}")]  # the newest first
    if not images:
        raise NoDocker(f"There is no {hw.image} image here: `make image` builds it, or give aws.image_uri.")
    return images[0]
