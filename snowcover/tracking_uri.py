"""Addresses of MLflow stores: shown without passwords, distinguished by who can reach them, opened in a browser."""

import re
import shlex
import socket
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from urllib.parse import urlsplit

from snowcover.secrets import masked_uri

# scheme://user:password@/path?key=value; a path that begins with a slash is absolute
SQLITE = re.compile(r"(?P<head>sqlite(?:\+\w+)?://[^/]*/)(?P<path>[^?]*)(?P<options>\?.*)?", re.DOTALL)


class StoreAddress(str):
    """An MLflow store's address as it may be shown and kept: whatever is made of this text, no secret is in it.

    Only what opens the store (snowcover.tracking) asks for the real one; that is in this process's memory alone.
    """

    _real: str

    def __new__(cls, real: str) -> "StoreAddress":
        """The text is `real` without its secrets."""
        made = super().__new__(cls, masked_uri(real))
        made._real = real
        return made

    def __copy__(self) -> "StoreAddress":
        return self

    def __deepcopy__(self, memo: object) -> "StoreAddress":
        return self

    def __reduce__(self) -> tuple[type, tuple[str]]:  # a pickle may leave this process
        return str, (str(self),)


def real(uri: str) -> str:
    """The address with its secrets, for who opens the store."""
    return uri._real if isinstance(uri, StoreAddress) else uri


def sqlite_path(uri: str) -> Path | None:
    """The file of an SQLite store; None for any other store, and for a database in memory."""
    found = SQLITE.fullmatch(uri)
    path = found["path"] if found else ""
    return Path(path).expanduser() if path and path != ":memory:" else None


def absolute(uri: str, folder: Path) -> str:
    """The same store whatever the working folder becomes: the path of an SQLite file is taken from `folder`.

    A path that an address cannot hold (see `misread`) stays relative.
    """
    found, path = SQLITE.fullmatch(uri), sqlite_path(uri)
    if found is None or path is None or (path.is_absolute() and not found["path"].startswith("~")):
        return uri
    full = f"{found['head']}{folder / path}"
    return uri if misread(full) else full + (found["options"] or "")


def misread(uri: str) -> bool:
    """Whether an SQLite address means another file than the one it seems to: `%20` is a space, `?` ends the path."""
    found = SQLITE.fullmatch(uri)
    if found is None:
        return False
    options = (found["options"] or "?")[1:]
    return "%" in found["path"] or bool(options and not re.fullmatch(r"\w+=[^/?]*(&\w+=[^/?]*)*", options))


def only_here(uri: str) -> bool:
    """Whether an MLflow tracking URI means something that only this machine can reach: a file, or its own server."""
    if uri.startswith("databricks"):  # MLflow's word for a server, with or without more behind it
        return False
    try:
        parts = urlsplit(uri)
        scheme, host = parts.scheme, parts.hostname
    except ValueError:  # no address at all: MLflow says so when it is to record there
        return False
    if len(scheme) <= 1 or scheme == "file" or scheme.startswith("sqlite"):  # one letter: a drive of Windows
        return True
    return host is not None and _is_this_machine(host)


def _is_this_machine(host: str) -> bool:
    host = host.rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        try:
            address = ip_address(socket.inet_aton(host))  # 127.1 and the like
        except OSError:
            return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback or address.is_unspecified


def ui_hint(uri: str, experiment_id: str | None = None) -> str:
    """The address of MLflow's pages, or the command that gives it; of an experiment of a store that is no ARN.

    MLflow 3.17 opens an experiment as one of language models, whatever its tags say, unless the address says
    otherwise.
    """
    page = "" if experiment_id is None else f"/#/experiments/{experiment_id}?workflowType=machine_learning"
    if uri.startswith("http"):
        return uri.rstrip("/") + page if page else uri
    if not uri.startswith("arn:"):
        command = f"mlflow ui --backend-store-uri {shlex.quote(uri)}"
        return f"{command}, and open http://127.0.0.1:5000{page}" if page else command
    # SageMaker lets whoever may enter make a link that is good for minutes.
    _, _, _, region, _, resource = uri.split(":", 5)
    kind, _, name = resource.partition("/")
    which = f"app-url --arn {uri}" if kind == "mlflow-app" else f"tracking-server-url --tracking-server-name {name}"
    return f"aws sagemaker create-presigned-mlflow-{which} --region {region}"
