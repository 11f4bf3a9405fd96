"""Secrets taken out of a command line and a sweep's config, into this process's environment.

What Hydra keeps of a command (its overrides, multirun.yaml, the command lines of the processes that it starts) then
names an environment variable, and has never held the secret. Imported at every start, so nothing heavy may be
imported here.
"""

import os
import re
from collections.abc import Callable, MutableMapping, Sequence

from omegaconf import DictConfig, ListConfig, open_dict, read_write

from snowcover.secret_names import is_secret_name
from snowcover.secrets import joined, spans, spans_of_uri

VARIABLE = "SNOWCOVER_SECRET_"
_STRUCTURE = re.compile(r"(?<!\\)[,\[\]{}()]+")  # of a value without quotes: what stands between is a value each
_QUOTED = re.compile(r"(['\"])((?:(?!\1)[^\\]|\\.)*)\1")
_ESCAPED = re.compile(r"\\([\\()\[\]{}:=, \t])")


def hide_secrets(arguments: Sequence[str], environment: MutableMapping[str, str] = os.environ) -> list[str]:
    """The words of a command line with `${oc.env:...}` in place of each secret, which the environment has now."""
    return [one if one.startswith("-") else _hidden(one, environment) for one in arguments]


def hide_secrets_of_config(node: DictConfig | ListConfig, environment: MutableMapping[str, str] = os.environ) -> None:
    """The same of all texts of a config as it was composed, which may come from a file."""
    with read_write(node), open_dict(node):
        for key in list(node) if isinstance(node, DictConfig) else range(len(node)):
            value = node._get_node(key)
            if isinstance(value, (DictConfig, ListConfig)):
                if not (value._is_none() or value._is_missing() or value._is_interpolation()):
                    hide_secrets_of_config(value, environment)
                continue
            raw = value._value() if value is not None else None  # type: ignore[union-attr]
            if not isinstance(raw, str):
                continue
            is_secret = isinstance(key, str) and is_secret_name(key) and "${" not in raw and raw not in ("", "???")
            hidden = _reference(raw, environment) if is_secret else _hidden_in_text(raw, environment)
            if hidden != raw:
                node[key] = hidden


def _hidden_in_text(text: str, environment: MutableMapping[str, str]) -> str:
    return _replaced(text, lambda begin, end: _reference(text[begin:end], environment))


def _hidden(override: str, environment: MutableMapping[str, str]) -> str:
    """Hydra's structure and quotes stay as they are: `a=x,y` are two values, and so they are with two secrets."""

    def hide(begin: int, end: int) -> str:
        text = override[begin:end]
        if quote := _quote_at(override, begin):
            return _reference(text.replace(f"\\{quote}", quote), environment)
        pieces, structure = _STRUCTURE.split(text), [*_STRUCTURE.findall(text), ""]
        hidden = [_reference(_ESCAPED.sub(r"\1", piece), environment) if piece else "" for piece in pieces]
        return "".join(one + sign for one, sign in zip(hidden, structure, strict=True))

    in_quotes = [
        (found.start(2) + begin, found.start(2) + end)
        for found in _QUOTED.finditer(override)
        for begin, end in spans_of_uri(found[2])
    ]
    return _replaced(override, hide, in_quotes)


def _replaced(text: str, hide: Callable[[int, int], str], more: Sequence[tuple[int, int]] = ()) -> str:
    hidden = text
    for begin, end in reversed(joined([*spans(text), *more])):
        if "${" not in text[begin:end]:  # names where it is already
            hidden = hidden[:begin] + hide(begin, end) + hidden[end:]
    return hidden


def _quote_at(text: str, place: int) -> str:
    """The quote within which a place of an override stands, or nothing."""
    quote = ""
    for index, sign in enumerate(text[:place]):
        if sign in "'\"" and text[index - 1 : index] != "\\":
            quote = "" if sign == quote else quote or sign
    return quote


def _reference(secret: str, environment: MutableMapping[str, str]) -> str:
    number = 1
    while environment.get(f"{VARIABLE}{number}", secret) != secret:
        number += 1
    environment[f"{VARIABLE}{number}"] = secret
    return f"${{oc.env:{VARIABLE}{number}}}"
