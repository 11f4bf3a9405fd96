"""Whether what a command will write can be written, asked before anything is read."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from snowcover.errors import UserError


class NotWritable(UserError):
    """A place that a command will write to cannot be written."""


def refuse_unwritable(places: Mapping[str, str]) -> None:
    """Refuse all places at once that cannot be written.

    Args:
        places: key of the config -> file or folder of this machine that is made or written.

    Raises:
        NotWritable: names every key to set.
    """
    obstacles = {key: obstacle for key, place in places.items() if (obstacle := _obstacle(Path(place)))}
    if obstacles:
        blocked = "; ".join(f"{key}={places[key]} ({obstacle})" for key, obstacle in obstacles.items())
        keys = " and ".join(obstacles)
        raise NotWritable(f"These places cannot be written: {blocked}. Set {keys} to places that can.")


def _obstacle(place: Path) -> str | None:
    """Why nothing can be made there; None where it can."""
    for there in (place.absolute(), *place.absolute().parents):
        if not os.path.lexists(there):
            continue
        if there.is_dir():
            folder = there
        elif there == place.absolute():  # a file that is written again; databases make others next to it
            folder = there.parent
            if not os.access(there, os.W_OK):
                return f"{_short(there)} may not be written"
        else:
            return f"{_short(there)} is no folder"
        return None if os.access(folder, os.W_OK | os.X_OK) else f"nothing can be made in {_short(folder)}"
    return None


def _short(path: Path) -> str:
    """As short as the user would type it."""
    relative = os.path.relpath(path)
    if relative == ".":
        return "this folder"
    return relative if not relative.startswith("..") else str(path)


def run_place(composed: DictConfig) -> dict[str, str | None]:
    """Where Hydra makes the folder of a run or sweep, by its key."""
    key = f"hydra.{'sweep' if composed.hydra.mode is RunMode.MULTIRUN else 'run'}.dir"
    return {key: local_place(composed, key)}


def local_place(composed: DictConfig, key: str) -> str | None:
    """The path of this machine that a key of a composed config has; None where it has none.

    Raises:
        ConfigError: no file can have that path.
    """
    from snowcover.paths import expanded
    from snowcover.validation import ConfigError

    value = value_of(composed, key)
    if value is None or "://" in value:
        return None
    try:
        return expanded(value)
    except ValueError as error:
        raise ConfigError(f"{key}={value}: {error}.") from error


def value_of(composed: DictConfig, key: str) -> str | None:
    """Text of a key; None where it is null or, in a sweep, not yet known."""
    with contextlib.suppress(OmegaConfBaseException):
        value = OmegaConf.select(composed, key)
        return None if value is None else str(value)
    return None
