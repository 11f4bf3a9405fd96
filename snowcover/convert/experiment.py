"""Converts an old training config to an experiment, with notes on what has no counterpart. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from snowcover.convert.folder_patterns import is_one_name, pattern_of
from snowcover.errors import UserError
from snowcover.sensors.planetscope import BANDS

NETWORKS = {"albunet": "ternausv2"}
LOSSES = {"lovasz": "lovasz", "crossentropy": "bce"}  # losses that are the same here; for others the user chooses
MISSING = "???"
SEVERAL = ("classes", "channels")


class NotAnOldConfig(UserError):
    """A file is not a training config of robosat.pink or planet-snowcover."""


@dataclass
class Experiment:
    """The converted config."""

    choices: dict[str, str] = field(default_factory=dict)
    """group -> choice"""
    values: dict[str, Any] = field(default_factory=dict)
    """keys below the groups, nested"""
    notes: list[str] = field(default_factory=list)
    """what has no counterpart, or another meaning here: each a sentence that names the old key"""


def experiment_of(old: Mapping[str, Any], name: str) -> Experiment:
    """Convert an old config.

    Raises:
        NotAnOldConfig
    """
    if "model" not in old or "dataset" not in old:
        raise NotAnOldConfig(
            f"{name} has no tables [dataset] and [model]: give the one TOML that planet-snowcover trained from."
        )
    made = Experiment()
    for key, value in old.items():
        if key not in _TABLES:
            made.notes.append(f"{key}: unknown key of the old system.")
        elif not _is_table(value, several=key in SEVERAL):
            head = f"[[{key}]]" if key in SEVERAL else f"[{key}]"
            raise NotAnOldConfig(f"{name}: {key} is not a table: write it as {head}.")
    for key, convert in _TABLES.items():
        try:
            if key in old:
                convert(old[key], made)
        except (TypeError, ValueError) as error:
            raise NotAnOldConfig(f"{name}: a value of {key} is of the wrong type ({error}).") from error
    return made


def _is_table(value: Any, several: bool) -> bool:
    return isinstance(value, list) and all(map(_is_mapping, value)) if several else _is_mapping(value)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _dataset(table: Mapping[str, Any], made: Experiment) -> None:
    made.choices["data"] = "tiles"
    data = made.values.setdefault("data", {})
    scenes = _place(table, "image_bucket", "imagery_directory_regex", made)
    collect = _place(table, "mask_bucket", "mask_directory_regex", made)
    if collect != MISSING and not is_one_name(collect.rpartition("/")[2]):
        made.notes.append(
            f"dataset.mask_directory_regex={table['mask_directory_regex']} matches several folders ({collect}), but a "
            "collect is a single folder: give its name in data.sources."
        )
        collect = MISSING
    if "path" in table:
        made.notes.append(f"dataset.path={table['path']}: give the folders of scenes and masks in data.sources.")
    data["sources"] = MISSING if MISSING in (scenes, collect) else [{"scenes": scenes, "collect": collect}]
    if "train_percent" in table:
        train = float(table["train_percent"])
        rest = round((1 - train) / 2, 6)
        data["split"] = {"train": train, "val": rest, "test": round(1 - train - rest, 6)}
        made.notes.append(
            f"dataset.train_percent={train:g}: the rest is divided equally into val and test, and ground is split in "
            "blocks, while the old system had the same ground in both splits."
        )
    if "aws_profile" in table:
        made.notes.append(
            f"dataset.aws_profile={table['aws_profile']}: set AWS_PROFILE, or another standard AWS credential."
        )
    _unknown("dataset", table, ("path", "train_percent", "aws_profile", "image_bucket", "imagery_directory_regex",
                                "mask_bucket", "mask_directory_regex"), made)  # fmt: skip


def _place(table: Mapping[str, Any], bucket_key: str, regex_key: str, made: Experiment) -> str:
    """The s3:// pattern of the folders in a bucket."""
    if bucket_key not in table or regex_key not in table:
        if "path" not in table:
            made.notes.append(f"dataset.{bucket_key} or dataset.{regex_key} is missing: give data.sources.")
        return MISSING
    bucket, regex = str(table[bucket_key]).removeprefix("s3://").strip("/"), str(table[regex_key])
    pattern = pattern_of(regex)
    if pattern is None:
        made.notes.append(
            f"dataset.{regex_key}={regex} cannot be written as a pattern here: list the folders in data.sources."
        )
        return MISSING
    return f"s3://{bucket}/{pattern}"


