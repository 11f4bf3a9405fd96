"""What AWS refuses, as sentences with the way out."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore import exceptions as boto

from snowcover_launch import errors
from snowcover_launch.aws.credential_errors import SIGN_IN, HasClients, code_of, credentials_problem, with_reason


class AwsError(errors.BackendError):
    """AWS refuses what was asked of it."""


class NoCredentials(AwsError, errors.CredentialsRefused):
    """There are no AWS credentials, or none that AWS takes."""


class AccessDenied(AwsError):
    """The credentials are good, the right is missing."""


class QuotaExceeded(AwsError):
    """The account may not have that many machines of this type."""


class Unreachable(AwsError, errors.Unreachable):
    """AWS does not answer, or asks to come again later; asking again may help."""


class NotFound(AwsError, errors.NotFound):
    """There is no such job, bucket, image or algorithm."""


class OtherRegion(AwsError):
    """The bucket is in another region than the jobs."""


class NameInUse(AwsError):
    """A job, image or algorithm of that name is there already."""


class ObjectExists(AwsError):
    """An object of that name is in S3 already, with other content."""

    def __init__(self, message: str, content: bytes = b"") -> None:
        super().__init__(message)
        self.content = content
        """what is there"""


def is_capacity_error(reason: str | None) -> bool:
    """Whether a job's FailureReason says that AWS had no machine for it: nothing was run and nothing is paid for."""
    return (reason or "").lstrip().startswith(("CapacityError", "InsufficientCapacityError"))


_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "403"}
_CONFLICT = {"PreconditionFailed", "ConditionalRequestConflict"}
_LATER = {
    "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "TooManyRequestsException",
    "RequestLimitExceeded", "SlowDown", "ServiceUnavailable", "InternalFailure", "InternalServerError",
    "InternalError", "ServiceUnavailableException", "500", "502", "503", "504",
}  # fmt: skip
_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"}
_MISSING = {"NoSuchBucket", "NoSuchKey", "ResourceNotFoundException", "404", "RepositoryNotFoundException"}


@contextmanager
def named(doing: str, account: HasClients | None = None) -> Iterator[None]:
    """Turn botocore's errors into one of ours.

    Args:
        doing: what was tried, as in `start the job x`.
        account: who tried it: asked who they are where an answer without a body gives no reason.
    """
    try:
        yield
    except (boto.BotoCoreError, boto.ClientError) as error:
        raise _named(error, doing, account) from error


def _named(error: Exception, doing: str, account: HasClients | None) -> AwsError:
    if isinstance(error, boto.ClientError):
        return _of_answer(error if account is None else with_reason(error, account), doing)
    if isinstance(error, boto.HTTPClientError | boto.ConnectionError | boto.IncompleteReadError):
        return Unreachable(f"AWS cannot be reached to {doing} ({_words(error)}): check the network and AWS_REGION.")
    if isinstance(error, boto.ParamValidationError):
        return AwsError(f"AWS would not take the request to {doing}: {_words(error)}.")
    # NoCredentialsError, PartialCredentialsError, SSO's and roles' own kinds
    return NoCredentials(f"There are no valid AWS credentials to {doing} ({_words(error)}): {SIGN_IN}.")


def _of_answer(error: boto.ClientError, doing: str) -> AwsError:
    code = code_of(error)
    message = " ".join(str(error.response.get("Error", {}).get("Message", "")).split()).rstrip(".")
    if (problem := credentials_problem(error, doing)) is not None:
        return NoCredentials(problem)
    if code in _DENIED:
        return AccessDenied(
            f"You may not {doing} ({message or code}): ask for the launch policy of container/account.yaml, or choose "
            "another profile with AWS_PROFILE."
        )
    if code == "ResourceLimitExceeded":
        return QuotaExceeded(
            f"AWS would not {doing}: {message}. That is a quota of the account: ask for more of it in the Service "
            "Quotas console under Amazon SageMaker, or take another machine with hw=..."
        )
    if code in _LATER or code.startswith("Throttl"):
        return Unreachable(f"AWS asks to {doing} later ({code}).")
    if code in _REGION:
        return OtherRegion(f"AWS would not {doing}: {message}: the bucket must be in the region of the jobs.")
    if code == "ResourceInUse":
        return NameInUse(f"AWS would not {doing}: {message}.")
    if code in _CONFLICT:
        return ObjectExists(f"AWS would not {doing}: another command was faster.")
    if code in _MISSING or "not found" in message.lower() or "could not find" in message.lower():
        return NotFound(f"AWS would not {doing}: {message or code}.")
    if code == "400":  # of a HEAD, and STS finds nothing wrong with the credentials or cannot be asked
        return AwsError(
            f"AWS would not {doing} and gives no reason (400 {message}): see whether your credentials are valid with "
            "`aws sts get-caller-identity`."
        )
    return AwsError(f"AWS would not {doing} ({code}): {message}.")


def _words(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")[:300]
