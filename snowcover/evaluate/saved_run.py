"""A trained run with the tiles that it was, or was not, trained on: what is evaluated without any map."""

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

Side = Literal["val", "test"]
Key = tuple[str, str]
"""what two runs' pairs of the same tiles have in common: scene/z/x/y, and the collect"""
BASELINES: Mapping[Kind, str] = {"forest": FOREST, "brightness": THRESHOLD}  # and what a checkpoint keeps them as
ID_LETTERS = 8  # of a run's id that name it


class NotARun(UserError):
    """There is a checkpoint, but it does not say from which tiles it learned."""


class NoSharedTiles(UserError):
    """No tile was left for the wanted split in every run."""


@dataclass(frozen=True)
class SavedRun:
    """One run."""

    name: str
    """of the product that it is"""
    address: str
    model: TrainedModel
    pairs: Mapping[Key, Pair]
    """of the wanted split, in the manifest's order"""
    seen: frozenset[tuple[int, int, int]]
    """tiles of ground that it was trained on, or whose scores chose its epoch"""
    read: PairReader
    kind: Kind = "network"


def load_runs(config: Config) -> tuple[SavedRun, ...]:
    """The runs that the config names; with a single one the baselines that it kept, as products beside its network.

    Raises:
        NotARun, NoSharedTiles
        UserError: those of `trained_model.load_trained_model`, and NoManifest.
    """
    addresses = [_address(given) for given in ([config.run] if config.run is not None else config.compare or [])]
    if twice := [one for one in addresses if addresses.count(one) > 1]:
        raise NotARun(f"compare names {twice[0]} twice: name each run once.")
    found = [_found(address, config) for address in addresses]
    names = short_names(addresses, [metadata.config for _, metadata in found])
    runs = tuple(_load(name, address, *one, config) for name, address, one in zip(names, addresses, found, strict=True))
    _refuse_other_sizes(runs)
    return (*runs, *_baselines(runs[0], *found[0])) if config.run is not None else runs


def _baselines(run: SavedRun, found: Found, metadata: RunMetadata) -> Iterator[SavedRun]:
    for kind, field in BASELINES.items():
        if getattr(metadata, field) is not None:
            name = kind if kind != run.name else f"{kind} baseline"
            yield replace(run, name=name, model=model_of(found, ModelOverrides(), kind), kind=kind)


def shared_keys(runs: Sequence[SavedRun], split: Side) -> list[Key]:
    """The tiles that every run has in this split, in the first one's order.

    Raises:
        NoSharedTiles
    """
    shared = [key for key in runs[0].pairs if all(key in run.pairs for run in runs)]
    if not shared:
        told = "; ".join(f"{run.name} has {len(run.pairs)}" for run in runs)
        raise NoSharedTiles(
            f"No tile is a {split} tile of every run ({told}): map a scene with each of them (python -m "
            "snowcover.predict), and evaluate the maps."
        )
    return shared


def _address(given: str) -> str:
    if given != "latest":
        return given
    from snowcover.predict.models import latest

    return latest()


def _found(address: str, config: Config) -> tuple[Found, RunMetadata]:
    found = model_uri.find(address, config.tracking.uri)
    if found.metadata is None:
        raise NotARun(
            f"{found.uri} is a checkpoint of another project, which does not say from which tiles it learned: map a "
            "scene with it (python -m snowcover.predict), and evaluate the map."
        )
    return found, found.metadata


def _load(name: str, address: str, found: Found, metadata: RunMetadata, config: Config) -> SavedRun:
    run_config, pairs = metadata.config, found.tiles().pairs
    _, splits = splits_of_run(pairs, run_config)
    wanted = {_key(pair): pair for pair, side in zip(pairs, splits, strict=True) if side == config.split}
    model = model_of(found, ModelOverrides())
    layers = LayerReader.of(model.layers)
    if layers is not None:
        layers.check((pair.scene, pair.tile) for pair in wanted.values())
    seen = {pair.tile for pair, side in zip(pairs, splits, strict=True) if side in SEEN}
    return SavedRun(name, address, model, wanted, frozenset(seen), _reader(run_config["data"], layers))


def _reader(data: Mapping[str, Any], layers: LayerReader | None) -> PairReader:
    """Tiles as the run read them, but for its cache, which may be another machine's."""
    return PairReader(tuple(data["bands"]), float(data["nodata"]), layers=layers)


def _key(pair: Pair) -> Key:
    return pair.name, pair.collect


def short_names(addresses: Sequence[str], configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a reader knows the runs by: the names that they were given, their networks, or where they lie, whichever
    first tells all of them apart."""
    given = [config.get("run_name") or "" for config in configs]
    networks = [_network(config["model"]) for config in configs]
    for names in (given, networks):
        if all(names) and len(set(names)) == len(names):
            return names
    return _numbered([_place(address) for address in addresses])


def _network(model: Mapping[str, Any]) -> str:
    network, encoder = str(model["_target_"]).rpartition(".")[2], model.get("encoder_name")
    return f"{network} {encoder}" if encoder else network


def _numbered(names: Iterable[str]) -> list[str]:
    found: list[str] = []
    for name in names:
        taken = sum(one == name or one.startswith(f"{name} (") for one in found)
        found.append(f"{name} ({taken + 1})" if taken else name)
    return found


def _place(address: str) -> str:
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
                f"{run.model.tile_size}, which cannot be told apart pixel by pixel: map a scene with each of them, and "
                "evaluate the maps."
            )
