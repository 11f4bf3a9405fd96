"""The output of a job, from CloudWatch."""

from snowcover_launch.aws.errors import NotFound, aws_errors
from snowcover_launch.aws.session import Account

GROUP = "/aws/sagemaker/TrainingJobs"


class JobLog:
    """The log of one job; each read continues after the previous one.

    A job has a stream for each of its machines, and another after each interruption.
    """

    def __init__(self, account: Account, job: str) -> None:
        self._account = account
        self._job = job
        self._tokens: dict[str, str | None] = {}

    def new_lines(self) -> list[str]:
        """Lines since the last call; those of machines after the first start with the machine's number."""
        lines: list[str] = []
        try:
            with aws_errors(f"read the log of {self._job}"):
                for stream in self._streams():
                    lines += self._read(stream)
        except NotFound:  # nothing was printed yet
            return []
        return lines

    def _streams(self) -> list[str]:
        client = self._account.client("logs")
        pages = client.get_paginator("describe_log_streams").paginate(
            logGroupName=GROUP, logStreamNamePrefix=f"{self._job}/"
        )
        return [stream["logStreamName"] for page in pages for stream in page["logStreams"]]

    def _read(self, stream: str) -> list[str]:
        client = self._account.client("logs")
        machine = stream.rpartition("/")[2].split("-")[1]
        prefix = "" if machine == "1" else f"{machine}: "
        lines: list[str] = []
        while True:
            token = self._tokens.get(stream)
            answer = client.get_log_events(
                logGroupName=GROUP, logStreamName=stream, startFromHead=True, **({"nextToken": token} if token else {})
            )
            lines += [prefix + event["message"] for event in answer["events"]]
            self._tokens[stream] = answer["nextForwardToken"]
            if answer["nextForwardToken"] == token or not answer["events"]:
                return lines
