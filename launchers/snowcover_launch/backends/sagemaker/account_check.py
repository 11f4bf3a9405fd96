"""What a config must contain before anything is requested from SageMaker. Makes no requests."""

from snowcover.errors import UserError
from snowcover.paths import weights_file
from snowcover.tracking_uri import only_here
from snowcover_launch.aws.session import region_of_profile
from snowcover_launch.config import AwsConfig, JobConfig
from snowcover_launch.errors import MissingAccount


class NotReachable(UserError):
    """A cloud instance would have to read or write something on this machine."""


def refuse_local_only(config: JobConfig) -> None:
    """Raises: NotReachable: the job would use files of this machine."""
    data, checkpoint, tracking = config.data, config.checkpoint, config.tracking
    copy = f"hw.instance_type={config.hw.instance_type} cannot read it; copy it with `aws s3 cp --recursive` and give"
    named = {"data.manifest": [data.manifest] if data.manifest else []}
    if not (data.manifest or data.generate):
        named["data.sources"] = [place for source in data.sources for place in (*source.patterns, source.collect)]
    named |= {f"data.layers.{name}": [place] for name, place in data.layers_to_read.items()}
    named["checkpoint.init_from"] = [checkpoint.init_from] if checkpoint.init_from else []
    named["checkpoint.resume"] = [checkpoint.resume] if checkpoint.resume else []
    named["model.encoder_weights"] = [weights] if (weights := weights_file(config.model)) else []
    if checkpoint.resume == "auto":
        raise NotReachable(
            "checkpoint.resume=auto searches this machine. A job resumes by itself where an identical one stopped: "
            "leave it out, or give the s3://... of another job's last.ckpt."
        )
    for key, given in named.items():
        for place in given:
            if not place.startswith("s3://"):
                raise NotReachable(f"{key} names {place}, which is on this machine: {copy} its s3://... instead.")
    if checkpoint.dir is not None:
        raise NotReachable("checkpoint.dir is for this machine: a job saves them where SageMaker does.")
    if only_here(tracking.uri) and not tracking.uri.startswith("sqlite:"):
        raise NotReachable(
            f"tracking.uri={tracking.uri} is on this machine, where the job cannot reach it: give a server's address "
            "that it can, or tracking=local, whose runs are imported when a job ends."
        )


def refuse_incomplete_account(aws: AwsConfig) -> None:
    """Raises: MissingAccount: names each missing value, and where to get it."""
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
        raise MissingAccount(f"A job on a cloud instance needs {'; '.join(missing)}.")
