"""A job's name at AWS, derived from what it learns: the same in every command that wants the same job. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

PROJECT = "snowcover"  # prefix of every job's name: the account's policies only allow jobs with it
NAME_LENGTH = 63  # CreateTrainingJob's TrainingJobName

_NAME = re.compile(rf"{PROJECT}-(.*-)?(?P<digest>[0-9a-f]{{12}})-(?P<attempt>[1-9]\d*)")


@dataclass(frozen=True)
class NameParts:
    """The parts of a job's name."""

    digest: str
    attempt: int
    """1 for the first"""


def job_name(words: Sequence[str], digest: str, attempt: int = 1) -> str:
    """`snowcover-<words>-<digest>-<attempt>`; words that are too long are cut."""
    end = f"-{digest}-{attempt}"
    slug = re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-")
    return "-".join(filter(None, (PROJECT, slug)))[: NAME_LENGTH - len(end)].rstrip("-") + end


def parse_name(name: str) -> NameParts | None:
    """The parts of a name; None if `job_name` did not create it."""
    found = _NAME.fullmatch(name)
    return NameParts(found["digest"], int(found["attempt"])) if found else None


def attempt_of(name: str) -> int:
    """The attempt in a name that `job_name` created."""
    parts = parse_name(name)
    assert parts is not None, name
    return parts.attempt
