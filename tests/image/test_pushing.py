"""Pushing images to ECR: a real registry behind the fake AWS."""

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.image.checkout import Checkout, error_message
from tests.image.registry import TOKEN, Registry, registry
from tests.sagemaker import SageMaker

pytestmark = pytest.mark.usefixtures("engine")


def repositories() -> dict[str, Any]:
    from moto.ecr.models import ecr_backends

    found: dict[str, Any] = ecr_backends["123456789012"]["us-west-2"].repositories
    return found


@pytest.fixture
def behind_ecr(sagemaker: SageMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """An account without a repository, whose ECR is a real registry."""
    repositories().clear()
    with registry(tmp_path / "registry") as found:
        found.stand_behind_ecr(monkeypatch)
        yield found


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


@pytest.fixture
def small_images(checkout: Checkout) -> Iterator[dict[str, str]]:
    """Images of a few bytes under the names of this checkout's: Docker's part is the same for those of gigabytes."""
    names = {variant: checkout.name(variant) for variant in ("current", "kepler")}
    made = []
    for variant, name in names.items():
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.addfile(tarfile.TarInfo(variant))
        command = ["docker", "import", "--change", f"LABEL snowcover.variant={variant}", "-", name]
        done = subprocess.run(command, input=archive.getvalue(), stdout=subprocess.PIPE, check=True)
        made.append(done.stdout.decode().strip())
    yield names
    subprocess.run(["docker", "image", "rm", "--force", *made], capture_output=True)


def test_both_variants_are_pushed_once_and_the_line_to_set_is_printed(
    behind_ecr: Registry, sagemaker: SageMaker, checkout: Checkout, small_images: dict[str, str]
) -> None:
    done = checkout.image("push")
    assert done.returncode == 0, done.stdout + done.stderr
    tags = {variant: name.partition(":")[2] for variant, name in small_images.items()}
    uris = {variant: f"{behind_ecr.address}/snowcover:{tag}" for variant, tag in tags.items()}
    assert done.stdout.splitlines()[-1] == f"export SNOWCOVER_IMAGE_URI={uris['current']}"
    recorded = json.loads((checkout.folder / "outputs/images.json").read_text())
    for variant, tag in tags.items():
        manifest, headers = behind_ecr.ask(f"snowcover/manifests/{tag}")
        assert recorded[uris[variant]] == headers["Docker-Content-Digest"]
        config, _ = behind_ecr.ask(f"snowcover/blobs/{manifest['config']['digest']}")
        assert config["config"]["Labels"]["snowcover.variant"] == variant
    assert TOKEN not in (Path.home() / ".docker/config.json").read_text()
    repository = repositories()["snowcover"]
    assert repository.image_tag_mutability == "IMMUTABLE"
    assert repository.image_scanning_configuration == {"scanOnPush": True}
    assert repository.encryption_configuration["encryptionType"] == "AES256"


def test_an_existing_image_is_not_pushed_again(
    behind_ecr: Registry, sagemaker: SageMaker, checkout: Checkout, small_images: dict[str, str]
) -> None:
    tag = small_images["kepler"].partition(":")[2]
    sagemaker.account.add_image("snowcover", tag)
    done = checkout.image("push", "--variant", "kepler")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{behind_ecr.address}/snowcover:{tag} already exists" in done.stdout
    assert behind_ecr.ask("_catalog")[0]["repositories"] == []


def test_missing_permission_or_credentials_to_push_end_in_one_message(
    behind_ecr: Registry, sagemaker: SageMaker, checkout: Checkout, small_images: dict[str, str]
) -> None:
    server = sagemaker.bucket.server
    reader = {"AWS_ACCESS_KEY_ID": server.reader_key, "AWS_SECRET_ACCESS_KEY": server.reader_secret}
    assert "You may not create the ECR repository snowcover" in error_message(checkout.image("push", **reader))
    stranger = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    assert "There are no valid AWS credentials to find the ECR repository" in error_message(
        checkout.image("push", **stranger)
    )
    assert "The image's repository needs a region: set AWS_REGION." in error_message(
        checkout.image("push", AWS_REGION="", AWS_DEFAULT_REGION="")
    )


def test_an_unreachable_registry_ends_in_one_message(
    sagemaker: SageMaker, checkout: Checkout, small_images: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    repositories().clear()
    Registry("127.0.0.1:9").stand_behind_ecr(monkeypatch)
    assert error_message(checkout.image("push")).startswith("Docker could not login (")


def test_another_variant_is_not_pushed_before_it_is_built(checkout: Checkout) -> None:
    missing = checkout.image("push", "--variant", "kepler")
    assert "build it with `python -m snowcover.image build`" in error_message(missing)
    assert "invalid choice: 'maxwell'" in checkout.image("push", "--variant", "maxwell").stderr
