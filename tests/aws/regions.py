"""What S3 says of a bucket's region, laid over a server that knows no regions."""

import re
from urllib.parse import urlsplit

from tests.aws.account import Account
from tests.aws.faults import Faults
from tests.servers import Fault, Request

EXPIRED = "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
SIGNED_REGION = re.compile(r"Credential=[^/]+/\d+/([^/]+)/")


def s3_fault(request: Request, account: Account, faults: Faults) -> Fault | None:
    """How S3 in REGION answers a request otherwise than the server behind: for a Proxy's `fail`."""
    if faults.network_is_lost:
        return Fault(reset=True)
    if faults.is_expired():
        return Fault(400, EXPIRED, {"Content-Type": "application/xml"})
    parts = urlsplit(request.path)
    bucket = parts.path.split("/")[1]
    region = account.region_of(bucket)
    signed = SIGNED_REGION.search(request.authorization)
    told = {"x-amz-bucket-region": region}
    if signed is not None and signed[1] != region and bucket:
        return _moved(bucket, region, told)
    if request.method == "GET" and parts.query.startswith("location"):
        content = f'<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{region}</LocationConstraint>'
        return Fault(200, content, {"Content-Type": "application/xml"})
    is_bucket = parts.path.strip("/") == bucket
    return Fault(added=told) if request.method == "HEAD" and is_bucket else None


def _moved(bucket: str, region: str, told: dict[str, str]) -> Fault:
    message = (
        "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future"
        " requests to this endpoint."
    )
    content = (
        f"<Error><Code>PermanentRedirect</Code><Message>{message}</Message>"
        f"<Endpoint>{bucket}.s3.{region}.amazonaws.com</Endpoint><Bucket>{bucket}</Bucket></Error>"
    )
    return Fault(301, content, {**told, "Content-Type": "application/xml"})
