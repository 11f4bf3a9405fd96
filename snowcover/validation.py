"""Typed check of a composed config: types, ranges, missing values and unknown keys, each in one message."""

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Annotated, Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from snowcover.cli import nearest
from snowcover.errors import UserError, first_line
from snowcover.nested import flat
from snowcover.overrides import fields_by_key, is_number, item


class ConfigError(UserError):
    """A key of the config is unknown, missing, of the wrong type or out of range."""


def _names_a_class(node: dict[str, Any]) -> dict[str, Any]:
    if node and not isinstance(node.get("_target_"), str):
        raise ValueError("must name a class by _target_; choose one of the group's files instead")
    return node


Component = Annotated[dict[str, Any], AfterValidator(_names_a_class)]
"""a node that names a class by `_target_`, checked against that class's signature: components.py"""


class Section(BaseModel):
    """A part of the config whose keys we own. The text under a field is what the user sees of it."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        coerce_numbers_to_str=True,  # a folder or an experiment may be called 2018
    )

    @field_validator("*", mode="before")
    @classmethod
    def _a_truth_value_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Python counts True as 1: one epoch, where the user meant something else."""
        annotation = cls.model_fields[str(info.field_name)].annotation
        if _holds_truth(value) and is_number(annotation, item(annotation)):
            raise ValueError(f"{str(value).lower()} is no number" if isinstance(value, bool) else "true is no number")
        return value


def _holds_truth(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, list) and any(isinstance(one, bool) for one in value))


S = TypeVar("S", bound=Section)


def check(schema: type[S], config: DictConfig) -> S:
    """The composed config as typed values.

    Raises:
        ConfigError: names each offending key, its value and what is allowed.
    """
    _refuse_missing(schema, config)
    try:
        values = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        # OmegaConf says which Python error a resolver such as oc.env raised; its text says why.
        reason = re.sub(r'^\w+ raised while resolving interpolation: "?(.+?)"?$', r"\1", first_line(error))
        raise ConfigError(f"{error.full_key}: {reason[0].lower()}{reason[1:]}.") from error
    return checked(schema, values)


def checked(schema: type[S], values: Any) -> S:
    """Plain values as typed ones.

    Raises:
        ConfigError: as `check`.
    """
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise ConfigError("; ".join(_problem(schema, problem) for problem in error.errors()) + ".") from error


_NO_KEY = object()


def check_given(schema: type[S], config: DictConfig, given: Iterable[str]) -> None:
    """Refuse values of some keys that are wrong whatever the others are; of a sweep, whose other keys are not known.

    Raises:
        ConfigError: as `check`, of the keys in `given` alone.
    """
    values = OmegaConf.to_container(config, resolve=False)
    known = set()
    for key in given:
        with suppress(OmegaConfBaseException):  # what refers to a swept key, or to the job that it is of
            value = OmegaConf.select(config, key, default=_NO_KEY)
            if value is _NO_KEY:  # the name of a group whose files set keys elsewhere, such as +sweep=recipe
                continue
            _put(values, key.split("."), value)
            known.add(key)
    try:
        schema.model_validate(values)
    except ValidationError as error:
        ours = [one for one in error.errors() if ".".join(map(str, one["loc"])) in known]
        if ours:
            raise ConfigError("; ".join(_problem(schema, problem) for problem in ours) + ".") from error


def _put(values: Any, steps: list[str], value: Any) -> None:
    """Set a leaf of nested mappings; a part of a list stays as it is."""
    *above, last = steps
    for name in above:
        values = values.get(name) if isinstance(values, dict) else None
    if isinstance(values, dict):
        values[last] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _refuse_missing(schema: type[Section], config: DictConfig) -> None:
    # Not OmegaConf.missing_keys: it fails on a value that refers to a missing one.
    missing = [key for key, value in flat(OmegaConf.to_container(config, resolve=False)) if value == "???"]
    if missing:
        values = "; ".join(f"{key}{_meaning(schema, key.split('.'))}" for key in missing)
        raise ConfigError(f"Values to give on the command line as key=value: {values}.")


def _problem(schema: type[Section], problem: Any) -> str:
    # A union's or list's own steps ("list[Source]", 0) are shown as they are: data.sources.0.collect
    path = [str(step) for step in problem["loc"]]
    key = ".".join(path)
    if problem["type"] == "extra_forbidden":
        siblings = list(fields_by_key(_section(schema, path[:-1])))
        return f"{key}: the config has no such key{nearest(path[-1], siblings)}"
    if problem["type"] == "missing":
        return f"{key} must be given{_meaning(schema, path)}"
    reason = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return f"{key}: {reason}" if key else reason
    return f"{key}={problem['input']!r}: {reason[0].lower()}{reason[1:]}{_meaning(schema, path)}"


def _meaning(schema: type[Section], path: list[str]) -> str:
    field = fields_by_key(_section(schema, path[:-1])).get(path[-1])
    return f" ({' '.join(field.description.split())})" if field and field.description else ""


def _section(schema: type[Section], path: list[str]) -> type[Section]:
    """The section that a dotted path leads to; where it leads into a list or a plain dict, the last one."""
    for step in path:
        field = fields_by_key(schema).get(step)
        inner = _section_of(field.annotation) if field else None
        if inner is None:
            continue
        schema = inner
    return schema


def _section_of(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (found := _section_of(argument)) is not None:
            return found
    return None
