"""Provenance and totals of a map, as written to the TIFFs' tags, the STAC item, MLflow and the table."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from snowcover import __version__
from snowcover.predict.config import Config
from snowcover.predict.mapping import OutputGrid
from snowcover.predict.raster_files import Totals
from snowcover.provenance import Commit
from snowcover.trained_model import TrainedModel

Settings = Mapping[str, object]
OF_THE_NETWORK = ("network_bands", "scale", "offset", "mean", "std", "zoom", "tile_size")
# Config keys that affect a map, besides its scene and its networks.
DECIDING = ("with", "tta", "grid", "mosaic", "crs", "bands", "nodata", "radiance", *OF_THE_NETWORK)


@dataclass(frozen=True)
class SourceFacts:
    """A scene that a map was made from."""

    name: str
    """of its file or folder"""
    size_bytes: int
    crc32: int


@dataclass(frozen=True)
class MapFacts:
    """A complete map."""

    name: str
    sources: tuple[SourceFacts, ...]
    models: tuple[TrainedModel, ...]
    settings: Settings
    threshold: float
    grid: OutputGrid
    totals: Totals
    software: str


def settings(config: Config, models: Sequence[TrainedModel], threshold: float, like_crc32: int | None) -> Settings:
    """Everything that affects a map besides its scene, as plain values: equal settings give equal maps."""
    values = config.model_dump(by_alias=True)
    return {
        "model": [model.checkpoint_sha256 for model in models],
        "threshold": threshold,
        **{key: values[key] for key in DECIDING},
        **({"layers": values["layers"]} if values["layers"] else {}),
        "like": like_crc32,
        "udm": None if not config.udm.use else {key: values["udm"][key] for key in ("bits", "bands")},
    }


def digest(given: Settings) -> str:
    """SHA-256 of settings."""
    return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()


def differences(before: Settings, now: Settings) -> list[str]:
    """`threshold was 0.5 and is 0.4 now` for each key that differs."""
    return [
        f"{key} was {_shown(before.get(key))} and is {_shown(now.get(key))} now"
        for key in {**before, **now}
        if json.dumps(before.get(key)) != json.dumps(now.get(key))
    ]


def software(code: Commit | None) -> str:
    """Name, version and commit of the program that makes the maps."""
    if code is None:
        return f"snowcover {__version__}"
    return f"snowcover {__version__} ({code.sha}{', changed since' if code.dirty else ''})"


def plain(facts: MapFacts) -> dict[str, object]:
    """The facts by name; lists if there are several networks."""
    models, totals = facts.models, facts.totals
    return {
        "run_id": _one_or_all([model.run_id for model in models]),
        "checkpoint_sha256": _one_or_all([model.checkpoint_sha256 for model in models]),
        "commit": _one_or_all([model.commit for model in models]),
        "config_digest": _one_or_all([model.config_digest for model in models]),
        "threshold": facts.threshold,
        "mapped_with": facts.settings["with"],
        "tta": facts.settings["tta"],
        "sources": [asdict(source) for source in facts.sources],
        "observed_km2": _rounded(totals.observed_km2),
        "snow_km2": _rounded(totals.snow_km2),
        "snow_share": None if totals.snow_share is None else _rounded(totals.snow_share),
        "software": facts.software,
    }


def tags(facts: MapFacts) -> dict[str, str]:
    """The facts as GDAL's metadata."""
    values = {**plain(facts), "source": ", ".join(source.name for source in facts.sources)}
    values["source_size_bytes"] = ", ".join(str(source.size_bytes) for source in facts.sources)
    del values["sources"]
    return {
        f"SNOWCOVER_{key.upper()}": ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        for key, value in values.items()
        if value is not None
    }


def _one_or_all(values: Sequence[object]) -> object:
    return values[0] if len(values) == 1 else list(values)


def _rounded(value: float) -> float:
    """To six figures: the eighth figure of a large sum depends on the order of summation."""
    return float(f"{value:.6g}")


def _shown(value: object) -> str:
    if isinstance(value, list) and value and all(isinstance(item, str) and len(item) == 64 for item in value):
        return " and ".join(item[:12] for item in value)  # a checkpoint's SHA-256
    return "none" if value is None else str(value)
