"""Clients and requests that know nothing about the fake: for its own tests, and for those of rights."""

from collections.abc import Callable
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.sagemaker import SageMaker

MODELS = botocore.session.Session().get_component("data_loader")  # cached


def client(service: str = "sagemaker", attempts: int = 1, **options: Any) -> Any:
    """A client that is configured only by the environment."""
    config = Config(retries={"total_max_attempts": attempts}).merge(options.pop("config", Config()))
    session = botocore.session.Session()
    session.register_component("data_loader", MODELS)
    return session.create_client(service, config=config, **options)


def request(sagemaker: SageMaker, name: str = "snowcover-unet-001", **changes: Any) -> dict[str, Any]:
    """A valid CreateTrainingJob request, with these members changed; None removes one."""
    prefix = f"snowcover/exp/{name}"
    sagemaker.bucket.put(
        f"{prefix}/config/config.yaml", f"job: {{result: {sagemaker.bucket.uri}/{prefix}/result.json}}".encode()
    )
    source = {"S3DataType": "S3Prefix", "S3Uri": f"{sagemaker.bucket.uri}/{prefix}/config"}
    whole = {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": sagemaker.image_uri, "TrainingInputMode": "File"},
        "RoleArn": sagemaker.role_arn,
        "InputDataConfig": [{"ChannelName": "config", "DataSource": {"S3DataSource": source}}],
        "OutputDataConfig": {"S3OutputPath": f"{sagemaker.bucket.uri}/{prefix}/output"},
        "ResourceConfig": {"InstanceType": "ml.p2.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 50},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    }
    return {key: value for key, value in (whole | changes).items() if value is not None}


def refusal(call: Callable[..., Any], **arguments: Any) -> str:
    """Code and message of the error that a call must end with."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return f"{caught.value.response['Error']['Code']}: {caught.value.response['Error']['Message']}"


def algorithm(sagemaker: SageMaker, **changes: Any) -> dict[str, Any]:
    channel = {
        "Name": "config",
        "IsRequired": True,
        "SupportedContentTypes": ["application/yaml"],
        "SupportedInputModes": ["File"],
    }
    specification = {
        "TrainingImage": sagemaker.image_uri,
        "SupportedTrainingInstanceTypes": ["ml.p2.xlarge"],
        "TrainingChannels": [channel | changes],
    }
    return {"AlgorithmName": "snowcover-0-1-0", "TrainingSpecification": specification}
