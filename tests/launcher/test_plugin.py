"""The plugin as Hydra sees it."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from hydra import version
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.plugins.launcher import Launcher
from hydra.test_utils.launcher_common_tests import IntegrationTestSuite, LauncherTestSuite

pytestmark = pytest.mark.process

HEAVY = {"boto3", "botocore", "sagemaker", "torch", "lightning", "mlflow", "rasterio", "obstore", "optuna", "rich"}


def test_hydra_finds_the_launcher() -> None:
    assert "SnowcoverLauncher" in {plugin.__name__ for plugin in Plugins.instance().discover(Launcher)}


@pytest.mark.parametrize("flags", [["--cfg", "job", "hw=p2"], ["--help"], ["--info", "plugins"]])
def test_a_dry_run_imports_nothing_heavy(flags: list[str]) -> None:
    program = (
        "import sys; from snowcover.train import main\n"
        "try:\n    main()\nfinally:\n"
        f"    heavy = {HEAVY!r} & set(sys.modules)\n"
        "    sys.exit(str(heavy) if heavy else 0)"
    )
    command = [sys.executable, "-c", program, *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def as_before_any_start() -> Iterator[None]:
    """Hydra stores the requested version_base for the whole process; these tests request none."""
    state = Singleton.get_state()
    version.setbase("1.1")
    yield
    Singleton.set_state(state)


@pytest.mark.usefixtures("as_before_any_start")
@pytest.mark.parametrize(("launcher_name", "overrides"), [("snowcover", [])])
class TestLauncher(LauncherTestSuite):
    """Hydra's own tests of a launcher."""


@pytest.mark.parametrize(("task_launcher_cfg", "extra_flags"), [({}, ["-m", "hydra/launcher=snowcover"])])
class TestLauncherInAnApplication(IntegrationTestSuite):
    """Hydra's own tests of a launcher in whole applications."""
