"""A run in words: tables on the terminal, names and tags in MLflow."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from snowcover.config import Config
from snowcover.data.dataset import TileDataset
from snowcover.data.manifest import Manifest, some
from snowcover.data.statistics import SplitStatistics
from snowcover.machine import Device
from snowcover.models.mapper import SnowMapper
from snowcover.provenance import commit
from snowcover.secrets import masked
from snowcover.tracking_uri import ui_hint
from snowcover.training.score_table import score_lines

PACKAGES = ("snowcover", "torch", "lightning", "segmentation-models-pytorch", "mlflow", "rasterio", "numpy")
NOT_IN_A_NAME = (
    "model=",
    "model.encoder_name=",
    "data",
    "checkpoint",
    "tracking",
    "run_name",
    "experiment",
    "sweep",
    "hw",
)


def run_name(config: Config, overrides: Sequence[str]) -> str:
    """The config's name, else one that tells runs apart: network, encoder, what was overridden of the training."""
    if config.run_name:
        return config.run_name
    network = config.model["_target_"].rsplit(".", 1)[-1].lower()
    changed = [override for override in overrides if not override.lstrip("+~").startswith(NOT_IN_A_NAME)]
    encoder = config.model.get("encoder_name")
    return " ".join([f"{network}-{encoder}" if encoder else network, *changed])[:200]


def tags(overrides: Sequence[str], device: Device) -> dict[str, Any]:
    """What was changed, and what it ran on."""
    changed = (override.lstrip("+~").partition("=") for override in overrides)
    return {
        **{f"override.{_tag_name(key)}": masked(value) for key, _, value in changed},
        **{f"version.{name}": version(name) for name in PACKAGES},
        "version.python": platform.python_version(),
        "device": device.name,
        "precision": device.precision,
        "host": platform.node(),
        **_git(),
    }


def grid_tags(found: TileDataset) -> dict[str, Any]:
    """The tile grid that the network learns on, which a map is made in."""
    zoom = found.manifest.zoom
    return {"tiles.size_px": found.statistics.shape[1]} | ({} if zoom is None else {"tiles.zoom": zoom})


def plan(config: Config, found: TileDataset, mapper: SnowMapper, device: Device, name: str) -> str:
    """What will run, as a table."""
    manifest, statistics = found.manifest, found.statistics
    scenes, collects = ({getattr(pair, of) for pair in manifest.pairs} for of in ("scene", "collect"))
    bands, height, width = statistics.shape
    weights = sum(parameter.numel() for parameter in mapper.network.parameters())
    trainer = config.trainer
    rows = [
        ("run", f"{name} (experiment {config.experiment_name})"),
        ("tiles", f"{len(manifest.pairs)} pairs of {width} x {height} px, {bands} bands {statistics.dtype}, "
                  f"scenes: {len(scenes)}, collects: {len(collects)}, digest {found.digest[:12]}"),
        *_layers(config),
        *_unmatched(manifest),
        *((side, _side(facts)) for side, facts in statistics.splits.items()),
        ("network", " ".join([type(mapper.network).__name__, *filter(None, [config.model.get("encoder_name")])])
                    + f", {weights / 1e6:.1f} M parameters"),
        ("training", f"{trainer.max_epochs} epochs, batches of {trainer.batch_size}"
                     + (f" x {trainer.accumulate_batches}" if trainer.accumulate_batches > 1 else "")
                     + f", {_loss(config.loss)}, {_component(config.optimizer)}"),
        ("device", f"{device.processes} x {device.accelerator} ({device.name}), {device.precision}"),
    ]  # fmt: skip
    return table(rows)


def outcome(result: Mapping[str, Any], uri: str, experiment_id: str, folder: Path) -> str:
    """What came of it, as a table."""
    scores = score_lines(result)
    places = [("best epoch", str(result["best_epoch"])), ("checkpoint", result["checkpoint"]), ("files", str(folder))]
    return "\n".join(["  " + line for line in scores] + [table([*places, ("look", ui_hint(uri, experiment_id))])])


def table(rows: Sequence[tuple[str, str]]) -> str:
    """Names and values in two columns for a terminal."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows)


def _tag_name(key: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "_-./ " else "_" for letter in key)


def _side(facts: SplitStatistics) -> str:
    snow = "nothing observed" if facts.snow_share is None else f"snow {facts.snow_share:.1%}"
    return f"{facts.tiles} tiles, {snow}, nodata {facts.nodata_share:.1%}"


def _layers(config: Config) -> list[tuple[str, str]]:
    names = config.data.channels[len(config.data.bands) :]
    return [("layers", ", ".join(names))] if names else []


def _unmatched(manifest: Manifest) -> list[tuple[str, str]]:
    left = [
        (some(manifest.images_without_mask), "without a mask", manifest.images_without_mask),
        (some(manifest.masks_without_image, "mask"), "without an image", manifest.masks_without_image),
    ]
    return [("left out", f"{count} {why}") for count, why, names in left if names]


def _component(node: Mapping[str, Any]) -> str:
    values = ", ".join(f"{key} {value:g}" for key, value in node.items() if key == "lr")
    return node["_target_"].rsplit(".", 1)[-1] + (f" ({values})" if values else "")


def _loss(node: Mapping[str, Any]) -> str:
    """Its name; of one that is given the observed pixels alone, that one's."""
    inner = node.get("of")
    return _component(inner if isinstance(inner, Mapping) and "_target_" in inner else node)


def _git() -> dict[str, str]:
    """The commit of this code and whether it was changed since; nothing where it was installed."""
    found = commit()
    return {"git.commit": found.sha, "git.dirty": str(found.dirty).lower()} if found else {}
