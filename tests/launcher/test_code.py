"""The image's digest identifies the code of jobs: tags and algorithms' names may be moved to another image."""

import hydra
import pytest

from snowcover.config_root import conf_dir
from snowcover.validation import check
from snowcover_launch.aws import algorithms
from snowcover_launch.aws.session import Account
from snowcover_launch.backends.sagemaker.code import Images
from snowcover_launch.config import JobConfig
from tests.aws.api import algorithm
from tests.sagemaker import SageMaker


@pytest.fixture(scope="module")
def demo() -> JobConfig:
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return check(JobConfig, hydra.compose("config", overrides=["hw=g5"]))


def of_image(config: JobConfig, **where: str | None) -> JobConfig:
    return config.model_copy(update={"aws": config.aws.model_copy(update=where)})


def test_an_image_is_its_digest_however_it_is_named(sagemaker: SageMaker, demo: JobConfig) -> None:
    account = Account(sagemaker.region, None)
    uri = sagemaker.account.add_image("snowcover", "latest-current", {"what": "the first"})
    named = of_image(demo, image_uri=uri, algorithm_arn=None)
    first = Images(account).code(named)
    assert first.startswith("sha256:")
    algorithms.create(account, algorithm(sagemaker) | {"AlgorithmName": "snowcover-1"})
    registered = of_image(demo, image_uri=None, algorithm_arn="snowcover-1")
    assert Images(account).uri(registered) == sagemaker.image_uri
    known = Images(account)
    assert known.code(registered) == Images(account).code(of_image(demo, image_uri=sagemaker.image_uri)) != first
    calls = sum(sagemaker.calls.values())
    assert known.code(registered) == known.code(registered)
    assert sum(sagemaker.calls.values()) == calls
    elsewhere = of_image(demo, image_uri="registry.lab:5000/snowcover:1-current", algorithm_arn=None)
    assert Images(account).code(elsewhere) == "registry.lab:5000/snowcover:1-current"
