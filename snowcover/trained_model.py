"""A trained network with all that mapping needs to know of it: the one loader, whatever the address."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from torch import nn

from snowcover import checkpoints, network, robosat_pink
from snowcover.baselines.networks import ForestNetwork, ThresholdNetwork, pixel_mapper
from snowcover.baselines.stored import stored_forest, stored_threshold
from snowcover.data.layer_facts import LayerNumbers
from snowcover.data.layer_names import all_channels
from snowcover.errors import UserError
from snowcover.identity import run_digest
from snowcover.model_uri import Found, find
from snowcover.models.mapper import SnowMapper
from snowcover.run_metadata import DEFAULT_THRESHOLD
from snowcover.sensors import planetscope

Kind = Literal["network", "forest", "brightness"]
NEUTRAL = {"threshold": DEFAULT_THRESHOLD}  # of a baseline, whatever the network's was found to be
ORIGINAL_TILE_PX = 512


class UnknownModelFact(UserError):
    """A checkpoint does not say something that mapping needs, and the user did not either."""


class WrongModelFact(UserError):
    """What the user says of a model cannot be."""


@dataclass(frozen=True)
class ModelOverrides:
    """What a user says of a model by name: it goes before what the model says of itself. None: not said."""

    bands: tuple[str, ...] | None = None
    scale: float | None = None
    offset: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    zoom: int | None = None
    tile_size: int | None = None
    threshold: float | None = None
    layers: Mapping[str, str] | None = None
    """where they lie now, of those that lie elsewhere than in training"""

    def given(self) -> dict[str, Any]:
        """What the user said, by key; what was left to the checkpoint is not in it."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class TrainedModel:
    """A network that was trained, and the grid and numbers that it was trained on."""

    mapper: SnowMapper
    """in evaluation mode, on the CPU"""
    bands: tuple[str, ...]
    """names, in the order of the network's channels; its layers come behind them"""
    scale: float
    offset: float
    """reflectance = stored number * scale + offset"""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """of each band's reflectance"""
    zoom: int
    tile_size: int
    """of the tiles that it was trained on, in pixels"""
    threshold: float
    """snow from this probability on"""
    nodata: float
    """value of unobserved pixels in rasters that say nothing of them"""
    run_id: str | None
    experiment: str | None
    checkpoint_uri: str
    checkpoint_sha256: str
    commit: str | None
    config_digest: str | None
    """None of a checkpoint that is not ours"""
    layers: Mapping[str, str] = field(default_factory=dict)
    """folder or s3:// prefix of each layer, in the order of their channels"""

    @property
    def channels(self) -> tuple[str, ...]:
        """What the network takes: its bands, and then its layers."""
        return (*self.bands, *all_channels(self.layers))


def load_trained_model(
    address: str, overrides: ModelOverrides, tracking_uri: str | None = None, kind: Kind = "network"
) -> TrainedModel:
    """The network at an address, or a baseline of its run in its place.

    An address is a run's folder, a .ckpt (path or s3://), an MLflow run id, or models:/...

    Nothing is downloaded but what the address names, and what is read is taken for data, never run.

    Args:
        tracking_uri: of the MLflow store in which run ids and models:/ addresses are looked up.

    Raises:
        NoModel: there is nothing at the address.
        NoBaseline, BadBaseline: the run did not keep what is to map in the network's place.
        BadCheckpoint: what is there is no checkpoint, or does not fit the network that it names.
        UnknownModelFact: bands, mean, std, zoom or tile size are neither said by the checkpoint nor given.
        WrongModelFact: what is given does not fit together.
        CannotRecord, StorageError, ConfigError
    """
    return model_of(find(address, tracking_uri), overrides, kind)


def model_of(found: Found, overrides: ModelOverrides, kind: Kind = "network") -> TrainedModel:
    """The network of a checkpoint that was found, or a baseline of its run.

    Raises:
        NoBaseline, BadBaseline, BadCheckpoint, UnknownModelFact, WrongModelFact, ConfigError
    """
    baseline = _baseline(found, kind)
    given = overrides.given()
    places = _layer_places(found, kind, given.pop("layers", {}))
    facts = {**_facts(found), **({} if baseline is None else NEUTRAL), **given}
    _refuse_unknown(found, facts)
    _refuse_wrong(found, facts)
    metadata = found.metadata
    return TrainedModel(
        mapper=_mapper(found, baseline, facts),
        **{**facts, **{name: tuple(facts[name]) for name in ("bands", "mean", "std")}},
        run_id=metadata.run_id if metadata else None,
        experiment=metadata.config["experiment_name"] if metadata else None,
        checkpoint_uri=found.uri,
        checkpoint_sha256=found.sha256,
        commit=metadata.commit if metadata else None,
        config_digest=run_digest(metadata.config) if metadata else None,
        layers=places,
    )


