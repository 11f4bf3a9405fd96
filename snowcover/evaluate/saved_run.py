"""A saved training run with its tiles, which is evaluated without a map."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from snowcover import model_uri
from snowcover.baselines.stored import FOREST, THRESHOLD
from snowcover.data.layers import LayerReader
from snowcover.data.manifest import Pair
from snowcover.data.reading import PairReader
from snowcover.errors import UserError
from snowcover.evaluate.config import Config
from snowcover.evaluate.ground import SEEN, splits_of_run
from snowcover.model_uri import Found
from snowcover.run_metadata import RunMetadata
from snowcover.trained_model import Kind, ModelOverrides, TrainedModel, model_of

EvaluatedSplit = Literal["val", "test"]
Key = tuple[str, str]
"""identifies the same tile pair in several runs: scene/z/x/y, and the collect"""
BASELINES: Mapping[Kind, str] = {"forest": FOREST, "brightness": THRESHOLD}  # fields of a checkpoint's metadata
ID_LETTERS = 8  # of a run id, for names


class NotARun(UserError):
    """A checkpoint does not say which tiles it was trained on."""


class NoSharedTiles(UserError):
    """No tile is in the wanted split of every run."""


@dataclass(frozen=True)
class SavedRun:
    """A run and its tiles of the wanted split."""

    name: str
    """of the product"""
    address: str
    model: TrainedModel
    pairs: Mapping[Key, Pair]
    """of the wanted split, in the manifest's order"""
    seen: frozenset[tuple[int, int, int]]
    """tiles of ground that it was trained on, or whose scores chose its best epoch"""
    read: PairReader
    kind: Kind = "network"


def load_runs(config: Config) -> tuple[SavedRun, ...]:
    """The runs that the config names; for a single run, also its stored baselines as products.

    Raises:
        NotARun, NoSharedTiles
        UserError: those of `trained_model.load_trained_model`, and NoManifest.
    """
    addresses = [_resolved(given) for given in ([config.run] if config.run is not None else config.compare or [])]
    if twice := [address for address in addresses if addresses.count(address) > 1]:
        raise NotARun(f"compare names {twice[0]} twice: name each run once.")
    checkpoints = [_checkpoint(address, config) for address in addresses]
    names = short_names(addresses, [metadata.config for _, metadata in checkpoints])
    runs = tuple(
        _load(name, address, *checkpoint, config)
        for name, address, checkpoint in zip(names, addresses, checkpoints, strict=True)
    )
    _refuse_other_sizes(runs)
    return (*runs, *_baselines(runs[0], *checkpoints[0])) if config.run is not None else runs


def _baselines(run: SavedRun, found: Found, metadata: RunMetadata) -> Iterator[SavedRun]:
    for kind, field in BASELINES.items():
        if getattr(metadata, field) is not None:
            name = kind if kind != run.name else f"{kind} baseline"
            yield replace(run, name=name, model=model_of(found, ModelOverrides(), kind), kind=kind)


def shared_keys(runs: Sequence[SavedRun], split: EvaluatedSplit) -> list[Key]:
    """The tiles that every run has in this split, in the first one's order.

    Raises:
        NoSharedTiles
    """
    shared = [key for key in runs[0].pairs if all(key in run.pairs for run in runs)]
    if not shared:
        counts = "; ".join(f"{run.name} has {len(run.pairs)}" for run in runs)
        raise NoSharedTiles(
            f"No tile is a {split} tile of every run ({counts}): map a scene with each of them (python -m "
            "snowcover.predict), and evaluate the maps."
        )
    return shared


def _resolved(given: str) -> str:
    if given != "latest":
        return given
    from snowcover.predict.models import latest

    return latest()


def _checkpoint(address: str, config: Config) -> tuple[Found, RunMetadata]:
    found = model_uri.find(address, config.tracking.uri)
    if found.metadata is None:
        raise NotARun(
            f"{found.uri} is a checkpoint of another project, which does not say which tiles it was trained on: "
            "map a scene with it (python -m snowcover.predict), and evaluate the map."
        )
    return found, found.metadata


def _load(name: str, address: str, found: Found, metadata: RunMetadata, config: Config) -> SavedRun:
    run_config, pairs = metadata.config, found.tiles().pairs
    _, splits = splits_of_run(pairs, run_config)
    wanted = {_key(pair): pair for pair, split in zip(pairs, splits, strict=True) if split == config.split}
    model = model_of(found, ModelOverrides())
    layers = LayerReader.of(model.layers)
    if layers is not None:
        layers.check((pair.scene, pair.tile) for pair in wanted.values())
    seen = {pair.tile for pair, split in zip(pairs, splits, strict=True) if split in SEEN}
    return SavedRun(name, address, model, wanted, frozenset(seen), _reader(run_config["data"], layers))


def _reader(data: Mapping[str, Any], layers: LayerReader | None) -> PairReader:
    """Reads tiles as the run did, without its cache, which may be on another machine."""
    return PairReader(tuple(data["bands"]), float(data["nodata"]), layers=layers)


def _key(pair: Pair) -> Key:
    return pair.name, pair.collect


def short_names(addresses: Sequence[str], configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Short names of runs for readers: their given names, their networks or their locations, the first of these that
    distinguishes all runs."""
    given = [config.get("run_name") or "" for config in configs]
    networks = [_network(config["model"]) for config in configs]
    for names in (given, networks):
        if all(names) and len(set(names)) == len(names):
            return names
    return _numbered([_location(address) for address in addresses])


def _network(model: Mapping[str, Any]) -> str:
    network, encoder = str(model["_target_"]).rpartition(".")[2], model.get("encoder_name")
    return f"{network} {encoder}" if encoder else network


def _numbered(names: Iterable[str]) -> list[str]:
    found: list[str] = []
    for name in names:
        taken = sum(other == name or other.startswith(f"{name} (") for other in found)
        found.append(f"{name} ({taken + 1})" if taken else name)
    return found


def _location(address: str) -> str:
    if model_uri.RUN_ID.fullmatch(address) and not Path(address).exists():
        return f"run {address.removeprefix('runs:/')[:ID_LETTERS]}"
    parts = [part for part in address.removeprefix("models:/").split("/") if part not in ("", ".", "checkpoints")]
    if len(parts) > 1 and parts[-1].endswith(".ckpt"):
        parts.pop()
    return " ".join(parts[-2:]) if address.startswith("models:/") else parts[-1]


def _refuse_other_sizes(runs: Sequence[SavedRun]) -> None:
    for run in runs[1:]:
        if run.model.tile_size != runs[0].model.tile_size:
            raise NoSharedTiles(
                f"{runs[0].name} was trained on tiles of {runs[0].model.tile_size} pixels and {run.name} on tiles of "
                f"{run.model.tile_size}, which cannot be compared pixel by pixel: map a scene with each of them, and "
                "evaluate the maps."
            )
