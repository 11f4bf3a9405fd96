"""A job's name at AWS, made of what it learns: the same in every command that wants the same job. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

PROJECT = "snowcover"  # every job's name begins with it: the account's policies name no other jobs
NAME_LENGTH = 63  # CreateTrainingJob's TrainingJobName

_NAME = re.compile(rf"{PROJECT}-(.*-)?(?P<digest>[0-9a-f]{{12}})-(?P<attempt>[1-9]\d*)")


@dataclass(frozen=True)
class NameParts:
    """What a job's name tells."""

    digest: str
    attempt: int
    """1 for the first"""


def job_name(words: Sequence[str], digest: str, attempt: int = 1) -> str:
    """`snowcover-<words>-<digest>-<attempt>`; words that are too long for it are cut."""
    end = f"-{digest}-{attempt}"
    slug = re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-")
    return "-".join(filter(None, (PROJECT, slug)))[: NAME_LENGTH - len(end)].rstrip("-") + end


def parse_name(name: str) -> NameParts | None:
    """None where it is no name that `job_name` makes."""
    found = _NAME.fullmatch(name)
    return NameParts(found["digest"], int(found["attempt"])) if found else None


def attempt_of(name: str) -> int:
    """The number in a name that `job_name` made."""
    parts = parse_name(name)
    assert parts is not None, name
    return parts.attempt
