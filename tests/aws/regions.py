"""S3's behaviour with regions, expired keys and wrong clocks, added to a server without them."""

import re
from datetime import timedelta
from email.utils import format_datetime
from urllib.parse import urlsplit

from tests.aws.account import Account
from tests.aws.faults import Faults
from tests.aws.rights import s3_refusal
from tests.servers import Fault, Request

EXPIRED = "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
SKEWED = (
    "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference between the request time and the current time is"
    " too large.</Message><MaxAllowedSkewMilliseconds>900000</MaxAllowedSkewMilliseconds></Error>"
)
ALLOWED_SKEW = timedelta(minutes=15)
CONFLICT = (
    "<Error><Code>ConditionalRequestConflict</Code><Message>The conditional request cannot succeed due to a conflicting"
    " operation against this resource.</Message></Error>"
)
SIGNED_REGION = re.compile(r"Credential=[^/]+/\d+/([^/]+)/")


def s3_fault(request: Request, account: Account, faults: Faults) -> Fault | None:
    """How S3 in REGION answers a request differently from the server behind: for a Proxy's `fail`.

    The proxy sends no body in answer to a HEAD.
    """
    if faults.network_is_lost:
        return Fault(reset=True)
    if faults.is_expired():
        return _answer(400, EXPIRED)
    if abs(faults.user_clock_ahead) > ALLOWED_SKEW:
        return _answer(403, SKEWED, {"Date": format_datetime(faults.now(), usegmt=True)})
    if request.method == "PUT" and request.is_conditional and faults.conflicts():
        return _answer(409, CONFLICT)
    if (refusal := s3_refusal(account.policies, request, account.id)) is not None:
        return refusal
    parts = urlsplit(request.path)
    bucket = parts.path.split("/")[1]
    region = account.region_of(bucket)
    signed = SIGNED_REGION.search(request.authorization)
    headers = {"x-amz-bucket-region": region}
    if signed is not None and signed[1] != region and bucket:
        return _moved(bucket, region, headers)
    if request.method == "GET" and parts.query.startswith("location"):
        content = f'<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{region}</LocationConstraint>'
        return _answer(200, content)
    is_bucket = parts.path.strip("/") == bucket
    return Fault(added=headers) if request.method == "HEAD" and is_bucket else None


def _moved(bucket: str, region: str, headers: dict[str, str]) -> Fault:
    message = (
        "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future"
        " requests to this endpoint."
    )
    content = (
        f"<Error><Code>PermanentRedirect</Code><Message>{message}</Message>"
        f"<Endpoint>{bucket}.s3.{region}.amazonaws.com</Endpoint><Bucket>{bucket}</Bucket></Error>"
    )
    return _answer(301, content, headers)


def _answer(status: int, content: str, headers: dict[str, str] | None = None) -> Fault:
    return Fault(status, content, {"Content-Type": "application/xml", **(headers or {})})
