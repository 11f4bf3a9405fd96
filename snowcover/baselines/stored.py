"""Baselines as a run keeps them, in its checkpoints and as baselines.npz: arrays, and nothing that could run.

A run's metadata have `brightness_threshold`, a number, and where there is one `forest`, its arrays by name as tensors.
"""

import io
import zipfile
from typing import Any

import numpy as np
import torch

from snowcover.baselines.forest import BadForest, Forest, checked_forest
from snowcover.errors import UserError
from snowcover.run_metadata import RunMetadata

FILE = "baselines.npz"
THRESHOLD, FOREST = "brightness_threshold", "forest"


class NoBaseline(UserError):
    """A run did not keep the baseline that is asked for."""


class BadBaseline(UserError):
    """What a run kept of a baseline cannot be one."""


def forest_tensors(forest: Forest) -> dict[str, torch.Tensor]:
    """The forest's arrays for a checkpoint; they share their memory."""
    return {name: torch.from_numpy(array) for name, array in forest.arrays().items()}


def stored_threshold(metadata: RunMetadata | None, uri: str) -> float:
    """The brightness threshold of a run, by what its checkpoint at `uri` says.

    Raises: NoBaseline, BadBaseline
    """
    if metadata is None or (threshold := metadata.brightness_threshold) is None:
        raise NoBaseline(
            f"{uri} keeps no brightness threshold, for it is of an older run or another program's: map with=network, "
            "or train again."
        )
    if not np.isfinite(threshold):
        raise BadBaseline(f"{uri}: its brightness threshold {threshold!r} is no finite number: train again.")
    return threshold


def stored_forest(metadata: RunMetadata | None, uri: str) -> Forest:
    """The pixel forest of a run, by what its checkpoint at `uri` says.

    Raises: NoBaseline, BadBaseline
    """
    if metadata is None or (arrays := metadata.forest) is None:
        raise NoBaseline(
            f"{uri} keeps no pixel forest, for its run was made with trainer.forest=false, is older, or is another "
            "program's: map with=network, or train again with trainer.forest=true."
        )
    try:
        return checked_forest({name: np.asarray(array) for name, array in arrays.items()}, len(metadata.bands))
    except (BadForest, AttributeError) as error:
        raise BadBaseline(f"{uri} keeps a pixel forest that cannot be one ({error}): train again.") from error


def to_npz(metadata: RunMetadata) -> bytes:
    """The baselines of a run as a file that numpy reads without pickle."""
    forest = {f"{FOREST}_{name}": array.numpy() for name, array in (metadata.forest or {}).items()}
    file = io.BytesIO()
    np.savez_compressed(file, **{THRESHOLD: np.float64(metadata.brightness_threshold)}, **forest)  # type: ignore[arg-type]
    return file.getvalue()


def from_npz(content: bytes, uri: str) -> dict[str, Any]:
    """The baselines of such a file, as a checkpoint has them.

    Raises: BadBaseline
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        found: dict[str, Any] = {THRESHOLD: float(arrays.pop(THRESHOLD))}
        forest = {name.removeprefix(f"{FOREST}_"): torch.from_numpy(array) for name, array in arrays.items()}
    except (ValueError, TypeError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise BadBaseline(f"{uri} is no file of baselines ({error}): train again.") from error
    return found | ({FOREST: forest} if forest else {})
