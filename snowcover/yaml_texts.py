"""Text of YAML files that YAML itself reads as another one: `run_name: 2018_05` is the number 201805."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf._utils import get_yaml_loader

from snowcover.errors import UserError
from snowcover.overrides import is_text, is_text_map, item, step

Steps = tuple[Any, ...]
"""names of mappings and numbers of lists, from the config's root"""


class ChangedText(UserError):
    """A YAML file has a number or truth value where text is wanted, and it reads as another text."""


def refuse_changed_texts(schema: type, composed: DictConfig) -> None:
    """Refuse text that a YAML file of the composed config wrote so that YAML read it as something else.

    What the command line gives is in quotes already (overrides.py), so that a number here may well be from a file;
    only then the files are read again.

    Args:
        composed: with Hydra's own node, while Hydra runs.

    Raises:
        ChangedText: names the file and the key.
    """
    values = OmegaConf.to_container(composed, resolve=False)
    assert isinstance(values, dict)
    values.pop("hydra", None)
    numbers = dict(_numbers(values, schema, ()))
    if not numbers:
        return
    files = list(_files(composed))
    for steps, value in numbers.items():
        for file, package in files:
            written = _written(file, package, steps, value)
            if written is not None and written != str(value):
                key = ".".join(map(str, steps))
                raise ChangedText(f"{key}: YAML reads {written} in {file} as {value}: put it in quotes there.")


def _numbers(value: Any, annotation: Any, steps: Steps) -> Iterator[tuple[Steps, Any]]:
    """Each number or truth value that is text by its annotation, the names in mappings included."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if not isinstance(name, str) and is_text_map(annotation):
                yield (*steps, name), name
            yield from _numbers(inner, step(annotation, str(name)), (*steps, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _numbers(inner, item(annotation), (*steps, number))
    elif isinstance(value, (bool, int, float)) and is_text(annotation):
        yield steps, value


def _files(composed: DictConfig) -> Iterator[tuple[Path, str]]:
    """The YAML files that the config was composed of, the last word first, and where in the config each goes."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode

    given, loader = composed.hydra.overrides, GlobalHydra.instance().config_loader()
    found = loader.compute_defaults_list(composed.hydra.job.config_name, [*given.hydra, *given.task], RunMode.RUN)
    folders = [Path(source.path) for source in composed.hydra.runtime.config_sources if source.schema == "file"]
    for default in reversed(found.defaults):
        places = (folder / f"{default.config_path}.yaml" for folder in folders)
        if (file := next((place for place in places if place.is_file()), None)) is not None:
            yield file, default.package or ""


def _written(file: Path, package: str, steps: Steps, value: Any) -> str | None:
    """How the file writes the value at some place of the config, or the name of that place; None where it does not."""
    loader = get_yaml_loader()(file.read_text(encoding="utf-8"))
    node = loader.get_single_node()
    above = tuple(package.replace("_global_", "").split(".")) if package.replace("_global_", "") else ()
    if steps[: len(above)] != above:
        return None
    name = None
    for one in steps[len(above) :]:
        if isinstance(node, yaml.MappingNode):
            pairs = [pair for pair in node.value if loader.construct_object(pair[0]) == one]
            name, node = pairs[0] if pairs else (None, None)
        elif isinstance(node, yaml.SequenceNode):
            name, node = None, node.value[one] if isinstance(one, int) and one < len(node.value) else None
        else:
            return None
    for found in (node, name):
        if isinstance(found, yaml.ScalarNode) and _same(loader.construct_object(found), value):
            return str(found.value)
    return None


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)
