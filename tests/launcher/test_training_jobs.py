"""Training jobs as AWS reports them, whatever the current command wanted."""

from datetime import timedelta

from snowcover_launch.aws import training_jobs
from snowcover_launch.aws.session import Account
from tests.aws.api import request
from tests.sagemaker import SageMaker


def test_a_job_name_is_started_once_and_its_tags_show_whose_it_is(sagemaker: SageMaker) -> None:
    account = Account(sagemaker.region, None)
    spot = {
        "EnableManagedSpotTraining": True,
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200},
        "Tags": [{"Key": "sweep", "Value": "aaaaaa"}],
    }
    started = training_jobs.start(account, request(sagemaker, **spot))
    assert not started.already_existed
    # Another command's, which wants it on demand
    found = training_jobs.start(account, request(sagemaker, Tags=[{"Key": "sweep", "Value": "bbbbbb"}]))
    assert found.already_existed
    assert len(sagemaker.requests) == 1
    for state in (started, found):
        assert (state.spot, state.instance_type, state.instance_count) == (True, "ml.p2.xlarge", 1)
    assert training_jobs.has_tag(account, found, "sweep", "aaaaaa")
    assert not training_jobs.has_tag(account, found, "sweep", "bbbbbb")
    assert found.warm_pool_s is None


def test_a_job_reports_how_long_its_machines_waited_for_the_next_one(sagemaker: SageMaker) -> None:
    account = Account(sagemaker.region, None)
    asked = request(sagemaker)
    resources = asked["ResourceConfig"] | {"KeepAlivePeriodInSeconds": 600}
    training_jobs.start(account, asked | {"ResourceConfig": resources})
    name = asked["TrainingJobName"]
    assert training_jobs.describe(account, name).warm_pool_s is None
    sagemaker.finish(name)
    assert training_jobs.describe(account, name).warm_pool_s == 0
    sagemaker.job(name).ended -= timedelta(hours=1)  # type: ignore[operator]
    assert training_jobs.describe(account, name).warm_pool_s == 600
