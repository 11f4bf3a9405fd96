"""The fake SageMaker stores jobs, algorithms and tags as AWS does."""

from datetime import timedelta
from typing import Any

import pytest

from tests.aws.api import algorithm, client, refusal, request
from tests.aws.front import service_model
from tests.aws.job import now
from tests.aws.shapes import check_request
from tests.sagemaker import SageMaker


def test_a_job_is_in_progress_until_the_test_ends_it(sagemaker: SageMaker) -> None:
    api = client()
    arn = api.create_training_job(**request(sagemaker))["TrainingJobArn"]
    assert arn == "arn:aws:sagemaker:us-west-2:123456789012:training-job/snowcover-unet-001"
    assert api.describe_training_job(TrainingJobName="snowcover-unet-001")["TrainingJobStatus"] == "InProgress"
    sagemaker.finish("snowcover-unet-001", result={"objective": 0.7}, output={"train.log": b"epoch=1/3"}, seconds=90)
    seen = api.describe_training_job(TrainingJobName="snowcover-unet-001")
    assert (seen["TrainingJobStatus"], seen["BillableTimeInSeconds"]) == ("Completed", 90)
    key = seen["ModelArtifacts"]["S3ModelArtifacts"].removeprefix(f"{sagemaker.bucket.uri}/")
    assert sagemaker.bucket.get(key)
    assert sagemaker.bucket.get("snowcover/exp/snowcover-unet-001/result.json") == b'{"objective": 0.7}'
    assert sagemaker.calls == {"CreateTrainingJob": 1, "DescribeTrainingJob": 2}
    assert [each["TrainingJobName"] for each in sagemaker.requests] == ["snowcover-unet-001"]


def test_the_response_of_describe_fits_the_services_own_model(sagemaker: SageMaker) -> None:
    api = client()
    api.create_training_job(**request(sagemaker, Environment={"A": "b"}))
    sagemaker.finish("snowcover-unet-001", "Failed", "AlgorithmError: no tiles")
    shape = service_model().operation_model("DescribeTrainingJob").output_shape
    check_request(shape, sagemaker.job("snowcover-unet-001").describe())


def test_a_name_is_never_free_again(sagemaker: SageMaker) -> None:
    api = client()
    api.create_training_job(**request(sagemaker))
    sagemaker.finish("snowcover-unet-001")
    assert refusal(api.create_training_job, **request(sagemaker)).startswith("ResourceInUse: Training job names must")
    assert len(sagemaker.requests) == 1


def test_a_stopped_job_is_stopping_first(sagemaker: SageMaker) -> None:
    api = client()
    api.create_training_job(**request(sagemaker))
    api.stop_training_job(TrainingJobName="snowcover-unet-001")
    again = refusal(api.stop_training_job, TrainingJobName="snowcover-unet-001")
    assert again == "ValidationException: The request was rejected because the training job is in status Stopping."
    seen = [api.describe_training_job(TrainingJobName="snowcover-unet-001")["TrainingJobStatus"] for _ in range(3)]
    assert seen == ["Stopping", "Stopping", "Stopped"]
    again = refusal(api.stop_training_job, TrainingJobName="snowcover-unet-001")
    assert again == "ValidationException: The request was rejected because the training job is in status Stopped."


@pytest.mark.parametrize("action", ["describe_training_job", "stop_training_job"])
def test_a_missing_job_is_a_validation_error(sagemaker: SageMaker, action: str) -> None:
    message = refusal(getattr(client(), action), TrainingJobName="nobody")
    assert message == "ValidationException: Requested resource not found."


def test_jobs_are_listed_in_pages(sagemaker: SageMaker) -> None:
    api = client()
    for number in range(5):
        api.create_training_job(**request(sagemaker, f"job-{number}"))
    sagemaker.finish("job-1")
    pages = list(api.get_paginator("list_training_jobs").paginate(SortBy="Name", MaxResults=2))
    names = [[each["TrainingJobName"] for each in page["TrainingJobSummaries"]] for page in pages]
    assert names == [["job-0", "job-1"], ["job-2", "job-3"], ["job-4"]]
    (done,) = api.list_training_jobs(StatusEquals="Completed", NameContains="job")["TrainingJobSummaries"]
    assert (done["TrainingJobName"], done["SecondaryStatus"]) == ("job-1", "Completed")


