"""What is in an image, and what is not."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from snowcover import __version__
from snowcover_launch.images.build import Source, build_command, pip_settings
from tests.image.checkout import Checkout, error_message
from tests.image.engine import docker

NOT_FOR_TRAINING = ("sagemaker", "optuna", "rich.live", "cv2", "hydra_plugins", "snowcover_launch", "pytest", "mypy")
PROGRAMS = ("gcc", "cc", "c++", "make", "ld", "git", "docker")
LOOK = f"""
import shutil
from importlib.util import find_spec
def is_there(name):
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
print([name for name in {NOT_FOR_TRAINING} if is_there(name)] + [name for name in {PROGRAMS} if shutil.which(name)])
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


def layers(image: str) -> list[str]:
    found: list[str] = json.loads(docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", image))
    return found


def labels(image: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(docker("image", "inspect", "--format", "{{json .Config.Labels}}", image))
    return found


@pytest.mark.parametrize("variant", ["current", "kepler"])
def test_an_image_holds_what_training_needs_and_nothing_else(variant: str, built: Callable[[str], str]) -> None:
    image = built(variant)
    assert docker("run", "--rm", "--entrypoint", "python", image, "-c", LOOK).strip() == "[]"


def test_the_kepler_image_has_code_for_the_k80(built: Callable[[str], str]) -> None:
    flags = "import torch; print(torch._C._cuda_getArchFlags())"
    assert "sm_37" in docker("run", "--rm", "--entrypoint", "python", built("kepler"), "-c", flags).split()


def test_a_change_of_code_does_not_rebuild_the_packages_and_changes_the_name(
    checkout: Checkout, built: Callable[[str], str]
) -> None:
    (checkout.folder / "snowcover" / "errors.py").open("a").write("\n# changed\n")
    done = checkout.image("build", "--variant", "current")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (mark,) = set(re.findall(r"-dirty-[0-9a-f]{8}", done.stdout))
    image = checkout.name("current", mark=mark)
    assert labels(image)["org.opencontainers.image.revision"] == f"{checkout.sha}{mark}"
    before, after = layers(built("current")), layers(image)
    assert [layer == other for layer, other in zip(before, after, strict=True)].index(False) >= 2
    assert "changed since" in error_message(checkout.image("push", "--variant", "current"))
    docker("image", "rm", image)


@pytest.mark.parametrize("variant", ["current", "kepler"])
def test_trying_an_image_trains_in_it_without_a_network(
    variant: str, built: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    from snowcover_launch.cli import image

    built(variant)
    image.main(["try", "--variant", variant])
    out = capsys.readouterr().out
    assert f"labels: {__version__}, " in out
    assert "No broken requirements found." in out
    assert "trained without a network: val_iou 0." in out


def test_trying_refuses_an_image_of_another_commit_or_with_a_secret(
    checkout: Checkout, built: Callable[[str], str]
) -> None:
    name = checkout.name("current")
    assert f"There is no image {name} here" in error_message(checkout.image("try", "--variant", "current"))
    docker("tag", built("current"), name)
    assert "revision is" in error_message(checkout.image("try", "--variant", "current"))
    commit = f"LABEL org.opencontainers.image.revision={checkout.sha}"
    container = docker("create", name).strip()
    try:
        docker("commit", "--change", commit, "--change", "ENV API_TOKEN=abc", container, name)
    finally:
        docker("rm", container)
    assert "has the variable API_TOKEN, which looks like a secret" in error_message(
        checkout.image("try", "--variant", "current")
    )
    docker("image", "rm", name)


def test_without_docker_engine_or_checkout_one_message_says_what_to_do(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "git").symlink_to(str(shutil.which("git")))
    assert "There is no `docker` on this machine" in error_message(checkout.image("build", PATH=str(tmp_path)))
    assert "start the engine, or name another with DOCKER_HOST" in error_message(
        checkout.image("build", DOCKER_HOST="unix:///nowhere/docker.sock")
    )
    (checkout.folder / "container/Dockerfile").unlink()
    assert "from a git checkout of snowcover, and this is not one" in error_message(checkout.image("build"))


def test_a_build_finds_packages_where_this_machine_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://packages.lab/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "file:///srv/packages https://more.lab/simple")
    monkeypatch.delenv("PIP_TRUSTED_HOST", raising=False)
    found = pip_settings()
    assert found["PIP_INDEX_URL"] == "https://packages.lab/simple"
    assert found["PIP_EXTRA_INDEX_URL"] == "https://more.lab/simple"  # the other is of no use inside a build


def test_no_list_of_processes_shows_where_packages_are(engine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:planted-secret@packages.lab/simple")
    words = build_command(Source("a" * 40, False, "b" * 64, "c" * 64), "current")
    assert "PIP_INDEX_URL" in words
    assert "planted-secret" not in " ".join(words)
