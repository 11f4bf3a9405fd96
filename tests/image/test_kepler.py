"""The project's own tests of what depends on torch, with the packages that support a K80, in the image itself."""

import shutil
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

from snowcover_launch.images.build import CHECKOUT
from tests.aws.namespaces import ONE_THREAD
from tests.image.engine import docker

TESTERS = ("pytest", "pluggy", "iniconfig", "pygments", "hypothesis", "sortedcontainers")
TESTS = ("tests/data/test_loader.py", "tests/losses", "tests/models/test_input_channels.py",
         "tests/test_checkpoints.py", "tests/test_signals.py", "tests/training/test_run.py")  # fmt: skip
# Of the training's tests those that lean on torch and lightning the most; the image has no server for S3.
CHOSEN = "(not test_run or any_number_of_workers or onecycle or plateau or first_epoch) and not in_s3"


def test_torch_dependent_tests_pass_with_the_old_torch(built: Callable[[str], str], tmp_path: Path) -> None:
    for name in TESTERS:
        for file in distribution(name).files or []:
            if ".." not in file.parts:
                (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file.locate(), tmp_path / file)  # type: ignore[arg-type]
    mounts = [f"{CHECKOUT / name}:/project/{name}:ro" for name in ("tests", "launchers", "pyproject.toml")]
    mounts.append(f"{tmp_path}:/testers:ro")
    output = docker(
        "run", "--rm", "--network", "none", "--workdir", "/project",
        "--env", "PYTHONPATH=/project:/project/launchers:/testers",
        *(word for name, value in ONE_THREAD.items() for word in ("--env", f"{name}={value}")),
        *(word for mount in mounts for word in ("--volume", mount)), "--entrypoint", "python", built("kepler"),
        "-m", "pytest", "--noconftest", "-p", "tests.image.inside", "-p", "no:cacheprovider", "-k", CHOSEN, *TESTS,
    )  # fmt: skip
    assert " passed" in output
    assert " skipped" not in output
