"""What a job left in S3, brought to this machine: its result, its MLflow run, its model, its files."""

import contextlib
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snowcover_launch.archive import unpack
from snowcover_launch.aws import bucket
from snowcover_launch.aws.session import Account
from snowcover_launch.backends.sagemaker.request import archive_uri
from snowcover_launch.job import Job, Report
from snowcover_launch.job_files import new_files, put_files
from snowcover_launch.results import BEST, KINDS, STORE, import_store, parse_result

log = logging.getLogger(__name__)


def read_result(account: Account, uri: str) -> Mapping[str, Any] | None:
    """A job's result.json; None where there is none, or none that can be read.

    Raises:
        Unreachable: S3 does not answer; the result may be there.
        AwsError
    """
    content = bucket.read(account, uri)
    result = parse_result(content)
    if result is None and content is not None:
        log.warning("%s cannot be read as a result.", uri)
    return result


def import_run(account: Account, job: Job, report: Report, folder: Path) -> str | None:
    """See that an ended job's run is in the user's MLflow store, with what the job cost.

    Args:
        folder: the job's on this machine; its disk is used, for a job's output may be gigabytes.

    Returns:
        The run's id there; None where the job ended before it had one.
    """
    from snowcover import tracking

    run_id = tracking.run_of_job(job.tracking_uri, job.name)
    if run_id is None and job.own_store:
        run_id = _imported(account, job, report, folder)
    if run_id is not None and run_id == tracking.run_of_job(job.tracking_uri, job.name):
        # The sweep's tags once more: the run of a job that was found complete moves under the sweep that found it.
        tracking.note_job(job.tracking_uri, run_id, job.name, {**job.tags, **report.tags}, report.metrics)
    return run_id  # of which a later job, that went on with it, may have told more


def _imported(account: Account, job: Job, report: Report, folder: Path) -> str | None:
    with new_files(folder) as work:
        if not fetch_archive(account, archive_uri(job.prefix, job.name, "output"), work / "output"):
            return None
        store = work / "output" / STORE
        return import_store(job, report, store, job.tracking_uri) if store.is_dir() else None


def fetch(account: Account, job: Job, folder: Path) -> list[Path]:
    """Bring a job's model and output to its folder on this machine, beside what the user has there.

    The model of a job that left no archive, for it runs yet or failed, is its best checkpoint so far.

    Returns:
        The folders that are there now: `model` (best.ckpt, manifest, config) and `output`.

    Raises:
        BadArchive, CannotWriteFiles, AwsError
    """
    with new_files(folder) as work:
        for kind in KINDS:
            fetch_archive(account, archive_uri(job.prefix, job.name, kind), work / kind)
        best = work / "model" / BEST
        if not best.is_file():
            bucket.download(account, f"{job.checkpoints}/{BEST}", best)
        if _is_imported(job):
            shutil.rmtree(work / "output" / STORE, ignore_errors=True)  # the network's weights are in it once more
        fetched = [folder / kind for kind in KINDS if any((work / kind).glob("*"))]
        for path in put_files(work, folder):
            log.warning("%s is not as it was fetched, so it stays: rename it and fetch again for the job's own.", path)
    return fetched


def _is_imported(job: Job) -> bool:
    """Whether the run of a job's own store is in the user's."""
    from snowcover import tracking

    with contextlib.suppress(tracking.CannotRecord):  # then nobody knows
        return job.own_store and tracking.run_of_job(job.tracking_uri, job.name) is not None
    return False


def fetch_archive(account: Account, uri: str, folder: Path) -> bool:
    """Unpack a tar.gz of S3 into a new folder; False where there is none.

    Raises:
        BadArchive: it is damaged, or names files outside the folder.
    """
    archive = folder.with_name(f"{folder.name}.tar.gz")
    try:
        if not bucket.download(account, uri, archive):
            return False
        unpack(archive, folder, uri)
    finally:
        archive.unlink(missing_ok=True)
    return True
