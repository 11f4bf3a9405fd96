"""AWS's responses, including refusals."""

import json
import socket
import struct
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Environ = dict[str, Any]
Start = Callable[..., Any]
"""WSGI's start_response."""


@dataclass
class Refusal(Exception):
    """An error response of AWS: code, message and HTTP status."""

    code: str
    message: str
    status: int = 400


def invalid(message: str) -> Refusal:
    """SageMaker's code for nearly every wrong request, also if something is not found."""
    return Refusal("ValidationException", message)


def over_limit(limit: str, allowed: int, used: int, more: int, unit: str = "Instances") -> Refusal:
    """A quota of the account is exhausted."""
    message = (
        f"The account-level service limit '{limit}' is {allowed} {unit}, with current utilization of {used} {unit} and"
        f" a request delta of {more} {unit}. Please use AWS Service Quotas to request an increase for this quota."
        " If AWS Service Quotas is not available, contact AWS support to request an increase for this quota."
    )
    return Refusal("ResourceLimitExceeded", message)


def respond(start_response: Start, status: int, answer: dict[str, Any]) -> Iterable[bytes]:
    """A response of a JSON service."""
    content = json.dumps(answer, default=_as_seconds).encode()
    headers = [
        ("Content-Type", "application/x-amz-json-1.1"),
        ("Content-Length", str(len(content))),
        ("x-amzn-RequestId", str(uuid.uuid4())),
    ]
    start_response(f"{status} {'OK' if status == 200 else 'Bad Request'}", headers)
    return [content]


def _as_seconds(value: datetime) -> float:
    return value.timestamp()


def refuse(environ: Environ, start_response: Start, error: Refusal) -> Iterable[bytes]:
    """An error response, in the format of the service: JSON or XML."""
    if "HTTP_X_AMZ_TARGET" in environ:
        return respond(start_response, error.status, {"__type": error.code, "message": error.message})
    content = (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{error.code}</Code><Message>{error.message}</Message></Error>"
        f"<RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>"
    ).encode()
    start_response(f"{error.status} Refused", [("Content-Type", "text/xml"), ("Content-Length", str(len(content)))])
    return [content]


def reset_connection(environ: Environ) -> Iterable[bytes]:
    """Resets the connection instead of responding."""
    connection: socket.socket = environ["werkzeug.socket"]
    # Closing with a linger time of zero sends RST instead of FIN
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.shutdown(socket.SHUT_RD)  # lets its handler end, which closes it
    connection.close()
    raise ConnectionResetError
