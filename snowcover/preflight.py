"""What would stop a run on this machine later, checked before any folder of it is made."""

import gc
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from snowcover.errors import UserError
from snowcover.tracking_uri import sqlite_path
from snowcover.writable import local_place, refuse_unwritable, run_place, value_of

if TYPE_CHECKING:
    from snowcover.config import Config


class HoldsARun(UserError):
    """The folder that was given for a new run is that of an earlier one."""


def refuse_unfit_run(config: "Config", folder: Path, places: Mapping[str, str]) -> None:
    """Refuse places that cannot be written, the folder of another run, and parts that cannot be made.

    Raises:
        NotWritable, HoldsARun, ConfigError
    """
    refuse_unwritable(places)
    _refuse_another_run(config, folder)
    with heavy_imports("snowcover.component_checks"):
        from snowcover.component_checks import check_components

    check_components(config)


def _refuse_another_run(config: "Config", folder: Path) -> None:
    from snowcover.training.run_record import RECORD

    # The other processes of a run are started in the folder that the first is filling.
    is_first = os.environ.get("LOCAL_RANK", "0") == "0"
    if is_first and config.checkpoint.resume is None and (folder / RECORD).exists():
        raise HoldsARun(
            f"{folder} holds another run: give this one a folder of its own (hydra.run.dir, or hydra.sweep.dir of a "
            "sweep), or resume that one with checkpoint.resume=auto."
        )


@contextmanager
def heavy_imports(module: str) -> Iterator[None]:
    """Around the import of a module that loads torch and the like: sets what they read when they load, and collects no
    garbage meanwhile. Where the module is loaded already, it does nothing.

    They leave none, and looking for it among so many new objects takes a fifth of their time. What they made is never
    looked at again: it stays as long as the process.
    """
    if module in sys.modules:
        yield
        return
    # Waiting threads that spin take most of a core from whatever else runs here.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    # What the old ones (compat.py) have to say when they load.
    logging.getLogger("torch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
    gc.collect()  # else what is garbage by now would stay as well
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def places(composed: DictConfig) -> dict[str, str]:
    """Key -> what a run of the composed config writes on this machine, as far as is known of it.

    Raises:
        ConfigError: no file can have that path.
    """
    found = {**run_place(composed), **{key: local_place(composed, key) for key in ("checkpoint.dir", "data.cache")}}
    generated = local_place(composed, "data.generate.folder")
    if generated and not local_place(composed, "data.manifest") and not os.path.isdir(generated):
        found["data.generate.folder"] = generated
    found["tracking.uri"] = _database(composed)
    return {key: place for key, place in found.items() if place}


def _database(composed: DictConfig) -> str | None:
    path = sqlite_path(value_of(composed, "tracking.uri") or "")
    return None if path is None else str(path)
