"""Weights in and out: this project's checkpoints and robosat.pink's. Always read as data, never as code."""

import errno
import hashlib
import os
import pickle
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from torch import Tensor, nn

from snowcover import storage
from snowcover.errors import UserError
from snowcover.finite import not_finite, some_of

BEST, LAST = "best.ckpt", "last.ckpt"
METADATA = "snowcover"  # where a checkpoint of ours says what run it is of; others have none
LEFT_OVER = re.compile(r"\.(best|last)\.ckpt\.\d+\.part|\.[0-9a-f]{16}\.tmp")  # our temporary names, and storage's
NAMED = 8  # how many keys an error names


class BadCheckpoint(UserError):
    """A file is not a checkpoint, or not one of this network."""


class NoCheckpoint(BadCheckpoint):
    """There is no such file."""


class CannotSave(UserError):
    """A checkpoint could not be written whole; the one before it is untouched."""


class WholeFileIO(TorchCheckpointIO):
    """Lightning's reading and writing of checkpoints, whole or not at all, and as data only."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Save so that the file appears whole or not at all.

        Raises:
            CannotSave: the disk is full, or the folder cannot be written to.
        """
        save(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Load onto the CPU, as data only: nothing in the file can run.

        Raises:
            BadCheckpoint
        """
        return load(str(path))


def save(checkpoint: dict[str, Any], path: Path) -> None:
    """Write under a temporary name, then rename.

    Raises:
        CannotSave: the disk is full or the folder cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as error:  # torch wraps a failed write in a RuntimeError
        cause = error if isinstance(error, OSError) else error.__context__ or error
        full = getattr(cause, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "unexpected pos" in str(error)
        what = "the disk is full: free some space" if full else f"{cause}: make the folder writable"
        raise CannotSave(f"{path} could not be saved, {what}, then resume with checkpoint.resume=auto.") from error
    finally:
        part.unlink(missing_ok=True)


def weights_of(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint holds of weights and says of its run, without the state of optimizer, schedule and loops."""
    return {key: checkpoint[key] for key in ("state_dict", METADATA)}


def can_resume(checkpoint: Mapping[str, Any]) -> bool:
    """Whether it holds all that training resumes from, and not weights alone."""
    return "optimizer_states" in checkpoint


def remove_left_over(folder: Path) -> None:
    """Remove what was being written into a folder when its process was killed; nobody else may write there now."""
    for path in folder.glob(".*"):
        if LEFT_OVER.fullmatch(path.name):
            path.unlink(missing_ok=True)


def load(uri: str) -> dict[str, Any]:
    """The checkpoint at a path or s3:// uri, on the CPU, as data only.

    Raises:
        BadCheckpoint: not a checkpoint, one that holds more than data, or weights that are not finite.
        StorageError: it is not there.
    """
    with _on_this_disk(uri) as path:
        return _loaded(path, uri)


def load_with_sha256(uri: str) -> tuple[dict[str, Any], str]:
    """The checkpoint as `load` gives it, and the SHA-256 of its file.

    Raises:
        BadCheckpoint, StorageError
    """
    with _on_this_disk(uri) as path:
        checkpoint = _loaded(path, uri)
        with path.open("rb") as file:
            return checkpoint, hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _on_this_disk(uri: str) -> Iterator[Path]:
    if not storage.is_remote(uri):
        yield Path(uri)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint"
        storage.download(uri, str(path))
        yield path


def _loaded(path: Path, uri: str) -> dict[str, Any]:
    if not path.is_file():
        raise NoCheckpoint(f"{uri}: there is no such checkpoint; give the path of a best.ckpt or last.ckpt.")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, KeyError, pickle.UnpicklingError) as error:
        reason = (
            "it holds more than weights" if "weights_only" in str(error).lower() else "it is damaged or of another kind"
        )
        raise BadCheckpoint(f"{uri} cannot be read as a checkpoint: {reason}.") from error
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("state_dict"), Mapping):
        raise BadCheckpoint(f"{uri} is no checkpoint of ours or robosat.pink's: it has no state_dict.")
    if broken := not_finite(checkpoint["state_dict"]):
        raise BadCheckpoint(
            f"{uri} holds weights that are not finite ({some_of(broken)}): its training had diverged, so take an "
            "earlier one."
        )
    return checkpoint


def network_weights(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The network's own weights, whatever wrapped it when they were saved."""
    state = checkpoint["state_dict"]
    if METADATA in checkpoint:
        prefix = "mapper.network."
        return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    # robosat.pink saved from DataParallel, with ResNet's classifier that its network never used.
    plain = {key.removeprefix("module."): value for key, value in state.items()}
    return {key: value for key, value in plain.items() if not key.startswith("resnet.fc.")}


def load_network(network: nn.Module, checkpoint: Mapping[str, Any], uri: str) -> None:
    """Put a checkpoint's weights into a network, all of them.

    Raises:
        BadCheckpoint: lists each weight that is missing, left over or of another shape or kind of number.
    """
    weights, own = network_weights(checkpoint), network.state_dict()
    made = {name for name, _ in network.named_buffers()} - own.keys()  # by the network itself; a graph of it keeps them
    weights = {key: value for key, value in weights.items() if key not in made}
    # Counters of batches seen came to torch's batch norm later than some published checkpoints.
    weights = {k: v for k, v in own.items() if k.endswith("num_batches_tracked")} | weights
    problems = [f"{key} is missing" for key in own if key not in weights]
    problems += [f"{key} is left over" for key in weights if key not in own]
    problems += [
        f"{key} is {tuple(weights[key].shape)} and should be {tuple(value.shape)}"
        for key, value in own.items()
        if key in weights and weights[key].shape != value.shape
    ]
    problems += [  # halves and doubles of a number are one; whole numbers, as of a quantised network, are others
        f"{key} is {weights[key].dtype} and should be {value.dtype}"
        for key, value in own.items()
        if key in weights and weights[key].is_floating_point() != value.is_floating_point()
    ]
    if problems:
        shown = "; ".join(problems[:NAMED]) + (f"; and {len(problems) - NAMED} more" if len(problems) > NAMED else "")
        raise BadCheckpoint(f"{uri} does not fit this network ({type(network).__name__}): {shown}.")
    network.load_state_dict(weights)
