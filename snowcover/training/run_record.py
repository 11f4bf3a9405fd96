"""run.json: which run a folder holds, and whether MLflow has all of it."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from snowcover import storage

RECORD = "run.json"


@dataclass(frozen=True)
class Record:
    """Enough to find a run again."""

    identity: str
    run_id: str
    tracking_uri: str
    started: str
    """when it was started or resumed last, in UTC"""
    recorded: bool = False
    """it is complete, and MLflow has all of it"""


def write(folder: Path, record: Record) -> None:
    """Write run.json, whole or not at all.

    Raises:
        StorageError: the folder cannot be written to.
    """
    storage.write(str(folder / RECORD), json.dumps(asdict(record), indent=2).encode())


def read(folder: Path) -> Record | None:
    """None where there is none, or something else of that name."""
    try:
        return Record(**json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def mark_recorded(folder: Path) -> None:
    """Note that MLflow has all of a run; its run.json is there."""
    record = read(folder)
    assert record is not None
    write(folder, replace(record, recorded=True))


def below(root: Path) -> Iterator[tuple[Path, Record]]:
    """The runs under a folder, the one started or resumed last first."""
    found = ((path.parent, read(path.parent)) for path in root.rglob(RECORD))
    runs = [(folder, record) for folder, record in found if record is not None]
    yield from sorted(runs, key=lambda run: run[1].started, reverse=True)
