"""Paths of this machine as a user types them. A command keeps to the folder that it was started in (cli.py), so
that a relative path means the same to the user, to us and to whoever we show it to."""

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, PlainSerializer

from snowcover.secrets import secrets_in_userinfo
from snowcover.tracking_uri import StoreAddress, real

NAME_BYTES = 255  # of a file or folder, on every file system that we know of
WEIGHTS = re.compile(r"\.(pt|pth|ckpt|bin|safetensors)$")
STORE = re.compile(r"(sqlite:///|file://|file:)(~.*)")


def expanded(path: str) -> str:
    """The path with the user's home in place of `~`; s3://... as it is.

    Raises:
        ValueError: no file can have it.
    """
    if not path:
        raise ValueError("the path is empty: give one, or null")
    if "://" in path:
        return path
    if any(ord(sign) < 32 for sign in path):
        raise ValueError("the path holds a line break or another control character")
    if os.name != "nt" and re.match(r"[A-Za-z]:[\\/]", path):
        raise ValueError("this is a path of Windows: give it as this machine sees it, for example /mnt/c/tiles")
    if any(len(os.fsencode(name)) > NAME_BYTES for name in path.split("/")):
        raise ValueError(f"a name in the path is longer than {NAME_BYTES} bytes")
    whole = os.path.expanduser(path)
    if whole.startswith("~"):
        raise ValueError(
            f"there is no user {path[1:].partition('/')[0]} here: write ./{path} for a folder of that name"
        )
    return whole


def layers_to_read(layers: Mapping[str, str], manifest: str | None, generate: Mapping[str, Any]) -> dict[str, str]:
    """Of data.layers those that must be there before the run: not in the folder that data.generate fills.

    Compared by their words; with a manifest nothing is generated.
    """
    folder = None if manifest else generate.get("folder")
    if not folder:
        return dict(layers)
    filled = f"{folder.rstrip('/')}/"
    return {name: place for name, place in layers.items() if not f"{place.rstrip('/')}/".startswith(filled)}


def weights_file(model: Mapping[str, Any]) -> str | None:
    """The file that a model's encoder_weights names, a path or s3://...; None where that is a name of a hub's."""
    weights = model.get("encoder_weights")
    return weights if isinstance(weights, str) and ("/" in weights or WEIGHTS.search(weights)) else None


def store_expanded(uri: str) -> str:
    """An MLflow tracking URI with the user's home in place of `~`."""
    if uri.startswith("~"):
        return expanded(uri)
    found = STORE.fullmatch(uri)
    return found.group(1) + expanded(found.group(2)) if found else uri


def _store(uri: str) -> StoreAddress:
    uri = store_expanded(real(uri))
    if any(re.search(r"[/?#@\s'\"]", secret) for secret in secrets_in_userinfo(uri)):
        raise ValueError(
            "the password in this address holds a sign that ends an address's password or host (one of / ? # @ quotes "
            "and spaces), which each library reads in its own way: write it as % and its code, such as %2F for / and "
            "%40 for @"
        )
    return StoreAddress(uri)


def home_as_tilde(path: str) -> str:
    """The path as another machine may take it: with `~` in place of this user's home."""
    home = os.path.expanduser("~")
    return "~" + path[len(home) :] if home != "/" and (path + "/").startswith(home + "/") else path


Place = Annotated[str, AfterValidator(expanded)]
"""a path of this machine, or s3://..."""
StoreUri = Annotated[str, AfterValidator(_store), PlainSerializer(str)]
"""an MLflow tracking URI, whose secrets `snowcover.tracking_uri.real` knows"""