def _layer_places(found: Found, kind: Kind, elsewhere: Mapping[str, str]) -> Mapping[str, str]:
    """Of a network that was trained on layers: baselines see the bands alone."""
    metadata = found.metadata if kind == "network" else None
    trained = metadata.config["data"].get("layers") or {} if metadata else {}
    return {name: elsewhere.get(name, place) for name, place in trained.items()}


def _baseline(found: Found, kind: Kind) -> nn.Module | None:
    """What stands in the network's place, by what the run kept of it.

    Raises: NoBaseline, BadBaseline
    """
    if kind == "forest":
        return ForestNetwork(stored_forest(found.metadata, found.uri))
    return ThresholdNetwork(stored_threshold(found.metadata, found.uri)) if kind == "brightness" else None


def _mapper(found: Found, baseline: nn.Module | None, facts: Mapping[str, Any]) -> SnowMapper:
    """In evaluation mode. Raises: BadCheckpoint, ConfigError"""
    scale, offset, bands = facts["scale"], facts["offset"], facts["bands"]
    if baseline is not None:
        return pixel_mapper(baseline, scale, offset, len(bands))
    metadata = found.metadata
    layers, temperature = (metadata.layers, metadata.temperature) if metadata else (LayerNumbers(), 1.0)
    mean, std = [*facts["mean"], *layers.mean], [*facts["std"], *layers.std]
    net = _network(found, bands, len(layers.channels))
    return SnowMapper(net, scale, offset, mean, std, temperature, len(layers.channels)).eval()


def _facts(found: Found) -> dict[str, Any]:
    """What the checkpoint, or what lies next to it, says."""
    metadata = found.metadata
    if metadata is None:
        return {
            "scale": 1 / planetscope.REFLECTANCE_SCALE, "offset": 0.0, "nodata": 0.0, "threshold": DEFAULT_THRESHOLD,
            "tile_size": ORIGINAL_TILE_PX,
        }  # fmt: skip
    known = {name: getattr(metadata, name) for name in ("bands", "scale", "offset", "mean", "std", "threshold")}
    grid = {name: value for name in ("zoom", "tile_size") if (value := getattr(metadata, name)) is not None}
    return {**found.tile_grid(), **grid, **known, "nodata": float(metadata.config["data"]["nodata"])}


EXAMPLES = {
    "bands": "bands=[blue,green,red,nir]", "mean": "mean=[0.1,0.1,0.1,0.3], in reflectance",
    "std": "std=[0.05,0.05,0.05,0.1], in reflectance", "zoom": "zoom=15", "tile_size": "tile_size=512",
}  # fmt: skip


def _refuse_unknown(found: Found, facts: Mapping[str, Any]) -> None:
    if missing := [example for name, example in EXAMPLES.items() if name not in facts]:
        names = [name for name in EXAMPLES if name not in facts]
        raise UnknownModelFact(
            f"{found.uri} does not say which {' and '.join(name.replace('_', ' ') for name in names)} it was trained "
            f"with: give {'; '.join(missing)}."
        )


def _refuse_wrong(found: Found, facts: Mapping[str, Any]) -> None:
    bands = len(facts["bands"])
    for name in ("mean", "std"):
        if len(facts[name]) != bands:
            raise WrongModelFact(
                f"{name} has {len(facts[name])} values for the {bands} bands {', '.join(facts['bands'])} of "
                f"{found.uri}: give one for each band."
            )
    if not all(value > 0 and math.isfinite(value) for value in facts["std"]):
        raise WrongModelFact(f"std={list(facts['std'])} of {found.uri}: each must be a number above 0.")
    trained = found.metadata.bands if found.metadata else None
    if trained is not None and len(trained) != bands:
        raise WrongModelFact(
            f"{found.uri} was trained on the {len(trained)} bands {', '.join(trained)}, and bands names {bands}."
        )


def _network(found: Found, bands: tuple[str, ...], layers: int) -> nn.Module:
    """Raises: BadCheckpoint, ConfigError"""
    if found.metadata is None:
        return robosat_pink.network_of(found.checkpoint, bands, found.uri)
    net = network.build(found.metadata.config["model"], bands, pretrained=False, layers=layers)
    checkpoints.load_network(net, found.checkpoint, found.uri)
    return net
