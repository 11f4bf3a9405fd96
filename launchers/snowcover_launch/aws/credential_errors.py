"""What AWS finds wrong with credentials, or with the clock that their signatures are made by."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

SIGN_IN = "run `aws sso login` or `aws configure`, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
# In AWS's words: of JSON services, of older XML ones, of S3
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"}
SKEWED = {"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"}
UNKNOWN = {"UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId", "InvalidToken"}
WRONG_SECRET = {"SignatureDoesNotMatch", "InvalidSignatureException"}
SKEWED_SIGNATURE = re.compile("Signature (expired|not yet current)")  # of services that call this a wrong signature
UNSIGNED = {
    "MissingAuthenticationTokenException", "MissingAuthenticationToken", "IncompleteSignature", "AuthFailure",
}  # fmt: skip
WITHOUT_REASON = {"400", "403"}  # a HEAD's answer has no body, so botocore knows the status alone
ALLOWED_SKEW = timedelta(minutes=4)  # AWS takes 5 of most requests, 15 of S3's


class HasClients(Protocol):
    """Gives boto3's client of a service."""

    def client(self, service: str) -> Any:
        """A boto3 client of a service, by its name such as "sts"."""


def with_reason(error: ClientError, account: HasClients) -> ClientError:
    """For an error without a reason, what STS finds wrong with the credentials; the error itself if it finds nothing.

    Everybody may ask STS who they are, and it answers with a reason.
    """
    if code_of(error) not in WITHOUT_REASON or _clock_ahead(error) is not None:
        return error
    try:
        account.client("sts").get_caller_identity()
    except ClientError as reason:
        return reason if credentials_problem(reason, "") else error
    except BotoCoreError:  # for example in a network that leads to S3 alone
        pass
    return error


def credentials_problem(error: ClientError, doing: str) -> str | None:
    """A sentence with the way out; None where the credentials are not what was refused."""
    code = code_of(error)
    if code not in EXPIRED | SKEWED | UNKNOWN | WRONG_SECRET | UNSIGNED | WITHOUT_REASON:
        return None
    ahead = _clock_ahead(error)
    if ahead is not None or code in SKEWED or SKEWED_SIGNATURE.match(_message(error)):
        return f"AWS would not {doing}, for this machine's clock is {_off(ahead)}: set it."
    if code in EXPIRED:
        return f"Your AWS credentials to {doing} have expired ({code}): run `aws sso login`, or set new ones."
    if code in UNKNOWN:
        return f"AWS does not know the access key that was to {doing} ({code}): {SIGN_IN}."
    if code in WRONG_SECRET:
        return f"The secret does not belong to the access key that was to {doing} ({code}): {SIGN_IN}."
    if code in UNSIGNED:
        return f"AWS does not take the credentials to {doing} ({code}): {SIGN_IN}."
    return None


def code_of(error: ClientError) -> str:
    """AWS's own name of an error, or the HTTP status of an answer that has no body."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _message(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Message", ""))


def _clock_ahead(error: ClientError) -> timedelta | None:
    """How far this machine's clock is ahead of AWS's, which dates its answers; None if near enough."""
    sent = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    try:
        ahead = datetime.now(UTC) - parsedate_to_datetime(sent)
    except (TypeError, ValueError):
        return None
    return ahead if abs(ahead) > ALLOWED_SKEW else None


def _off(ahead: timedelta | None) -> str:
    if ahead is None:
        return "off by more than AWS allows"
    minutes = round(abs(ahead).total_seconds() / 60)
    size = f"{minutes} minutes" if minutes < 120 else f"{minutes / 60:.0f} hours"
    return f"{size} {'ahead' if ahead > timedelta(0) else 'behind'}"
