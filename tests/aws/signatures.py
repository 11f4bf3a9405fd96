"""Identifies who signed a request as AWS does: by the signature, not only by the key's name."""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.aws.responses import Refusal

AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(.+?)/\d{8}/(.+?)/(.+?)/aws4_request, ?SignedHeaders=(.+?), ?Signature=(.+)"
)
MISSING = ("MissingAuthenticationTokenException", "MissingAuthenticationToken")
UNKNOWN = ("UnrecognizedClientException", "InvalidClientTokenId")
WRONG = ("InvalidSignatureException", "SignatureDoesNotMatch")
EXPIRED = ("ExpiredTokenException", "ExpiredToken")
ALLOWED_SKEW = timedelta(minutes=5)
TIME = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class Signed:
    """The key, region and service that an accepted request was signed with."""

    key: str
    region: str
    service: str


def check_signature(
    environ: Mapping[str, Any], body: bytes, secrets: Mapping[str, str], expired: bool, now: datetime
) -> Signed:
    """Raises Refusal as AWS does: JSON services name these errors differently from older XML services.

    Args:
        now: the time by AWS's clock.
    """
    found = AUTHORIZATION.match(environ.get("HTTP_AUTHORIZATION", ""))
    is_json = "HTTP_X_AMZ_TARGET" in environ
    if found is None:
        raise _refusal(MISSING, is_json, "Request is missing Authentication Token")
    key, region, service, _, given = found.groups()
    if key not in secrets:
        raise _refusal(UNKNOWN, is_json, "The security token included in the request is invalid.")
    if (skew := _skew(environ["HTTP_X_AMZ_DATE"], now)) is not None:
        raise _refusal(WRONG, is_json, skew)
    if not hmac.compare_digest(_signature(environ, body, key, secrets[key], found), given):
        message = (
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret"
            " Access Key and signing method. Consult the service documentation for details."
        )
        raise _refusal(WRONG, is_json, message)
    if expired:
        raise _refusal(EXPIRED, is_json, "The security token included in the request is expired")
    return Signed(key, region, service)


def _skew(signed: str, now: datetime) -> str | None:
    """AWS's message about a signature with a wrong time; None if the time is right."""
    ahead = datetime.strptime(signed, TIME).replace(tzinfo=UTC) - now
    if abs(ahead) <= ALLOWED_SKEW:
        return None
    begin, sign, limit = ("expired", "earlier", "-") if ahead < timedelta(0) else ("not yet current", "later", "+")
    allowed = now - ALLOWED_SKEW if ahead < timedelta(0) else now + ALLOWED_SKEW
    now_is = f"now {sign}" if ahead < timedelta(0) else f"still {sign}"
    return f"Signature {begin}: {signed} is {now_is} than {allowed:{TIME}} ({now:{TIME}} {limit} 5 min.)"


def _refusal(names: tuple[str, str], is_json: bool, message: str) -> Refusal:
    return Refusal(names[0], message, 400) if is_json else Refusal(names[1], message, 403)


def _signature(environ: Mapping[str, Any], body: bytes, key: str, secret: str, authorization: re.Match[str]) -> str:
    _, region, service, names, _ = authorization.groups()
    query = f"?{environ['QUERY_STRING']}" if environ.get("QUERY_STRING") else ""
    url = f"http://{environ['HTTP_HOST']}{environ['PATH_INFO']}{query}"
    headers = {name: _header(environ, name) for name in names.split(";")}
    request = AWSRequest(method=environ["REQUEST_METHOD"], url=url, headers=headers, data=body)
    request.context["timestamp"] = environ["HTTP_X_AMZ_DATE"]
    auth = SigV4Auth(Credentials(key, secret), service, region)
    to_sign = auth.string_to_sign(request, auth.canonical_request(request))
    signature: str = auth.signature(to_sign, request)
    return signature


def _header(environ: Mapping[str, Any], name: str) -> str:
    plain = name.upper().replace("-", "_")
    return str(environ.get(f"HTTP_{plain}", environ.get(plain, "")))