def test_an_algorithm_is_completed_only_after_a_while_and_then_trains(sagemaker: SageMaker) -> None:
    api = client()
    arn = api.create_algorithm(**algorithm(sagemaker))["AlgorithmArn"]
    by_algorithm = {"AlgorithmSpecification": {"AlgorithmName": arn, "TrainingInputMode": "File"}}
    assert "it must be Completed" in refusal(api.create_training_job, **request(sagemaker, **by_algorithm))
    seen = [api.describe_algorithm(AlgorithmName="snowcover-0-1-0")["AlgorithmStatus"] for _ in range(3)]
    assert seen == ["Pending", "InProgress", "Completed"]
    api.create_training_job(**request(sagemaker, **by_algorithm))
    (listed,) = api.list_algorithms(NameContains="snowcover")["AlgorithmSummaryList"]
    assert (listed["AlgorithmArn"], listed["AlgorithmStatus"]) == (arn, "Completed")
    assert "already exists" in refusal(api.create_algorithm, **algorithm(sagemaker))
    both = {"AlgorithmSpecification": by_algorithm["AlgorithmSpecification"] | {"TrainingImage": sagemaker.image_uri}}
    assert "exactly one of" in refusal(api.create_training_job, **request(sagemaker, "both", **both))
    api.delete_algorithm(AlgorithmName="snowcover-0-1-0")
    assert "does not exist" in refusal(api.describe_algorithm, AlgorithmName="snowcover-0-1-0")


def test_an_algorithm_reads_files_only_and_may_fail(sagemaker: SageMaker) -> None:
    api = client()
    stream = algorithm(sagemaker, SupportedInputModes=["Pipe"])
    assert "input mode File only" in refusal(api.create_algorithm, **stream)
    sagemaker.account.algorithms.ends = "Failed"
    api.create_algorithm(**algorithm(sagemaker))
    seen = [api.describe_algorithm(AlgorithmName="snowcover-0-1-0") for _ in range(3)][-1]
    assert seen["AlgorithmStatus"] == "Failed"
    assert seen["AlgorithmStatusDetails"]["ImageScanStatuses"][0]["FailureReason"]


def test_tags_are_stored_with_their_job(sagemaker: SageMaker) -> None:
    api = client()
    tags = [{"Key": "project", "Value": "snowcover"}]
    arn = api.create_training_job(**request(sagemaker, Tags=tags))["TrainingJobArn"]
    api.add_tags(ResourceArn=arn, Tags=[{"Key": "sweep", "Value": "a1b2c3"}])
    assert api.list_tags(ResourceArn=arn)["Tags"] == [*tags, {"Key": "sweep", "Value": "a1b2c3"}]
    api.delete_tags(ResourceArn=arn, TagKeys=["project"])
    assert api.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "sweep", "Value": "a1b2c3"}]
    assert sagemaker.requests[0]["Tags"] == tags


def test_the_sdk_starts_reads_and_stops_a_job(sagemaker: SageMaker) -> None:
    from sagemaker.core import resources, shapes

    whole = request(sagemaker)
    source = whole["InputDataConfig"][0]["DataSource"]["S3DataSource"]
    data = shapes.S3DataSource(s3_data_type=source["S3DataType"], s3_uri=source["S3Uri"])
    job = resources.TrainingJob.create(
        training_job_name="snowcover-unet-001",
        role_arn=sagemaker.role_arn,
        algorithm_specification=shapes.AlgorithmSpecification(
            training_image=sagemaker.image_uri, training_input_mode="File"
        ),
        input_data_config=[shapes.Channel(channel_name="config", data_source=shapes.DataSource(s3_data_source=data))],
        output_data_config=shapes.OutputDataConfig(s3_output_path=whole["OutputDataConfig"]["S3OutputPath"]),
        resource_config=shapes.ResourceConfig(instance_type="ml.p2.xlarge", instance_count=1, volume_size_in_gb=50),
        stopping_condition=shapes.StoppingCondition(max_runtime_in_seconds=3600),
        tags=[{"key": "project", "value": "snowcover"}],
    )
    assert (job.training_job_status, job.secondary_status) == ("InProgress", "Starting")
    job.stop()
    for _ in range(2):
        job.refresh()
    again = resources.TrainingJob.get("snowcover-unet-001")
    assert again.training_job_status == "Stopped"
    assert [each.training_job_name for each in resources.TrainingJob.get_all()] == ["snowcover-unet-001"]
    assert sagemaker.requests[0]["Tags"] == [{"Key": "project", "Value": "snowcover"}]


