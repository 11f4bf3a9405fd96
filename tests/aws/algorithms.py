"""Algorithm resources as in SageMaker: created in the background, Completed only after a while."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.aws.job import now
from tests.aws.responses import invalid

STEPS = ("Pending", "InProgress")


@dataclass
class Algorithm:
    """One algorithm. It advances a step whenever it is described, and ends as `ends`."""

    request: dict[str, Any]
    arn: str
    ends: str = "Completed"
    describe_calls: int = 0
    created: datetime = field(default_factory=now)

    @property
    def status(self) -> str:
        """AlgorithmStatus."""
        return STEPS[self.describe_calls] if self.describe_calls < len(STEPS) else self.ends

    def describe(self) -> dict[str, Any]:
        """The response to DescribeAlgorithm."""
        details: dict[str, Any] = {"ValidationStatuses": [], "ImageScanStatuses": []}
        if self.status == "Failed":
            reason = "The image could not be scanned."
            details["ImageScanStatuses"] = [{"Name": self.name, "Status": "Failed", "FailureReason": reason}]
        given = {name: value for name, value in self.request.items() if name != "Tags"}
        return {"CertifyForMarketplace": False} | given | self.summary() | {"AlgorithmStatusDetails": details}

    def summary(self) -> dict[str, Any]:
        """Its entry in the response to ListAlgorithms."""
        names = {"AlgorithmName": self.name, "AlgorithmArn": self.arn, "CreationTime": self.created}
        described = self.request.get("AlgorithmDescription")
        optional = {"AlgorithmDescription": described} if described is not None else {}
        return names | optional | {"AlgorithmStatus": self.status}

    @property
    def name(self) -> str:
        """AlgorithmName."""
        return str(self.request["AlgorithmName"])


class Algorithms:
    """Every algorithm of the account, by ARN."""

    def __init__(self) -> None:
        self._algorithms: dict[str, Algorithm] = {}
        self.ends = "Completed"
        """What new ones end as: Completed or Failed."""

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The request of each, in order."""
        return [algorithm.request for algorithm in self._algorithms.values()]

    def create(self, request: dict[str, Any], region: str, account: str) -> dict[str, Any]:
        """CreateAlgorithm, for a request that passed every rule."""
        arn = _arn(request["AlgorithmName"], region, account)
        if arn in self._algorithms:
            raise invalid(f"Algorithm {arn} already exists.")
        self._algorithms[arn] = Algorithm(request, arn, self.ends)
        return {"AlgorithmArn": arn}

    def get(self, name: str, region: str, account: str) -> Algorithm:
        """The algorithm of this name or ARN; ValidationException if there is none."""
        arn = name if name.startswith("arn:") else _arn(name, region, account)
        if arn not in self._algorithms or arn.split(":")[3] != region:
            raise invalid(f"Algorithm {arn} does not exist.")
        return self._algorithms[arn]

    def describe(self, request: dict[str, Any], region: str, account: str) -> dict[str, Any]:
        """DescribeAlgorithm."""
        algorithm = self.get(request["AlgorithmName"], region, account)
        answer = algorithm.describe()
        algorithm.describe_calls += 1
        return answer

    def delete(self, request: dict[str, Any], region: str, account: str) -> dict[str, Any]:
        """DeleteAlgorithm: its name is free again."""
        del self._algorithms[self.get(request["AlgorithmName"], region, account).arn]
        return {}

    def list(self, request: dict[str, Any], region: str) -> dict[str, Any]:
        """ListAlgorithms: filtered, sorted, a page of at most MaxResults (10 by default)."""
        found = [each for each in self._algorithms.values() if each.arn.split(":")[3] == region]
        found = [each for each in found if request.get("NameContains", "") in each.name]
        by_name = request.get("SortBy") == "Name"
        found.sort(key=lambda each: each.name if by_name else str(each.created))
        if request.get("SortOrder") == "Descending":
            found.reverse()
        start, count = int(request.get("NextToken", 0)), request.get("MaxResults", 10)
        page = [each.summary() for each in found[start : start + count]]
        return {"AlgorithmSummaryList": page} | (
            {"NextToken": str(start + count)} if start + count < len(found) else {}
        )


def _arn(name: str, region: str, account: str) -> str:
    return f"arn:aws:sagemaker:{region}:{account}:algorithm/{name}"
