"""Weights that an encoder begins with, from a file or a hub, and the bands that they were learnt on."""

import pickle
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from segmentation_models_pytorch import encoders
from torch import Tensor

from snowcover import storage
from snowcover.errors import UserError
from snowcover.finite import not_finite
from snowcover.models.input_channels import RGB
from snowcover.paths import expanded, weights_file
from snowcover.validation import ConfigError

HOLDERS = ("state_dict", "model", "model_state", "teacher")  # keys under which files keep what they hold
KEY = "model.encoder_weights"


class NoWeights(UserError):
    """Pretrained encoder weights cannot be had."""


def pretrained(node: Mapping[str, Any]) -> tuple[Mapping[str, Tensor], Sequence[str]]:
    """Weights that a model node names, by whatever names their file has, and the bands they were learnt on.

    Raises:
        ConfigError: the node does not say what is needed to use them.
        NoWeights: they cannot be read or fetched.
        StorageError: the file is not there.
    """
    file, bands = weights_file(node), node.get("encoder_bands")
    if file is None:
        if bands is not None:
            raise ConfigError(
                f"model.encoder_bands is for {KEY}=PATH: {node['encoder_weights']} was learnt on {', '.join(RGB)}; "
                "leave it out."
            )
        return _of_hub(node["encoder_name"], node["encoder_weights"]), RGB
    return _of_file(file), _bands(file, bands)


def _bands(file: str, bands: Any) -> Sequence[str]:
    if bands is None:
        return RGB
    if not isinstance(bands, (list, tuple)) or not bands or not all(isinstance(band, str) for band in bands):
        raise ConfigError(
            f"model.encoder_bands={bands}: give the names of the bands that {file} was learnt on, in their order, for "
            "example [blue,green,red,nir]."
        )
    if len(set(bands)) < len(bands):
        raise ConfigError(f"model.encoder_bands names a band twice: {', '.join(bands)}.")
    return [*bands]


def _of_file(uri: str) -> dict[str, Tensor]:
    with tempfile.TemporaryDirectory() as folder:
        path = _path(uri)
        if storage.is_remote(uri):
            path = Path(folder) / "weights"
            storage.download(uri, str(path))
        if not path.is_file():
            raise NoWeights(f"{KEY}={uri}: there is no such file.")
        held = _read(path, uri)
    for holder in HOLDERS:
        if isinstance(held, Mapping) and isinstance(held.get(holder), Mapping):
            held = held[holder]
            break
    state = (
        {key: value for key, value in held.items() if isinstance(value, Tensor)} if isinstance(held, Mapping) else {}
    )
    if not state:
        raise NoWeights(f"{KEY}={uri} holds no weights by name: give a state dict, as torch or safetensors saves it.")
    if broken := not_finite(state):
        raise NoWeights(f"{KEY}={uri} holds weights that are not finite ({broken[0]}, ...).")
    return state


def _path(uri: str) -> Path:
    try:
        return Path(expanded(uri))
    except ValueError as error:
        raise ConfigError(f"{KEY}={uri}: {error}.") from error


def _read(path: Path, uri: str) -> Any:
    """What a file holds, as data: nothing in it runs."""
    try:
        if uri.endswith(".safetensors"):
            return safetensors.torch.load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, KeyError, ValueError, pickle.UnpicklingError, SafetensorError) as error:
        reason = "holds more than weights" if "weights_only" in str(error).lower() else "is damaged or of another kind"
        raise NoWeights(f"{KEY}={uri} cannot be read as weights: the file {reason}.") from error


def _of_hub(name: str, weights: str) -> Mapping[str, Tensor]:
    try:
        state: Mapping[str, Tensor] = encoders.get_encoder(name, in_channels=3, weights=weights).state_dict()
    except (KeyError, ValueError) as error:
        raise ConfigError(f"{KEY}={weights}: {' '.join(str(error.args[0]).split())}") from error
    except Exception as error:  # the hub's client has many ways to say that it cannot fetch
        raise NoWeights(
            f"The {weights} weights of {name} could not be fetched ({type(error).__name__}): give this machine a "
            f"way to the hub once, or start from random weights with {KEY}=null."
        ) from error
    return state
