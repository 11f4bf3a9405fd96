"""The code that jobs run: the current image of a config or of its algorithm."""

from snowcover_launch.aws import algorithms, registry
from snowcover_launch.aws.session import Account
from snowcover_launch.backends.sagemaker.request import image_uri
from snowcover_launch.config import JobConfig


class Images:
    """Images of the jobs of a batch; each is requested once, however many jobs use it."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._of_algorithm: dict[str, str] = {}
        self._digests: dict[str, str] = {}

    def uri(self, config: JobConfig) -> str:
        """The image that a job runs in: its own or its algorithm's.

        Raises:
            NotFound: there is no such algorithm; AwsError.
        """
        if (uri := image_uri(config)) is not None:
            return uri
        arn = str(config.aws.algorithm_arn)
        if arn not in self._of_algorithm:
            self._of_algorithm[arn] = algorithms.describe(self._account, arn).image
        return self._of_algorithm[arn]

    def code(self, config: JobConfig) -> str:
        """The image's digest, since a tag may be moved to another image; its address if ECR does not give the digest.

        Raises:
            AwsError
        """
        uri = self.uri(config)
        if uri not in self._digests:
            self._digests[uri] = registry.image_digest(self._account, uri) or uri
        return self._digests[uri]
