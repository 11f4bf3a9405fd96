"""AWS's errors, with messages that say what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore import exceptions as boto

from snowcover.aws_error_codes import (
    CONFLICT,
    DENIED,
    NO_BUCKET,
    NOT_FOUND,
    OTHER_REGION,
    RETRYABLE,
    SIGN_IN,
)
from snowcover_launch import errors
from snowcover_launch.aws.credential_errors import HasClients, code_of, credentials_problem, with_reason


class AwsError(errors.BackendError):
    """AWS refused a request."""


class NoCredentials(AwsError, errors.CredentialsRefused):
    """There are no AWS credentials, or AWS does not accept them."""


class AccessDenied(AwsError):
    """The credentials are valid, but the permission is missing."""


class QuotaExceeded(AwsError):
    """The account may not have that many machines of this type."""


class Unreachable(AwsError, errors.Unreachable):
    """AWS does not answer, or asks to retry later."""


class NotFound(AwsError, errors.NotFound):
    """There is no such job, bucket, image or algorithm."""


class OtherRegion(AwsError):
    """The bucket is in another region than the jobs."""


class NameInUse(AwsError):
    """A job, image or algorithm of that name already exists."""


class ObjectExists(AwsError):
    """An object of that name already exists in S3, with other content."""

    def __init__(self, message: str, content: bytes = b"") -> None:
        super().__init__(message)
        self.content = content
        """of the existing object"""


def is_capacity_error(reason: str | None) -> bool:
    """Whether a job's FailureReason says that AWS had no machine for it: it did not run and is not billed."""
    return (reason or "").lstrip().startswith(("CapacityError", "InsufficientCapacityError"))


@contextmanager
def aws_errors(action: str, account: HasClients | None = None) -> Iterator[None]:
    """Convert botocore's errors to ours.

    Args:
        action: what was tried, as in `start the job x`.
        account: used to ask STS for the reason if a response has no body.
    """
    try:
        yield
    except (boto.BotoCoreError, boto.ClientError) as error:
        raise _aws_error(error, action, account) from error


def _aws_error(error: Exception, action: str, account: HasClients | None) -> AwsError:
    if isinstance(error, boto.ClientError):
        return _from_response(error if account is None else with_reason(error, account), action)
    if isinstance(error, boto.HTTPClientError | boto.ConnectionError | boto.IncompleteReadError):
        return Unreachable(f"AWS cannot be reached to {action} ({_message(error)}): check the network and AWS_REGION.")
    if isinstance(error, boto.ParamValidationError):
        return AwsError(f"AWS did not accept the request to {action}: {_message(error)}.")
    # NoCredentialsError, PartialCredentialsError, and those of SSO and roles
    return NoCredentials(f"There are no valid AWS credentials to {action} ({_message(error)}): {SIGN_IN}.")


def _from_response(error: boto.ClientError, action: str) -> AwsError:
    code = code_of(error)
    message = " ".join(str(error.response.get("Error", {}).get("Message", "")).split()).rstrip(".")
    if (problem := credentials_problem(error, action)) is not None:
        return NoCredentials(problem)
    if code in DENIED:
        return AccessDenied(
            f"You may not {action} ({message or code}): ask for the launch policy of container/account.yaml, or choose "
            "another profile with AWS_PROFILE."
        )
    if code == "ResourceLimitExceeded":
        return QuotaExceeded(
            f"AWS refused to {action}: {message}. That is a quota of the account: ask for more of it in the Service "
            "Quotas console under Amazon SageMaker, or take another machine with hw=..."
        )
    if code in RETRYABLE or code.startswith("Throttl"):
        return Unreachable(f"AWS asks to {action} later ({code}).")
    if code in OTHER_REGION:
        return OtherRegion(f"AWS refused to {action}: {message}: the bucket must be in the region of the jobs.")
    if code == "ResourceInUse":
        return NameInUse(f"AWS refused to {action}: {message}.")
    if code in CONFLICT:
        return ObjectExists(f"AWS refused to {action}: another command was faster.")
    if code in NOT_FOUND | NO_BUCKET or "not found" in message.lower() or "could not find" in message.lower():
        return NotFound(f"AWS refused to {action}: {message or code}.")
    if code == "400":  # of a HEAD request, and STS finds nothing wrong with the credentials or cannot be reached
        return AwsError(
            f"AWS refused to {action} and gave no reason (400 {message}): check that your credentials are valid with "
            "`aws sts get-caller-identity`."
        )
    return AwsError(f"AWS refused to {action} ({code}): {message}.")


def _message(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")[:300]
