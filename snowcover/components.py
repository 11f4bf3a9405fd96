"""Networks, losses, optimizers: what a config names by `_target_`, checked against its signature, then made."""

import difflib
import inspect
import logging
import typing
from collections.abc import Callable, Mapping
from typing import Any

import hydra.utils
from hydra.errors import InstantiationException
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from snowcover.checking import ConfigError
from snowcover.command import nearest

logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)  # it logs what it raises


def check_component(node: Mapping[str, Any], path: str, given: tuple[str, ...] = ()) -> None:
    """Compare a node's keys and values with its target's signature; `given` names what the code passes in.

    Raises:
        ConfigError: unknown or missing key, or a value of the wrong type, at `path`.
    """
    target = _target(node, path)
    parameters = inspect.signature(target).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for key, value in node.items():
        if key.startswith("_"):
            continue
        # One that passes any key on would pass on a misspelt one, too.
        if key not in parameters and (not takes_any or difflib.get_close_matches(key, parameters, cutoff=0.85)):
            raise ConfigError(
                f"{path}.{key}: {target.__name__} takes no such key{nearest(key, parameters)}; "
                f"it takes {', '.join(name for name in parameters if name not in given)}."
            )
        if isinstance(value, Mapping):
            _check_inner(value, f"{path}.{key}")
        elif key in parameters:
            _check_value(value, parameters[key], target, f"{path}.{key}")
    for name, parameter in parameters.items():
        required = parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_KEYWORD,
            parameter.VAR_POSITIONAL,
        )
        if required and name not in node and name not in given:
            raise ConfigError(f"{path}.{name} must be given: {target.__name__} needs it.")


def make(node: Mapping[str, Any], path: str, **given: Any) -> Any:
    """The object that a node describes, with `given` added to its keys.

    Raises:
        ConfigError: the target refuses a value; its own words are kept.
    """
    return call(maker(node), path, **given)


def maker(node: Mapping[str, Any]) -> Callable[..., Any]:
    """The node's target with the node's keys filled in."""
    made: Callable[..., Any] = hydra.utils.instantiate(dict(node), _partial_=True, _convert_="all")
    return made


def call(function: Callable[..., Any], path: str, *args: Any, **given: Any) -> Any:
    """Call it; a value that it refuses becomes a sentence that names the config's node."""
    try:
        return function(*args, **given)
    except (ValueError, TypeError, KeyError, AssertionError) as error:
        raise ConfigError(f"{path}: {_words(error)}") from error


def _target(node: Mapping[str, Any], path: str) -> Callable[..., Any]:
    try:
        return typing.cast(Callable[..., Any], hydra.utils.get_object(node["_target_"]))
    except (ImportError, AttributeError, ValueError, InstantiationException) as error:
        raise ConfigError(f"{path}._target_={node['_target_']}: there is no such class or function.") from error


def _check_inner(node: Mapping[str, Any], path: str) -> None:
    """A nested component, or a plain mapping that may hold some."""
    if "_target_" in node:
        check_component(node, path)
        return
    for key, value in node.items():
        if isinstance(value, Mapping):
            _check_inner(value, f"{path}.{key}")


def _check_value(value: Any, parameter: inspect.Parameter, target: Callable[..., Any], key: str) -> None:
    annotation = _annotation(parameter, target)
    try:
        TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value)
    except ValidationError as error:
        wanted = error.errors()[0]["msg"]
        raise ConfigError(f"{key}={value!r}: {wanted[0].lower()}{wanted[1:]}.") from error
    except (PydanticUserError, TypeError, NameError):
        return  # an annotation that cannot be checked; the target itself still may refuse the value


def _annotation(parameter: inspect.Parameter, target: Callable[..., Any]) -> Any:
    """The parameter's type; where a library gives none, that of its default number or text."""
    function = target.__init__ if isinstance(target, type) else target  # type: ignore[misc]
    try:
        hints = typing.get_type_hints(function)
    except (NameError, TypeError):
        hints = {}
    if parameter.name in hints:
        return hints[parameter.name]
    default = parameter.default
    if isinstance(default, (bool, str)):
        return type(default)
    return float if isinstance(default, (int, float)) else Any


def _words(error: Exception) -> str:
    text = str(error.args[0]) if error.args else type(error).__name__
    return " ".join(text.split())
