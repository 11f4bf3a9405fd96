"""What AWS finds wrong with credentials, or with the clock behind their signatures."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from snowcover.aws_error_codes import CLOCK_SKEW, CREDENTIALS, EXPIRED, SIGN_IN, UNKNOWN_KEY, UNSIGNED, WRONG_SECRET

SKEWED_SIGNATURE = re.compile("Signature (expired|not yet current)")  # of services that report it as a wrong signature
WITHOUT_REASON = {"400", "403"}  # the response to a HEAD has no body, so botocore only knows the status
ALLOWED_SKEW = timedelta(minutes=4)  # AWS allows 5 for most requests, 15 for S3


class HasClients(Protocol):
    """Gives boto3 clients."""

    def client(self, service: str) -> Any:
        """A boto3 client of a service, by its name such as "sts"."""


def with_reason(error: ClientError, account: HasClients) -> ClientError:
    """For an error without a reason, what STS finds wrong with the credentials; else the error itself.

    Everybody may call GetCallerIdentity, and its errors have a reason.
    """
    if code_of(error) not in WITHOUT_REASON or _clock_ahead(error) is not None:
        return error
    try:
        account.client("sts").get_caller_identity()
    except ClientError as reason:
        return reason if credentials_problem(reason, "") else error
    except BotoCoreError:  # for example in a network that only reaches S3
        pass
    return error


def credentials_problem(error: ClientError, action: str) -> str | None:
    """The message for the user; None if the error is not about credentials."""
    code = code_of(error)
    if code not in CREDENTIALS | CLOCK_SKEW | WITHOUT_REASON:
        return None
    ahead = _clock_ahead(error)
    if ahead is not None or code in CLOCK_SKEW or SKEWED_SIGNATURE.match(_message(error)):
        return f"AWS refused to {action}, because this machine's clock is {_off(ahead)}: set it."
    if code in EXPIRED:
        return f"Your AWS credentials to {action} have expired ({code}): run `aws sso login`, or set new ones."
    if code in UNKNOWN_KEY:
        return f"AWS does not know the access key used to {action} ({code}): {SIGN_IN}."
    if code in WRONG_SECRET:
        return f"The secret does not belong to the access key used to {action} ({code}): {SIGN_IN}."
    if code in UNSIGNED:
        return f"AWS does not accept the credentials to {action} ({code}): {SIGN_IN}."
    return None


def code_of(error: ClientError) -> str:
    """AWS's error code, or the HTTP status of a response without a body."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _message(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Message", ""))


def _clock_ahead(error: ClientError) -> timedelta | None:
    """How far this machine's clock is ahead of the date of AWS's response; None if close enough."""
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
