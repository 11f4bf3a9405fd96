"""Errors of jobs, common to all backends."""

from snowcover.errors import UserError


class BackendError(UserError):
    """The backend refused or failed."""


class Unreachable(BackendError):
    """The backend does not answer, or asks to retry later: the request may or may not have taken effect."""


class CredentialsRefused(Unreachable):
    """The user has to sign in (again); running jobs continue meanwhile."""


class NoCapacity(BackendError):
    """No machine of this type is available now; retry later, or at once with another type."""

    def __init__(self, message: str, pause_s: float | None = None) -> None:
        """`pause_s` is the time until the job is submitted again; None: the default, as others' jobs may take long."""
        super().__init__(message)
        self.pause_s = pause_s


class NotFound(BackendError):
    """There is no such job, bucket, image or algorithm."""


class JobFailed(UserError):
    """A job ended without a result."""


class MissingAccount(UserError):
    """Values about the AWS account are missing, or contradict each other."""
