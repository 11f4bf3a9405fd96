"""What a job left in S3, brought to this machine: its MLflow run, its model, its files."""

import contextlib
import logging
import shutil
import tarfile
import tempfile
from pathlib import Path

from snowcover.errors import UserError
from snowcover_launch.aws import bucket
from snowcover_launch.aws.session import Account
from snowcover_launch.aws.training_jobs import JobState
from snowcover_launch.cost import Cost
from snowcover_launch.jobs_file import JobRecord

log = logging.getLogger(__name__)

STORE = "mlflow"  # in a job's output: its own MLflow store


class BadArchive(UserError):
    """What a job left cannot be unpacked safely."""


def console_link(record: JobRecord, region: str) -> str:
    return f"https://{region}.console.aws.amazon.com/sagemaker/home?region={region}#/jobs/{record.name}"


def bring_run_home(account: Account, record: JobRecord, state: JobState) -> str | None:
    """See that the job's run is in the user's MLflow store, with what the job cost.

    Returns:
        The run's id there; None where the job ended before it had one.
    """
    from snowcover import tracking

    run_id = tracking.run_of_job(record.tracking_uri, record.name)
    if run_id is None and record.own_store:
        try:
            run_id = _brought(account, record)
        except tracking.CannotBring:
            if state.status == "Completed":
                raise
            # else it ended before its run began, and its store is empty
    if run_id is None:
        return None
    tags, metrics = facts(record, state, account.region)
    # The sweep's tags once more: the run of a job that was found complete moves under the sweep that found it.
    tracking.note(record.tracking_uri, run_id, {**record.tags, **tags}, metrics)
    return run_id


def _brought(account: Account, record: JobRecord) -> str | None:
    from snowcover import tracking

    here = Path(record.folder)  # on the disk that the user chose for results: it may be gigabytes
    here.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=here, prefix=".home-") as folder:
        store = Path(folder) / "output" / STORE
        if not fetch_archive(account, _archive(record, "output"), store.parent) or not store.is_dir():
            return None
        return tracking.bring_run(store, record.tracking_uri, record.experiment, record.tags)


def facts(record: JobRecord, state: JobState, region: str) -> tuple[dict[str, str], dict[str, float]]:
    """Tags and metrics that say where a run ran and what it cost."""
    tags = {
        "job": record.name,
        "job.arn": state.arn,
        "job.console": console_link(record, region),
        "job.instance_type": record.instance_type,
        "job.instance_count": str(record.machines),
        "job.spot": str(record.spot).lower(),
    }
    metrics: dict[str, float] = {}
    if state.billable_s is not None:
        metrics["job_billable_seconds"] = state.billable_s * record.machines
        cost = Cost(record.usd_per_hour, record.machines, 0).of_seconds(state.billable_s)
        if cost is not None:
            metrics["job_cost_usd"] = cost
    if record.spot and state.billable_s is not None and state.training_s:
        metrics["job_spot_saving"] = 1 - state.billable_s / state.training_s  # DescribeTrainingJob's own formula
    return tags, metrics


def fetch(account: Account, record: JobRecord, into: Path) -> list[Path]:
    """Bring a job's model and output to folders of this machine.

    Returns:
        The folders that are there now: `model` (best.ckpt, manifest, config) and `output`.

    Raises:
        BadArchive
    """
    found = [into / kind for kind in ("model", "output") if fetch_archive(account, _archive(record, kind), into / kind)]
    if _is_home(record):
        shutil.rmtree(into / "output" / STORE, ignore_errors=True)  # the network's weights are in it once more
    return found


def _is_home(record: JobRecord) -> bool:
    """Whether the run of a job's own store is in the user's."""
    from snowcover import tracking

    with contextlib.suppress(tracking.CannotRecord):  # then nobody knows
        return record.own_store and tracking.run_of_job(record.tracking_uri, record.name) is not None
    return False


def fetch_archive(account: Account, uri: str, into: Path) -> bool:
    """Unpack a tar.gz of S3 into a folder, which appears whole or not at all; False where there is none.

    Raises:
        BadArchive: it is damaged, or names files outside the folder.
    """
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=".fetch-") as work:
        archive, unpacked = Path(work) / "archive.tar.gz", Path(work) / "unpacked"
        if not bucket.download(account, uri, archive):
            return False
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(unpacked, filter="data")  # refuses absolute paths, links and names that lead outside
        except (tarfile.TarError, EOFError, OSError) as error:
            raise BadArchive(f"{uri} cannot be unpacked ({error}): nothing of it was kept.") from error
        unpacked.mkdir(exist_ok=True)
        if into.exists():
            shutil.rmtree(into)
        unpacked.rename(into)
    return True


def _archive(record: JobRecord, kind: str) -> str:
    # SageMaker puts both under the job's name
    return f"{record.prefix}/output/{record.name}/output/{kind}.tar.gz"
