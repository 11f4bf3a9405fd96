"""What makes two runs, and two jobs, the same: one table for all keys of the config. Pure.

A run may be resumed under a changed config, and a job's result may stand for another's, as long as no key differs that
decides what is learned. Each key decides one of three things; a key that is not in the table is decided with the
section or component above it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from snowcover.nested import flat
from snowcover.secrets import masked_values

JOB_DIGITS = 12  # of a job's digest, which is in its name


class Decides(Enum):
    """What another value of a key makes of a run."""

    RUN = "another run: what is learned, or from what"
    JOB = "another job, though a run may be resumed under it: how long, on what kind of machine, from where it is read"
    NOTHING = "nothing of the result: what it is called, where it is recorded, how fast and at what cost it is got"


RUN, JOB, NOTHING = Decides.RUN, Decides.JOB, Decides.NOTHING

TABLE: Mapping[str, Decides] = {
    "experiment_name": RUN,  # an experiment's runs and jobs are looked for in its own folder
    "run_name": NOTHING,
    "seed": RUN,
    "model": RUN,
    "loss": RUN,
    "optimizer": RUN,
    "scheduler": RUN,
    # A resumed run compares its tiles with those that its checkpoint names, so their locations may change.
    "data.images": NOTHING,  # what they decide is in data.sources, which refers to them
    "data.masks": NOTHING,
    "data.sources": RUN,
    "data.manifest": JOB,
    "data.generate": RUN,
    "data.unmatched": RUN,
    "data.cache": NOTHING,
    "data.bands": RUN,
    "data.layers": RUN,
    "data.scale": RUN,
    "data.offset": RUN,
    "data.nodata": RUN,
    "data.mean": RUN,
    "data.std": RUN,
    "data.split": RUN,
    "data.augment": RUN,
    "trainer.max_epochs": JOB,
    "trainer.batch_size": RUN,
    "trainer.accumulate_batches": RUN,
    "trainer.patience_epochs": JOB,
    "trainer.gradient_clip_norm": RUN,
    "trainer.forest": NOTHING,  # it is fitted alongside the network, which learns the same
    # Numbers are rounded by precision, processor and library, and each device takes trainer.batch_size tiles a step.
    "hw.backend": JOB,
    "hw.accelerator": JOB,
    "hw.devices": JOB,
    "hw.precision": JOB,
    "hw.image": JOB,
    "hw.instance_type": JOB,
    "hw.instance_count": JOB,
    "hw.data_workers": NOTHING,  # order and augmentation of tiles do not follow from who reads them
    "hw.volume_gb": NOTHING,
    "hw.max_hours": NOTHING,
    "hw.spot": NOTHING,
    "hw.max_wait_hours": NOTHING,
    "hw.keep_alive_minutes": NOTHING,
    "hw.retries": NOTHING,
    "hw.fallback": NOTHING,  # the machine that was taken decides, as hw.instance_type does
    "hw.max_silent_minutes": NOTHING,
    "tracking": NOTHING,
    "checkpoint.dir": NOTHING,
    "checkpoint.resume": JOB,
    "checkpoint.init_from": RUN,
    "checkpoint.keep_last": NOTHING,
    # Of the launcher's own keys those that the training sees or that say where results lie; the image is given as code.
    "aws": NOTHING,
    "aws.bucket": JOB,
    "aws.prefix": JOB,
    "aws.environment": JOB,
    "launch": NOTHING,
}


SAME_AS_ABSENT = ("data.layers",)  # where empty: keys that came later, which runs from before do not have


@dataclass(frozen=True)
class Change:
    """A key that has another value now."""

    key: str
    was: Any
    now: Any


def decides(key: str) -> Decides | None:
    """What a dotted key decides; None where neither it nor anything above it is in the table."""
    while key not in TABLE:
        key, dot, _ = key.rpartition(".")
        if not dot:
            return None
    return TABLE[key]


def run_digest(values: Mapping[str, Any]) -> str:
    """SHA-256 of what makes a config's run: equal for a run and its continuation."""
    return _sha256(dict(_deciding(values, RUN)))


def job_digest(values: Mapping[str, Any], code: str, data: str | None) -> str:
    """Equal for jobs that learn the same from the same by the same code: 12 hexadecimal digits.

    Args:
        values: the config as plain values.
        code: what names the code that runs, an image for one.
        data: digest of the files that it reads, which may change while their addresses do not; None where it reads
            none.
    """
    what = {"config": dict(_deciding(values, RUN, JOB)), "code": code, "data": data}
    return _sha256(what)[:JOB_DIGITS]


def changed_keys(now: Mapping[str, Any], then: Mapping[str, Any]) -> list[Change]:
    """What keeps one config from resuming the run of another, by key; empty where it may."""
    ours, its = dict(_deciding(now, RUN)), dict(_deciding(then, RUN))
    keys = sorted(ours.keys() | its.keys())
    return [Change(key, its.get(key), ours.get(key)) for key in keys if ours.get(key) != its.get(key)]


def _deciding(values: Mapping[str, Any], *wanted: Decides) -> Iterator[tuple[str, Any]]:
    for key, value in flat(masked_values(values)):  # another password makes no other run
        if key in SAME_AS_ABSENT and not value:
            continue
        if (decides(key) or RUN) in wanted:  # what nobody knows may decide
            yield key, _plain(value)


def _plain(value: Any) -> Any:
    """One form for equal values: 1.0 is 1."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _sha256(what: Any) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
