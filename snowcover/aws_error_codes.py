"""AWS's names of errors by what they mean, for S3 and for AWS's other services alike. Pure.

Sources: docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html and the services' common errors. Where an answer
has no body, its HTTP status stands for the name.
"""

EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
CLOCK_SKEW = frozenset({"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"})
UNKNOWN_KEY = frozenset({"UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId", "InvalidToken"})
WRONG_SECRET = frozenset({"SignatureDoesNotMatch", "InvalidSignatureException"})
UNSIGNED = frozenset(
    {"MissingAuthenticationTokenException", "MissingAuthenticationToken", "IncompleteSignature", "AuthFailure"}
)
CREDENTIALS = EXPIRED | UNKNOWN_KEY | WRONG_SECRET | UNSIGNED
DENIED = frozenset(
    {"AccessDenied", "AccessDeniedException", "AllAccessDisabled", "AccountProblem", "AuthorizationError",
     "UnauthorizedOperation", "401", "403"}
)  # fmt: skip
OTHER_REGION = frozenset(
    {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"}
)
NO_BUCKET = frozenset({"NoSuchBucket", "InvalidBucketName"})
NOT_FOUND = frozenset({"NoSuchKey", "ResourceNotFoundException", "RepositoryNotFoundException", "404"})
CONFLICT = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412"})
RETRYABLE = frozenset(
    {"Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "TooManyRequestsException",
     "RequestLimitExceeded", "SlowDown", "ServiceUnavailable", "InternalFailure", "InternalServerError",
     "InternalError", "ServiceUnavailableException", "500", "502", "503", "504"}
)  # fmt: skip

SIGN_IN = "run `aws sso login` or `aws configure`, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
