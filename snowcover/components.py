"""Networks, losses, optimizers: what a config names by `_target_`, checked against its signature, then made."""

import difflib
import inspect
import logging
import math
import typing
from collections.abc import Callable, Mapping
from typing import Any

import hydra.utils
from hydra.errors import InstantiationException
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from snowcover.cli import nearest
from snowcover.errors import UserError, first_line
from snowcover.overrides import is_number
from snowcover.validation import ConfigError

logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)  # it logs what it raises


def check_component(node: Mapping[str, Any], path: str, given: tuple[str, ...] = ()) -> None:
    """Compare a node's keys and values with its target's signature; `given` names what the code passes in.

    Raises:
        ConfigError: unknown or missing key, or a value of the wrong type, at `path`.
    """
    target, known = _target(node, path), parameters(node, path)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in known.values())
    name = getattr(target, "__name__", str(target))
    for key, value in node.items():
        if key.startswith("_"):
            continue
        # One that passes any key on would pass on a misspelt one, too.
        if key not in known and (not takes_any or difflib.get_close_matches(key, known, cutoff=0.85)):
            raise ConfigError(
                f"{path}.{key}: {name} takes no such key{nearest(key, known)}; "
                f"it takes {', '.join(one for one in known if one not in given)}."
            )
        if isinstance(value, Mapping):
            _check_inner(value, f"{path}.{key}")
        elif key in known:
            _check_value(value, known[key], target, f"{path}.{key}")
    for one, parameter in known.items():
        required = parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_KEYWORD,
            parameter.VAR_POSITIONAL,
        )
        if required and one not in node and one not in given and not node.get("_partial_"):
            raise ConfigError(f"{path}.{one} must be given: {name} needs it.")


def parameters(node: Mapping[str, Any], path: str) -> Mapping[str, inspect.Parameter]:
    """What a node's target takes, by name; anything, where it does not say.

    Raises:
        ConfigError: there is no such target.
    """
    target = _target(node, path)
    try:
        return inspect.signature(target).parameters
    except (ValueError, TypeError):  # some of those that are written in C, such as torch.tensor
        return {"keys": inspect.Parameter("keys", inspect.Parameter.VAR_KEYWORD)}


def instantiate(node: Mapping[str, Any], path: str, **given: Any) -> Any:
    """The object that a node describes, with `given` added to its keys.

    Raises:
        ConfigError: the target refuses a value; its own words are kept.
    """
    return call(partial(node), path, **given)


def partial(node: Mapping[str, Any]) -> Callable[..., Any]:
    """The node's target with the node's keys filled in."""
    made: Callable[..., Any] = hydra.utils.instantiate(dict(node), _partial_=True, _convert_="all")
    return made


def call(function: Callable[..., Any], path: str, *args: Any, **given: Any) -> Any:
    """Call it; a value that it refuses becomes an error that names the config's node."""
    try:
        return function(*args, **given)
    except UserError:
        raise
    except Exception as error:  # whatever a class of somebody's raises
        raise ConfigError(f"{path}: {_words(error)}") from error


def _target(node: Mapping[str, Any], path: str) -> Callable[..., Any]:
    try:
        return typing.cast(Callable[..., Any], hydra.utils.get_object(node["_target_"]))
    except (ImportError, AttributeError, ValueError, InstantiationException) as error:
        why = _failure_within(error, node["_target_"])
        raise ConfigError(f"{path}._target_={node['_target_']}: there is no such class or function{why}.") from error


def _failure_within(error: BaseException, target: str) -> str:
    """What went wrong in a module of that name that is there, such as a package that it imports and is not."""
    while error.__cause__ is not None:
        error = error.__cause__
    is_away = isinstance(error, ModuleNotFoundError) and (target + ".").startswith(f"{error.name}.")
    return "" if is_away or isinstance(error, (AttributeError, InstantiationException)) else f" ({first_line(error)})"


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
    is_nan = isinstance(value, float) and math.isnan(value)
    if is_nan or (isinstance(value, bool) and is_number(annotation)):
        raise ConfigError(f"{key}={str(value).lower()}: this is no number.")
    try:
        TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value)
    except ValidationError as error:
        problem = error.errors()[0]
        wanted = problem["msg"]
        # Only here it is known that the class wants text: Hydra, or YAML, has read a number.
        way_out = f" (text that looks like a number goes in quotes: {key}='\"...\"')"
        hint = way_out if problem["type"] == "string_type" and isinstance(value, (bool, int, float)) else ""
        raise ConfigError(f"{key}={value!r}: {wanted[0].lower()}{wanted[1:]}{hint}.") from error
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