def test_the_sdk_makes_an_algorithm_and_waits_for_it(sagemaker: SageMaker) -> None:
    from sagemaker.core import resources, shapes

    given = algorithm(sagemaker)["TrainingSpecification"]
    channel = shapes.ChannelSpecification(
        name="config", is_required=True, supported_content_types=["application/yaml"], supported_input_modes=["File"]
    )
    made = resources.Algorithm.create(
        algorithm_name="snowcover-0-1-0",
        training_specification=shapes.TrainingSpecification(
            training_image=given["TrainingImage"],
            supported_training_instance_types=given["SupportedTrainingInstanceTypes"],
            training_channels=[channel],
        ),
    )
    made.wait_for_status("Completed", poll=0)
    assert resources.Algorithm.get("snowcover-0-1-0").algorithm_status == "Completed"
    made.delete()
    assert list(resources.Algorithm.get_all()) == []


def test_billed_seconds_are_of_one_machine(sagemaker: SageMaker) -> None:
    resources = {"InstanceType": "ml.p2.xlarge", "InstanceCount": 4, "VolumeSizeInGB": 50}
    client().create_training_job(**request(sagemaker, ResourceConfig=resources))
    sagemaker.finish("snowcover-unet-001", seconds=90)
    assert client().describe_training_job(TrainingJobName="snowcover-unet-001")["BillableTimeInSeconds"] == 90


def test_without_capacity_a_job_fails_and_is_not_billed(sagemaker: SageMaker) -> None:
    sagemaker.faults.no_capacity("ml.p2.xlarge", times=2)
    wait = {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60}
    client().create_training_job(**request(sagemaker, "on-demand"))
    client().create_training_job(**request(sagemaker, "spot", EnableManagedSpotTraining=True, StoppingCondition=wait))
    client().create_training_job(**request(sagemaker, "later"))
    api = client()
    first = [api.describe_training_job(TrainingJobName=name) for name in ("on-demand", "spot", "later")]
    assert {seen["TrainingJobStatus"] for seen in first} == {"InProgress"}
    assert first[1]["SecondaryStatusTransitions"][-1]["StatusMessage"].startswith(
        "Insufficient capacity error from EC2"
    )
    failed, stopped, running = (api.describe_training_job(TrainingJobName=each["TrainingJobName"]) for each in first)
    assert failed["TrainingJobStatus"] == "Failed"
    assert failed["FailureReason"].startswith("CapacityError: Unable to provision requested ML compute capacity.")
    assert (stopped["TrainingJobStatus"], stopped["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")
    assert running["TrainingJobStatus"] == "InProgress"
    assert not {"BillableTimeInSeconds", "TrainingStartTime"} & (failed.keys() | stopped.keys())


def test_a_warm_pool_goes_to_the_next_job_that_matches(sagemaker: SageMaker) -> None:
    resources = {"InstanceType": "ml.p2.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 50}
    warm = {"ResourceConfig": resources | {"KeepAlivePeriodInSeconds": 600}}
    api = client()

    def pool(name: str) -> dict[str, Any] | None:
        status: dict[str, Any] | None = api.describe_training_job(TrainingJobName=name).get("WarmPoolStatus")
        return status

    api.create_training_job(**request(sagemaker, "job-1", **warm))
    assert pool("job-1") == {"Status": "InUse"}
    sagemaker.finish("job-1")
    assert pool("job-1") == {"Status": "Available", "ResourceRetainedBillableTimeInSeconds": 0}
    api.create_training_job(**request(sagemaker, "job-2", EnableInterContainerTrafficEncryption=True))
    api.create_training_job(**request(sagemaker, "job-3"))
    assert pool("job-1") == {"Status": "Reused", "ReusedByJob": "job-3"}
    assert pool("job-3") is None
    api.create_training_job(**request(sagemaker, "job-4", **warm))
    sagemaker.finish("job-4")
    sagemaker.job("job-4").ended = now() - timedelta(minutes=11)
    assert pool("job-4") == {"Status": "Terminated", "ResourceRetainedBillableTimeInSeconds": 600}


def test_a_failure_of_aws_itself_is_retried(sagemaker: SageMaker) -> None:
    api = client()
    api.create_training_job(**request(sagemaker, RetryStrategy={"MaximumRetryAttempts": 1}))
    for secondary in ("Starting", "Failed"):
        sagemaker.finish("snowcover-unet-001", "Failed", "InternalServerError: We encountered an internal error.")
        assert api.describe_training_job(TrainingJobName="snowcover-unet-001")["SecondaryStatus"] == secondary