def _classes(tables: Sequence[Mapping[str, Any]], made: Experiment) -> None:
    names = [str(table.get("name", table.get("title", ""))).lower() for table in tables]
    if "snow" not in names or len(names) > 2:
        made.notes.append(f"classes {', '.join(names)}: networks here only distinguish snow from no snow.")
    if any("color" in table for table in tables):
        made.notes.append("classes.color has no counterpart: maps and figures have fixed colours.")


def _channels(tables: Sequence[Mapping[str, Any]], made: Experiment) -> None:
    numbers = [number for table in tables for number in table.get("bands", [])]
    if numbers and all(number in range(1, len(BANDS) + 1) for number in numbers):
        made.values.setdefault("data", {})["bands"] = [BANDS[number - 1] for number in numbers]
    else:
        made.notes.append(f"channels.bands={numbers}: give the names of these bands in data.bands.")
    if any(key in table for table in tables for key in ("mean", "std")):
        made.notes.append("channels.mean and std were never applied; here they are those of the training tiles.")
    if any("sub" in table for table in tables):
        made.notes.append("channels.sub has no counterpart: tiles of one source lie in one folder.")


def _model(table: Mapping[str, Any], made: Experiment) -> None:
    name = str(table.get("name", "albunet"))
    if (network := NETWORKS.get(name.lower())) is not None:
        made.choices["model"] = network
    else:
        made.notes.append(f"model.name={name} has no counterpart: choose a network with model=...")
    loss = str(table.get("loss", "lovasz"))
    if (known := LOSSES.get(loss.lower())) is not None:
        made.choices["loss"] = known
    else:
        made.notes.append(f"model.loss={loss} has no counterpart: choose a loss with loss=...")
    made.choices |= {"optimizer": "adam", "scheduler": "none"}
    _set(made.values, "data.augment.brightness", 0.0)
    for key, (place, kind) in _OF_MODEL.items():
        if key in table:
            _set(made.values, place, kind(table[key]))
    for key, note in _NOTES_OF_MODEL.items():
        if key in table:
            made.notes.append(f"model.{key}={table[key]}: {note}")
    _unknown("model", table, ("name", "loss", *_OF_MODEL, *_NOTES_OF_MODEL), made)


def _checkpoint(table: Mapping[str, Any], made: Experiment) -> None:
    if path := table.get("path"):
        made.choices["checkpoint"] = "from_weights"
        _set(made.values, "checkpoint.init_from", str(path))
        made.notes.append(
            f"checkpoint.path={path}: a new run starts from these weights, while the old system counted epochs from 0 "
            "again and took the learning rate from the checkpoint."
        )
    _unknown("checkpoint", table, ("path",), made)


def _unknown(name: str, table: Mapping[str, Any], known: Sequence[str], made: Experiment) -> None:
    made.notes += [f"{name}.{key}: unknown key of the old system." for key in table if key not in known]


def _set(values: dict[str, Any], place: str, value: Any) -> None:
    group, _, key = place.partition(".")
    if "." in key:
        _set(values.setdefault(group, {}), key, value)
    else:
        values.setdefault(group, {})[key] = value


def _flag(given: Any) -> bool:
    if not isinstance(given, bool):
        raise TypeError(f"{given!r} is neither true nor false")
    return given


def _whole(given: Any) -> int:
    if not isinstance(given, int) or isinstance(given, bool):
        raise TypeError(f"{given!r} is not a whole number")
    return given


_TABLES: dict[str, Callable[[Any, Experiment], None]] = {
    "dataset": _dataset, "classes": _classes, "channels": _channels, "model": _model, "checkpoint": _checkpoint,
}  # fmt: skip
_OF_MODEL: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "encoder": ("model.encoder_name", str),
    "pretrained": ("model.encoder_weights", lambda given: "imagenet" if _flag(given) else None),
    "batch_size": ("trainer.batch_size", _whole),
    "epochs": ("trainer.max_epochs", _whole),
    "lr": ("optimizer.lr", float),
    "decay": ("optimizer.weight_decay", float),
    "data_augmentation": ("data.augment.flips_and_rotations", lambda given: float(given) > 0),
}
_NOTES_OF_MODEL = {
    "tile_size": "tiles keep their own size.",
    "data_augmentation": "each of a tile's eight flips and rotations is as likely, in training alone.",
}
