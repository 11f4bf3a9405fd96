"""Loads the networks of a command and checks that they fit together."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from snowcover import checkpoints
from snowcover.data.bands import canonical
from snowcover.errors import UserError
from snowcover.predict.config import Config
from snowcover.trained_model import ModelOverrides, TrainedModel, UnknownModelFact, load_trained_model
from snowcover.training import run_record

Value = TypeVar("Value")

LATEST = "latest"
RUNS = "outputs"  # default folder of runs


class NoModel(UserError):
    """There is no run to map with, or the models do not fit together."""


def load(config: Config) -> tuple[TrainedModel, ...]:
    """The networks that a command names.

    Raises:
        NoModel
        UserError: those of `load_trained_model`.
    """
    addresses = [latest() if address == LATEST else address for address in config.models]
    if twice := [address for address in addresses if addresses.count(address) > 1]:
        raise NoModel(f"model names {twice[0]} twice: name each network once.")
    loaded = tuple(_load(address, config) for address in addresses)
    _refuse_unknown_layers(config, loaded)
    return loaded


def _refuse_unknown_layers(config: Config, loaded: Sequence[TrainedModel]) -> None:
    known = {name for model in loaded for name in model.layers}
    if unknown := [name for name in config.layers if name not in known]:
        has = f"the layers {', '.join(sorted(known))}" if known else "no layers"
        raise NoModel(f"layers names {unknown[0]}, but the model takes {has}: leave it out.")


def _load(address: str, config: Config) -> TrainedModel:
    overrides = ModelOverrides(
        bands=_tuple(config.network_bands), scale=config.scale, offset=config.offset, mean=_tuple(config.mean),
        std=_tuple(config.std), zoom=config.zoom, tile_size=config.tile_size, threshold=config.threshold,
        layers=config.layers,
    )  # fmt: skip
    try:
        return load_trained_model(address, overrides, config.tracking.uri, config.mapped_with)
    except UnknownModelFact:
        if overrides.bands is not None or config.bands is None:
            raise
        names = tuple(canonical(name) or name.lower() for name in config.bands)  # the scenes' bands are the network's
        return load_trained_model(address, replace(overrides, bands=names), config.tracking.uri, config.mapped_with)


def latest() -> str:
    """The folder of the run that was started last and has a checkpoint.

    Raises: NoModel
    """
    for folder, _ in run_record.below(Path(RUNS)):
        if (folder / "checkpoints" / checkpoints.BEST).is_file():
            return str(folder)
    raise NoModel(
        f"model=latest: no run below {RUNS}/ has a checkpoint: train one first (python -m snowcover.train), or give "
        "model=... a run's folder, a run id of MLflow or a .ckpt."
    )


def common_threshold(models: Sequence[TrainedModel]) -> float:
    """The least probability that counts as snow, common to all networks.

    Raises: NoModel
    """
    found = sorted({model.threshold for model in models})
    if len(found) > 1:
        thresholds = " and ".join(f"{value:g}" for value in found)
        raise NoModel(f"The networks have the thresholds {thresholds}: give one, threshold=...")
    return found[0]


def _tuple(values: Sequence[Value] | None) -> tuple[Value, ...] | None:
    return None if values is None else tuple(values)
