"""From composed configs to jobs that may be run: each checked before any is started. Sends nothing."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hydra.core.utils import filter_overrides
from omegaconf import DictConfig, OmegaConf, open_dict

from snowcover.addresses import only_here, without_password
from snowcover.before_training import load_quietly, places, refuse_before_training
from snowcover.checking import check
from snowcover.checking_first import known_to_hydra
from snowcover.errors import UserError
from snowcover.overrides import as_typed
from snowcover.writable import refuse_unwritable
from snowcover.yaml_texts import refuse_changed_texts
from snowcover_launch.config import AwsConfig, JobConfig

OWN_STORE = "sqlite:///mlflow.db"  # in the job's working folder; it comes home with the job's output


class WrongJob(UserError):
    """One job of a sweep cannot be run; the whole sweep stops before anything is started."""


class NotReachable(UserError):
    """A rented machine is to read or write something that only this machine has."""


class SharedFolder(UserError):
    """Two jobs of a sweep would keep their files in one folder."""


class MissingAccount(UserError):
    """Values about the AWS account are missing, or contradict each other."""


@dataclass(frozen=True, eq=False)
class Job:
    """One run of a sweep and where it is to run."""

    number: int
    swept: list[str]
    """what the sweep sets for this job, as key=value"""
    composed: DictConfig
    """with Hydra's own node"""
    config: JobConfig

    @property
    def backend(self) -> str:
        return self.config.hw.backend

    @property
    def overrides(self) -> list[str]:
        """Everything that was changed of the defaults, as it may be kept and shown."""
        return [without_password(as_typed(override)) for override in self.composed.hydra.overrides.task]

    @property
    def folder(self) -> Path:
        """Where this machine keeps what belongs to the job."""
        return folder_of(self.composed)

    @property
    def title(self) -> str:
        return " ".join(map(as_typed, self.swept)) or self.config.model["_target_"].rsplit(".", 1)[-1].lower()


def folder_of(composed: DictConfig) -> Path:
    """The folder of one job of a sweep."""
    with open_dict(composed):
        return Path(composed.hydra.sweep.dir) / str(composed.hydra.sweep.subdir)


def refuse_shared_folders(composed: Sequence[DictConfig], taken: set[Path]) -> None:
    """Refuse jobs that would write over each other's files.

    Args:
        taken: folders of the sweep's earlier jobs; those of these jobs are added.

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


def planned(composed: Sequence[DictConfig], swept: Sequence[Sequence[str]]) -> list[Job]:
    """The jobs, all of them right; `swept` is what the sweep sets for each.

    Raises:
        WrongJob: names the first one that is not, and why.
        UserError: the same for the only job of a sweep.
    """
    jobs = []
    for config, given in zip(composed, swept, strict=True):
        of_task = list(filter_overrides(given))
        with in_its_job(config.hydra.job.num, of_task, len(composed)), known_to_hydra(config, folder_of(config)):
            jobs.append(_job(config, of_task))
    return jobs


@contextmanager
def in_its_job(number: int, swept: Sequence[str], count: int) -> Iterator[None]:
    """Say of an error in which of several jobs it is."""
    try:
        yield
    except UserError as error:
        if count == 1:
            raise
        raise WrongJob(f"Job {number} ({' '.join(swept)}), so none was started: {error}") from error


def _job(composed: DictConfig, swept: list[str]) -> Job:
    refuse_changed_texts(JobConfig, composed)
    job = Job(composed.hydra.job.num, swept, composed, check(JobConfig, without_hydra(composed)))
    if job.backend == "docker" and (job.config.checkpoint.resume or job.config.checkpoint.dir):
        raise NotReachable(
            "A job in the image keeps its own checkpoints: start it with checkpoint.init_from, or hw=local."
        )
    if job.backend == "sagemaker":
        _refuse_what_only_this_machine_has(job.config)
        _refuse_incomplete(job.config.aws)
    if not job.config.launch.dry_run:
        _try_out(job)
    return job


def _try_out(job: Job) -> None:
    """What a run would be stopped by after it has begun, or been paid for."""
    written = places(job.composed)
    if job.backend == "local":
        refuse_before_training(job.config, job.folder, written)
        return
    refuse_unwritable({key: place for key, place in written.items() if key in ("hydra.sweep.dir", "tracking.uri")})
    load_quietly()
    from snowcover.parts import check_parts

    check_parts(job.config)


def without_hydra(composed: DictConfig) -> DictConfig:
    """The keys of the config itself; they can still be resolved."""
    kept = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
    kept._set_parent(composed._get_parent())
    return kept


def _refuse_what_only_this_machine_has(config: JobConfig) -> None:
    data, checkpoint, tracking = config.data, config.checkpoint, config.tracking
    there = f"hw.instance_type={config.hw.instance_type} cannot read it; copy it with `aws s3 cp --recursive` and give"
    named = {"data.manifest": [data.manifest] if data.manifest else []}
    if not (data.manifest or data.generate):
        named["data.sources"] = [place for source in data.sources for place in (*source.patterns, source.collect)]
    named["checkpoint.init_from"] = [checkpoint.init_from] if checkpoint.init_from else []
    named["checkpoint.resume"] = [checkpoint.resume] if checkpoint.resume else []
    if checkpoint.resume == "auto":
        raise NotReachable("checkpoint.resume=auto looks on this machine: give the s3://... of the job's last.ckpt.")
    for key, given in named.items():
        for place in given:
            if not place.startswith("s3://"):
                raise NotReachable(f"{key} names {place}, which is on this machine: {there} its s3://... instead.")
    if checkpoint.dir is not None:
        raise NotReachable("checkpoint.dir is for this machine: a job saves where SageMaker keeps its checkpoints.")
    if without_password(tracking.uri) != tracking.uri:
        raise NotReachable(
            "tracking.uri holds a password, which everybody who may see the job could read: give a server that lets "
            "the job in by its network or its role (tracking=sagemaker_mlflow), or tracking=local."
        )
    if only_here(tracking.uri) and not tracking.uri.startswith("sqlite:"):
        raise NotReachable(
            f"tracking.uri={tracking.uri} is on this machine, where the job cannot reach it: give a server's address "
            "that it can, or tracking=local, whose runs come home when a job ends."
        )


def _refuse_incomplete(aws: AwsConfig) -> None:
    if aws.image_uri and aws.algorithm_arn:
        raise MissingAccount(
            "aws.image_uri and aws.algorithm_arn are both given: give one of them "
            "(unset SNOWCOVER_IMAGE_URI or SNOWCOVER_ALGORITHM_ARN, or set aws.image_uri=null)."
        )
    wanted = {
        "aws.role_arn": (aws.role_arn, "SNOWCOVER_ROLE_ARN, an output of container/account.yaml"),
        "aws.bucket": (aws.bucket, "SNOWCOVER_BUCKET, an output of container/account.yaml"),
        "aws.image_uri": (
            aws.image_uri or aws.algorithm_arn,
            "SNOWCOVER_IMAGE_URI, as `python -m snowcover.image push` prints it",
        ),
        "aws.region": (aws.region or region_of_profile(aws.profile), "AWS_REGION"),
    }
    missing = [f"{key} (set {where})" for key, (value, where) in wanted.items() if not value]
    if missing:
        raise MissingAccount(f"A job on a rented machine needs {'; '.join(missing)}.")


def region_of_profile(profile: str | None) -> str | None:
    from botocore.exceptions import ProfileNotFound
    from botocore.session import Session

    try:
        region: str | None = Session(profile=profile).get_config_variable("region")
    except ProfileNotFound:
        return "unknown"  # the profile itself is what is wrong; entering AWS says so
    return region
