"""Downloads what a job left in S3: its result, MLflow run, model and other files."""

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
    """A job's result.json; None if it is missing or cannot be read.

    Raises:
        Unreachable: S3 does not answer; the result may be there.
        AwsError
    """
    content = bucket.read(account, uri)
    result = parse_result(content)
    if result is None and content is not None:
        log.warning("%s is not a readable result.", uri)
    return result


def import_run(account: Account, job: Job, report: Report, folder: Path) -> str | None:
    """Make sure that an ended job's run is in the user's MLflow store, with the cost of the job.

    Args:
        folder: of the job on this machine, used for temporary files: a job's output may be gigabytes.

    Returns:
        The run's id there; None if the job ended before it had one.
    """
    from snowcover import tracking

    run_id = tracking.run_of_job(job.tracking_uri, job.name)
    if run_id is None and job.own_store:
        run_id = _import_own_store(account, job, report, folder)
    if run_id is not None and run_id == tracking.run_of_job(job.tracking_uri, job.name):
        # Set the sweep's tags again: the run of a job that was already complete moves to the sweep that reuses it.
        tracking.note_job(job.tracking_uri, run_id, job.name, {**job.tags, **report.tags}, report.metrics)
    return run_id  # a later job that resumed it may have recorded more


def _import_own_store(account: Account, job: Job, report: Report, folder: Path) -> str | None:
    with new_files(folder) as work:
        if not fetch_archive(account, archive_uri(job.prefix, job.name, "output"), work / "output"):
            return None
        store = work / "output" / STORE
        return import_store(job, report, store, job.tracking_uri) if store.is_dir() else None


def fetch(account: Account, job: Job, folder: Path) -> list[Path]:
    """Download a job's model and output to its folder on this machine, next to the user's own files.

    If a job has no model archive, because it is still running or failed, its best checkpoint so far is used.

    Returns:
        The folders that exist now: `model` (best.ckpt, manifest, config) and `output`.

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
            shutil.rmtree(work / "output" / STORE, ignore_errors=True)  # it contains the network's weights again
        fetched = [folder / kind for kind in KINDS if any((work / kind).glob("*"))]
        for path in put_files(work, folder):
            log.warning("%s was changed, so it was not overwritten: rename it and fetch again.", path)
    return fetched


def _is_imported(job: Job) -> bool:
    """Whether the run of a job's own store is in the user's store."""
    from snowcover import tracking

    with contextlib.suppress(tracking.CannotRecord):  # then unknown
        return job.own_store and tracking.run_of_job(job.tracking_uri, job.name) is not None
    return False


def fetch_archive(account: Account, uri: str, folder: Path) -> bool:
    """Download a tar.gz from S3 and unpack it into a new folder; False if it does not exist.

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
