"""Jobs for rented machines, before they are sent: named, priced, held against AWS's limits, or found to be there."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from snowcover.checkout import commit
from snowcover_launch.aws import bucket
from snowcover_launch.aws import training_jobs as jobs
from snowcover_launch.aws.errors import NotFound
from snowcover_launch.aws.session import Account
from snowcover_launch.aws.training_jobs import JobState
from snowcover_launch.backends.sagemaker import request
from snowcover_launch.backends.sagemaker.limits import check_limits
from snowcover_launch.backends.sagemaker.request import image_uri
from snowcover_launch.cost import Cost, Prices, cost, read_prices, refuse_beyond, total
from snowcover_launch.images.labels import check_image
from snowcover_launch.job_runner import Away
from snowcover_launch.jobs_file import JobRecord
from snowcover_launch.parent_runs import TagsOf
from snowcover_launch.plan import Job, MissingAccount, in_its_job
from snowcover_launch.tracked_job import Followed

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Ready:
    """A job that may be sent."""

    job: Job
    name: str
    cost: Cost
    aws_tags: Mapping[str, str]

    @property
    def prefix(self) -> str:
        """s3:// folder of the job."""
        return request.job_prefix(self.job.config, self.name)

    def request(self) -> dict[str, object]:
        return request.training_job_request(self.job, self.name, self.aws_tags)

    def staged(self, tags: Mapping[str, str]) -> str:
        """The config that the job gets; `tags` are its run's."""
        return request.staged_config(self.job, self.name, tags)


@dataclass(frozen=True)
class Rented:
    """The jobs of a batch, and those of an earlier command that already are what they would become."""

    account: Account
    sweep: str
    ready: Sequence[Ready]
    found: Mapping[Ready, JobState]

    def away(self, folder: Path, tags_of: TagsOf) -> Away[Job]:
        """The jobs as they are started or taken up, and followed; `folder` is the sweep's."""
        followed = {one.job: _followed(self.account, one, self.found.get(one), tags_of(one.job)) for one in self.ready}
        return Away(self.account, self.sweep, folder, followed)


def rent(elsewhere: Sequence[Job], sweep: str) -> Rented:
    """Check all that can be checked before anything is sent, and say what it may cost.

    Raises:
        UserError: nothing was sent.
    """
    launch = elsewhere[0].config.launch
    ready, prices = priced(elsewhere, sweep)
    account = _account(elsewhere)
    for name in {str(one.job.config.aws.bucket) for one in ready}:
        bucket.refuse_other_region(account, name)
    found = _earlier(account, ready) if launch.reuse else {}
    log.info(told(ready, found, prices))
    to_start = [one for one in ready if one not in found]
    refuse_beyond(launch.max_cost_usd, {one.job: one.cost for one in to_start})
    images = {(uri, one.job.config.hw.image): one for one in to_start if (uri := image_uri(one.job.config))}
    for (uri, _), one in images.items():
        check_image(account, uri, one.job.config.hw)
    return Rented(account, sweep, ready, found)


def priced(elsewhere: Sequence[Job], sweep: str) -> tuple[list[Ready], Prices]:
    """The jobs with names, costs and requests that AWS would take. Asks nobody.

    Raises:
        WrongJob, BeyondLimits, BadPrices
    """
    prices = read_prices(elsewhere[0].config.launch.prices)
    region = _account(elsewhere).region
    found = commit()
    ready = []
    for job in elsewhere:
        with in_its_job(job.number, job.swept, len(elsewhere)):
            tags = request.aws_tags(job, sweep, found.sha if found else None)
            ready.append(Ready(job, request.job_name(job, sweep), cost(job, prices, region), tags))
            check_limits(ready[-1].request())
    return ready, prices


def told(ready: Sequence[Ready], found: Mapping[Ready, JobState], prices: Prices) -> str:
    """What will run and what it may cost, as a table."""
    head = ("job", "what", "machine", "spot", "limit", "at most")
    rows = [head, *(_row(one, found.get(one)) for one in ready)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if costs := [one.cost for one in ready if one not in found]:
        whole = total(costs)
        sum_up = "unknown, for a price is missing" if whole is None else f"{whole:.2f} USD"
        lines.append(f"at most {sum_up} in all (prices of {prices.as_of}, without storage)")
    return "\n".join(f"  {line}" for line in lines)


def _row(one: Ready, known: JobState | None) -> tuple[str, ...]:
    hw, highest = one.job.config.hw, one.cost.highest_usd
    machine = f"{hw.instance_count} x {hw.instance_type}" if hw.instance_count > 1 else str(hw.instance_type)
    at_most = "unknown" if highest is None else f"{highest:.2f} USD"
    if known is not None:
        at_most = f"nothing: {known.name} " + ("is complete" if known.has_ended else "runs already")
    return (str(one.job.number), one.job.title, machine, "yes" if hw.spot else "no", f"{hw.max_hours:g} h", at_most)


def _account(elsewhere: Sequence[Job]) -> Account:
    places = {(job.config.aws.region, job.config.aws.profile) for job in elsewhere}
    if len(places) > 1:
        raise MissingAccount("The jobs of one sweep run in one account: do not sweep aws.region or aws.profile.")
    return Account(*places.pop())


def _earlier(account: Account, ready: Sequence[Ready]) -> dict[Ready, JobState]:
    """For each job the one of the same config that is complete, or else the one that runs."""
    folders = {request.experiment_prefix(one.job.config) for one in ready}
    names = {prefix: bucket.folders(account, prefix) for prefix in folders}
    found: dict[Ready, JobState] = {}
    for one in ready:
        digest = request.config_digest(one.job.config)
        same = [
            name for name in names[request.experiment_prefix(one.job.config)] if request.digest_of_name(name) == digest
        ]
        states = [state for name in same if (state := _state(account, name)) is not None]
        useful = [state for state in states if state.status in ("Completed", "InProgress")]
        if useful:
            found[one] = min(useful, key=lambda state: state.status != "Completed")
    return found


def _state(account: Account, name: str) -> JobState | None:
    try:
        return jobs.describe(account, name)
    except NotFound:  # its config was uploaded, then something came between
        return None


def _followed(account: Account, one: Ready, known: JobState | None, tags: Mapping[str, str]) -> Followed:
    config, name = one.job.config, known.name if known else one.name
    record = JobRecord(
        number=one.job.number,
        name=name,
        title=one.job.title,
        experiment=config.experiment_name,
        folder=str(one.job.folder),
        prefix=request.job_prefix(config, name),
        instance_type=str(config.hw.instance_type),
        machines=config.hw.instance_count,
        spot=config.hw.spot,
        usd_per_hour=one.cost.usd_per_hour,
        tracking_uri=config.tracking.uri,
        own_store=config.tracking.uri.startswith("sqlite:"),
        tags={**tags, "job": name},
    )
    if known is None:
        return Followed(account, record, partial(_send, account, one, record))
    record.stage = "ended" if known.has_ended else "running"
    record.status, record.arn = known.status, known.arn
    taken = Followed(account, record)
    taken.state = known
    return taken


def _send(account: Account, one: Ready, record: JobRecord) -> JobState:
    """The config first, for a job that could not read it would fail, and cost."""
    text = one.staged(record.tags).encode()
    folder = Path(record.folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_bytes(text)
    bucket.put_new(account, f"{record.prefix}/config/config.yaml", text)
    return jobs.start(account, one.request())
