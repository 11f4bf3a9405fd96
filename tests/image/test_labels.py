"""Labels of images in ECR, in all the ways that images get there."""

import json
import logging
from typing import Any

import pytest

from snowcover import __version__
from snowcover.config import HwConfig
from snowcover_launch.aws.errors import NotFound
from snowcover_launch.aws.registry import Unreadable, labels
from snowcover_launch.aws.session import Account
from snowcover_launch.images import labels as images_labels
from snowcover_launch.images.labels import UnfitImage, check_image, refuse_unfit
from tests.sagemaker import SageMaker

KEPLER = {"snowcover.variant": "kepler", "org.opencontainers.image.version": __version__}


def hw(image: str) -> HwConfig:
    machine = {"accelerator": "gpu", "devices": 1, "precision": "32-true", "data_workers": 4}
    return HwConfig(backend="sagemaker", instance_type="ml.p2.xlarge", image=image, **machine)


def ecr(sagemaker: SageMaker) -> Any:
    from moto.ecr.models import ecr_backends

    return ecr_backends[sagemaker.account.id][sagemaker.region]


def test_labels_are_read_by_tag_by_digest_and_through_an_index(sagemaker: SageMaker) -> None:
    account = Account(sagemaker.region, None)
    uri = sagemaker.account.add_image("snowcover", "1-kepler", KEPLER)
    assert labels(account, uri) == KEPLER
    image = ecr(sagemaker).repositories["snowcover"].images[-1]
    digest = image.get_image_digest()
    assert labels(account, f"{uri.rpartition(':')[0]}@{digest}") == KEPLER
    assert labels(account, f"{uri}@{digest}") == KEPLER
    attested = {"digest": "sha256:" + 64 * "0", "platform": {"os": "unknown", "architecture": "unknown"}}
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [attested, {"digest": digest, "platform": {"os": "linux", "architecture": "amd64"}}],
    }
    ecr(sagemaker).put_image("snowcover", json.dumps(index), "2-kepler")
    assert labels(account, uri.replace("1-kepler", "2-kepler")) == KEPLER


def test_an_image_that_is_not_there_is_refused_and_one_that_cannot_be_read_is_not(
    sagemaker: SageMaker, caplog: pytest.LogCaptureFixture
) -> None:
    account = Account(sagemaker.region, None)
    uri = sagemaker.account.add_image("snowcover", "1-kepler", KEPLER)
    with pytest.raises(NotFound, match=r"There is no image .*:2-kepler: push it"):
        check_image(account, uri.replace("1-kepler", "2-kepler"), hw("kepler"))
    with pytest.raises(NotFound, match="push it"):
        check_image(account, uri.replace("/snowcover:", "/another:"), hw("kepler"))
    with pytest.raises(Unreadable):
        labels(account, "registry.lab:5000/snowcover:1-kepler")
    sagemaker.account.layers.clear()
    with caplog.at_level(logging.WARNING):
        check_image(account, uri, hw("kepler"))
    assert f"Cannot check whether {uri} fits ml.p2.xlarge" in caplog.text


def test_an_image_of_another_variant_version_or_project_is_refused() -> None:
    refuse_unfit("an:image", KEPLER, hw("kepler"))
    for given, wanted, message in (
        (KEPLER, "current", "is the kepler variant, but ml.p2.xlarge needs current"),
        ({**KEPLER, "org.opencontainers.image.version": "0.0.1"}, "kepler", "holds snowcover 0.0.1 but this is"),
        ({}, "kepler", "not an image of this project"),
    ):
        with pytest.raises(UnfitImage, match=message):
            refuse_unfit("an:image", given, hw(wanted))


def test_an_image_of_other_code_is_refused_with_the_commit_to_go_back_to(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(images_labels, "code_digest", lambda: "of what is here")
    made = {**KEPLER, "snowcover.code": "of what is here", "org.opencontainers.image.revision": "0a1b2c3d4e5f6"}
    refuse_unfit("an:image", made, hw("kepler"))
    other = {**made, "snowcover.code": "of another commit"}
    with pytest.raises(UnfitImage, match=r"\(commit 0a1b2c3d4e5f\).*image push.*git checkout 0a1b2c3d4e5f"):
        refuse_unfit("an:image", other, hw("kepler"))
    changed = {**other, "org.opencontainers.image.revision": "0a1b2c3d4e5f6-dirty-11112222"}
    with pytest.raises(UnfitImage, match=r"\(commit 0a1b2c3d4e5f, changed\)(?!.*git checkout)"):
        refuse_unfit("an:image", changed, hw("kepler"))
    monkeypatch.setattr(images_labels, "code_digest", lambda: None)  # installed without git
    with caplog.at_level(logging.INFO):
        refuse_unfit("an:image", other, hw("kepler"))
    assert "as this checkout: this snowcover is not a git checkout" in caplog.text
