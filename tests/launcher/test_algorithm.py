"""`python -m snowcover.algorithm`: registered, found again, used by a job."""

import re

import pytest

from snowcover import algorithm as command
from tests.launcher.launching import Launching, completes


def test_an_algorithm_is_registered_once_and_replaces_the_image(
    launching: Launching, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = launching("register", main=command.main)
    assert done.status == 0, done.err
    assert "(Completed)" in done.out
    (arn,) = re.findall(r"SNOWCOVER_ALGORITHM_ARN=(arn:\S+)", done.out)
    (name,) = re.findall(r"algorithm/(\S+)", arn)
    (request,) = launching.sagemaker.account.algorithms.requests
    training = request["TrainingSpecification"]
    (channel,) = training["TrainingChannels"]
    assert (channel["Name"], channel["IsRequired"], channel["SupportedInputModes"]) == ("config", True, ["File"])
    assert "ml.g5.xlarge" in training["SupportedTrainingInstanceTypes"]
    assert "ml.p2.xlarge" not in training["SupportedTrainingInstanceTypes"]  # whose image is another
    assert {"Name": "val_iou", "Regex": "val_iou=([0-9.eE+-]+)"} in training["MetricDefinitions"]

    again = launching("register", main=command.main)
    assert again.status == 0, again.err
    assert arn in again.out
    shown = launching("show", "--name", name, main=command.main)
    assert launching.sagemaker.image_uri in shown.out

    monkeypatch.setenv("SNOWCOVER_ALGORITHM_ARN", arn)
    assert "are both given" in launching.error_message("hw=g5")
    monkeypatch.delenv("SNOWCOVER_IMAGE_URI")
    with launching.ending_jobs(completes()):
        started = launching.train("hw=g5")
    assert started.status == 0, started.err
    (job,) = launching.sagemaker.requests
    assert job["AlgorithmSpecification"]["AlgorithmName"] == arn


def test_another_image_is_another_version(launching: Launching, monkeypatch: pytest.MonkeyPatch) -> None:
    first = launching("register", main=command.main)
    monkeypatch.setenv("SNOWCOVER_IMAGE_URI", launching.sagemaker.account.add_image("snowcover", "0.2.0-current"))
    second = launching("register", main=command.main)
    assert first.status == second.status == 0, first.err + second.err
    assert first.out != second.out
    assert len(launching.sagemaker.account.algorithms.requests) == 2


def test_what_cannot_be_registered_or_shown_ends_in_one_message(
    launching: Launching, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert launching("show", "--name", "nothing", main=command.main).error_message.startswith(
        "There is no algorithm nothing"
    )
    launching.sagemaker.account.algorithms.ends = "Failed"
    assert "is Failed" in launching("register", main=command.main).error_message
    monkeypatch.delenv("SNOWCOVER_IMAGE_URI")
    assert "There is no image to register" in launching("register", main=command.main).error_message
