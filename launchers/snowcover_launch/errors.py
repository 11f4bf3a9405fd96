"""What can go wrong with a job, whatever backend runs it."""

from snowcover.errors import UserError


class BackendError(UserError):
    """The backend does not do what was asked of it."""


class Unreachable(BackendError):
    """The backend does not answer, or asks to come again later: what it was asked may or may not have been done."""


class CredentialsRefused(Unreachable):
    """The user has to sign in (again); the jobs that run go on meanwhile."""


class NoCapacity(BackendError):
    """No machine of that type can be had now; later there may be one, or one of another type is there at once."""

    def __init__(self, message: str, pause_s: float | None = None) -> None:
        """`pause_s` is the time after which the job is submitted again; None: as long as others' jobs may take."""
        super().__init__(message)
        self.pause_s = pause_s


class NotFound(BackendError):
    """There is no such job, bucket, image or algorithm."""


class JobFailed(UserError):
    """A job ended without a result."""


class MissingAccount(UserError):
    """Values about the AWS account are missing, or contradict each other."""
