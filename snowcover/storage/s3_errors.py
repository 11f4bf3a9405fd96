"""From what botocore and obstore raise to one named error with one message."""

import re

from snowcover.aws_error_codes import (
    CLOCK_SKEW,
    CONFLICT,
    CREDENTIALS,
    DENIED,
    NO_BUCKET,
    NOT_FOUND,
    OTHER_REGION,
    SIGN_IN,
)
from snowcover.storage.errors import (
    AccessDenied,
    FileChanged,
    MissingBucket,
    MissingFile,
    NoCredentials,
    OtherRegion,
    StorageError,
    Unreachable,
    changed_while_read,
)

_PAST_THE_END = {"InvalidRange", "416"}
_FINAL = re.compile(r"4(?!08|29)\d\d")  # statuses that asking again does not change


def named(error: Exception, uri: str, verb: str) -> StorageError:
    """The named error for one of botocore's or obstore's; `verb` is what was tried: read, listed, written."""
    from botocore import exceptions as boto

    said = str(error)
    if isinstance(error, boto.ClientError):
        if error.operation_name not in ("ListObjectsV2", "HeadBucket"):  # a role or a sign-in was refused
            return _no_credentials(uri, verb, said)
        answer = error.response
        status = str(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
        return _of_answer(answer.get("Error", {}).get("Code", ""), status, said, uri, verb)
    if isinstance(error, boto.HTTPClientError | boto.ConnectionError):
        return _unreachable(uri, verb, "", said)
    if isinstance(error, boto.ParamValidationError):
        return _no_bucket(uri, verb)
    if isinstance(error, boto.BotoCoreError):
        return _no_credentials(uri, verb, said)
    if isinstance(error, ValueError):  # a key that obstore, or an endpoint that botocore cannot take
        return StorageError(f"{uri} cannot be {verb} ({_line(said)}): check the name and AWS_ENDPOINT_URL")
    code, status = _code_and_status(said)
    return _of_answer(code, status, said, uri, verb)


def is_past_the_end(error: Exception) -> bool:
    """Whether obstore's error says that no such range is in the object."""
    return _code_and_status(str(error))[0] in _PAST_THE_END


def cut_short(uri: str, received_bytes: int, promised_bytes: int) -> Unreachable:
    """The error for an object of which less came than the server said, however often."""
    return Unreachable(
        f"{uri} cannot be read because only {received_bytes} of {promised_bytes} bytes come, although it was asked "
        "again and again: check what lies between here and AWS_ENDPOINT_URL, a proxy for one, or try later"
    )


def _code_and_status(said: str) -> tuple[str, str]:
    status = _found(r"status code: (\d+)", said)
    return _found(r"<Code>(\w+)</Code>", said) or status, status


def _of_answer(code: str, status: str, said: str, uri: str, verb: str) -> StorageError:
    """By S3's own word for what happened (`code`), else by the HTTP status; both may be ""."""
    if code in NO_BUCKET:
        return _no_bucket(uri, verb)
    if code in NOT_FOUND:
        return MissingFile(f"{uri} cannot be {verb} because it does not exist: check the name")
    if code in OTHER_REGION or "Received redirect" in said:
        return other_region(uri, verb, _found(r"<Region>([\w-]+)</Region>", said))
    if code in CREDENTIALS or "credential provider" in said:
        return _no_credentials(uri, verb, code or _line(said).rpartition("provider: ")[2])
    if code in CLOCK_SKEW:
        return AccessDenied(
            f"{uri} cannot be {verb} because this machine's clock is off by more than AWS allows ({code}): set it"
        )
    if code in DENIED:
        return AccessDenied(
            f"{uri} cannot be {verb} because the server refuses it ({code}): ask for the right to do so, or "
            "set AWS_PROFILE to a profile that has it"
        )
    if code in CONFLICT:
        return changed_while_read(uri)
    if code in _PAST_THE_END:
        return FileChanged(
            f"{uri} cannot be {verb} because it is shorter than the server said at first ({code}): it was changed "
            "meanwhile, or something between here and the server alters its answers, so start again"
        )
    if _FINAL.fullmatch(status):
        return StorageError(f"{uri} cannot be {verb} because the server answered {code}: check the name")
    return _unreachable(uri, verb, status and code, said)


def other_region(uri: str, verb: str, region: str) -> OtherRegion:
    """The error for a bucket elsewhere; `region` may be "" where the server did not say."""
    return OtherRegion(
        f"{uri} cannot be {verb} because its bucket is in {region or 'another region'}: set "
        f"AWS_REGION={region or '...'} (and no AWS_ENDPOINT_URL of another region)"
    )


def _no_bucket(uri: str, verb: str) -> MissingBucket:
    bucket = uri.removeprefix("s3://").partition("/")[0]
    return MissingBucket(
        f"{uri} cannot be {verb} because there is no bucket {bucket}: check its name and AWS_ENDPOINT_URL"
    )


def _no_credentials(uri: str, verb: str, why: str) -> NoCredentials:
    return NoCredentials(
        f"{uri} cannot be {verb} without valid AWS credentials ({_line(why)}): {SIGN_IN}, or "
        "AWS_NO_SIGN_REQUEST=true for a public bucket"
    )


def _unreachable(uri: str, verb: str, answer: str, said: str) -> Unreachable:
    server = _found(r"(https?://[^/\s\"]+)", said) or "the server"
    why = f"answered {answer}" if answer else f"gave no whole answer ({_cause(said)})"
    return Unreachable(
        f"{uri} cannot be {verb} because {server} {why} although it was asked again and again: check the "
        "network and AWS_ENDPOINT_URL, or try later"
    )


def _cause(said: str) -> str:
    """What obstore hides in the last lines of its message, botocore in a long one; else the last words."""
    known = (
        "connection refused|dns error|connection reset|timed out|timeout|unreachable|UnexpectedEof"
        "|certificate|could not connect|connection was closed"
    )
    return _found(rf"(?i)({known})", said) or _line(said).rpartition(" - ")[2]


def _line(said: str) -> str:
    return said.strip().partition("\n")[0].rstrip(".")


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match.group(1) if match else ""
