"""MLflow's own server as the user's store, and one behind the plugin for the servers that SageMaker manages."""

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient

from snowcover.tracking import CannotRecord, close_sweep, import_run, open_sweep, recorded, run_of_job
from snowcover.tracking_uri import ui_hint
from tests.browsing import mlflow_server
from tests.servers import Bucket, Proxy
from tests.tracking.conftest import Left, everything

pytestmark = pytest.mark.process

ARN = "arn:aws:sagemaker:us-west-2:123456789012:mlflow-tracking-server/snow"


def test_a_trained_run_comes_to_a_server_whole_and_once(trained: Left, home: str, tmp_path: Path) -> None:
    light = Path(shutil.copytree(trained.folder, tmp_path / "light", ignore=shutil.ignore_patterns("checkpoints")))
    with mlflow_server(Path.cwd(), "--artifacts-destination", "kept") as server:
        run_id = import_run(light, server, "home", {})
        assert import_run(light, server, "home", {}) == run_id
        assert run_of_job(server, "job-1") == run_id
        whole = everything(server, run_id)
        (output,) = MlflowClient(server).get_run(run_id).outputs.model_outputs
        mlflow.set_tracking_uri(server)
        model = mlflow.pytorch.load_model(f"models:/{output.model_id}")
    files = {name: digest for name, digest in trained.whole["files"].items() if not name.startswith("checkpoints/")}
    assert whole == trained.whole | {"files": files}
    with torch.no_grad():
        probability = model(torch.from_numpy(np.ones((2, 4, 64, 64), dtype=np.uint16)))
    assert probability.shape == (2, 64, 64)


@pytest.fixture
def managed(home: str, s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A server whose artifacts are in S3, behind a proxy that sees what the plugin signs."""
    place = ["--no-serve-artifacts", "--default-artifact-root", f"{s3.uri}/mlflow"]
    with mlflow_server(Path.cwd(), *place) as server:
        proxy = Proxy(server)
        monkeypatch.setenv("SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT", proxy.endpoint)
        yield proxy
        proxy.close()


def test_runs_are_recorded_and_imported_by_the_arn_of_a_managed_server(
    managed: Proxy, s3: Bucket, left: Left, caplog: pytest.LogCaptureFixture
) -> None:
    parent = open_sweep(ARN, "e", "sweep", {})
    with recorded(ARN, "e", "n", False, tags={"job": "job-2", "mlflow.parentRunId": parent}) as recorder:
        recorder.params({"lr": 1e-3})
        recorder.metrics([(0, {"loss": 0.5})])
        recorder.dataset("ASO_20180528", "d1" * 20)
        Path("result.json").write_text("{}")
        recorder.artifact(Path("result.json"))
    close_sweep(ARN, parent, "FINISHED", {"best_val_iou": 0.5})
    assert run_of_job(ARN, "job-2") == recorder.run_id
    signed = [request.authorization for request in managed.requests if "Credential=" in request.authorization]

    run = MlflowClient(managed.endpoint).get_run(recorder.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"lr": "0.001"}
    assert run.data.metrics == {"loss": 0.5}
    assert len(run.inputs.dataset_inputs) == 1
    assert s3.get(f"mlflow/1/{recorder.run_id}/artifacts/result.json") == b"{}"

    assert all("/us-west-2/sagemaker-mlflow/aws4_request" in text for text in signed)
    assert all("x-mlflow-sm-tracking-server-arn" in text for text in signed)
    assert len(signed) >= 10
    assert not [record for record in caplog.records if record.name.startswith("mlflow")]

    mlflow.set_tracking_uri("sqlite:///mine.db")
    brought = import_run(left.folder, ARN, "home", {})
    assert import_run(left.folder, ARN, "home", {}) == brought
    assert mlflow.get_tracking_uri() == "sqlite:///mine.db"
    assert everything(managed.endpoint, brought) == left.whole


def refusal(uri: str) -> str:
    with pytest.raises(CannotRecord) as error, recorded(uri, "e", "n", False):
        pass
    assert "\n" not in str(error.value)
    return str(error.value)


def test_without_credentials_a_managed_server_is_reported_with_the_way_in(
    aws_settings: pytest.MonkeyPatch, home: str
) -> None:
    aws_settings.setenv("AWS_EC2_METADATA_DISABLED", "true")
    text = refusal(ARN)
    assert text.startswith(f"MLflow cannot record at {ARN} (")
    assert "Unable to locate credentials): log in to AWS as somebody who may use that server, or give" in text


def test_a_managed_server_that_does_not_answer_is_reported(aws_settings: pytest.MonkeyPatch, home: str) -> None:
    aws_settings.setenv("AWS_ACCESS_KEY_ID", "key")
    aws_settings.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    aws_settings.setenv("SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT", "http://127.0.0.1:9")
    assert refusal(ARN).startswith(f"MLflow cannot record at {ARN} (")


def test_without_the_plugin_a_managed_server_is_reported_with_its_name(
    monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sagemaker_mlflow" else found(name))
    assert refusal(ARN).endswith("through a plugin that is not here: pip install sagemaker-mlflow.")


@pytest.mark.parametrize(
    "uri",
    [
        "arn:aws:sagemaker",
        "arn:aws:s3:::bucket",
        ARN.replace("tracking-server", "server"),
        ARN.replace("us-west-2", ""),
    ],
)
def test_a_wrong_arn_is_reported_with_a_right_one(uri: str, home: str) -> None:
    text = refusal(uri)
    assert text.startswith(f"tracking.uri={uri} is no ARN of a managed MLflow server: give the TrackingServerArn that ")


@pytest.mark.parametrize(
    ("uri", "look"),
    [
        ("http://mlflow.lab:5000", "http://mlflow.lab:5000"),
        ("sqlite:///mlflow.db", "mlflow ui --backend-store-uri sqlite:///mlflow.db"),
        (
            ARN,
            "aws sagemaker create-presigned-mlflow-tracking-server-url --tracking-server-name snow --region us-west-2",
        ),
        (
            "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-app/app-1",
            "aws sagemaker create-presigned-mlflow-app-url "
            "--arn arn:aws:sagemaker:eu-west-1:123456789012:mlflow-app/app-1 --region eu-west-1",
        ),
    ],
)
def test_each_store_sayswhere_to_look(uri: str, look: str) -> None:
    assert ui_hint(uri) == look


def test_the_page_of_an_experiment_is_that_of_training() -> None:
    page = "/#/experiments/3?workflowType=machine_learning"
    assert ui_hint("http://mlflow.lab:5000/", "3") == f"http://mlflow.lab:5000{page}"
    assert ui_hint("sqlite:///mlflow.db", "3") == (
        f"mlflow ui --backend-store-uri sqlite:///mlflow.db, and open http://127.0.0.1:5000{page}"
    )
