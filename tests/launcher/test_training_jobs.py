"""Training jobs as AWS has them, whatever the command that looks at them wanted."""

from snowcover_launch.aws import training_jobs
from snowcover_launch.aws.session import Account
from tests.aws.asking import request
from tests.sagemaker import SageMaker


def test_a_job_of_a_name_is_started_once_and_tells_what_it_is_and_whose(sagemaker: SageMaker) -> None:
    account = Account(sagemaker.region, None)
    spot = {
        "EnableManagedSpotTraining": True,
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200},
        "Tags": [{"Key": "sweep", "Value": "aaaaaa"}],
    }
    started = training_jobs.start(account, request(sagemaker, **spot))
    assert not started.was_there
    # Another command's, which wants it on demand
    found = training_jobs.start(account, request(sagemaker, Tags=[{"Key": "sweep", "Value": "bbbbbb"}]))
    assert found.was_there
    assert len(sagemaker.requests) == 1
    for state in (started, found):
        assert (state.spot, state.instance_type, state.instance_count) == (True, "ml.p2.xlarge", 1)
    assert training_jobs.started_by(account, found, "aaaaaa")
    assert not training_jobs.started_by(account, found, "bbbbbb")
