"""Fixtures that several rooms' tests share."""

import functools
import gc
import os
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from botocore.loaders import JSONFileLoader

from tests.aws.namespaces import ONE_THREAD
from tests.making import write_site

pytest_plugins = ["tests.browsing", "tests.servers", "tests.sagemaker", "tests.launcher.launching"]

hypothesis.settings.register_profile("no_clock", deadline=None)  # a busy machine is no fault
hypothesis.settings.load_profile("no_clock")
signal.signal(signal.SIGINT, signal.default_int_handler)  # what tests start inherits it: ignored in the background
if "PYTEST_XDIST_WORKER" in os.environ:  # several processes share the cores
    os.environ |= ONE_THREAD
# Sessions share what describes AWS's services: each would read it again, for half a second.
JSONFileLoader.load_file = functools.cache(JSONFileLoader.load_file)  # type: ignore[method-assign]

ENGINE = "tests/image/"  # whose tests use Docker
MARKS = {"browser": "browser", "s3_server": "process", "sagemaker": "machine", "trained": "training"}  # by fixtures
LONG = ("image", "browser", "machine", "process", "training")  # the longest first
LEFT_BEHIND = ("MLFLOW_TRACKING_URI", "HYDRA_FULL_ERROR")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where several processes share the suite, tests of one file stay together, and so do all that use the one Docker
    engine."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return ENGINE if nodeid.startswith(ENGINE) else nodeid.partition("::")[0]

    return ByFile(config, log)


def pytest_collection() -> None:
    """Tests import thousands of modules, none of which is garbage."""
    gc.disable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks tests by what they use. Long files begin first, and among those like it large ones, so that none is left
    for the end."""
    tests: Counter[Path] = Counter()
    marks: dict[Path, set[str]] = defaultdict(set)
    for item in items:
        used = {MARKS[name] for name in getattr(item, "fixturenames", ()) if name in MARKS}
        for mark in used | ({"image"} if item.nodeid.startswith(ENGINE) else set()):
            item.add_marker(mark)
        tests[item.path] += 1
        marks[item.path] |= {mark.name for mark in item.iter_markers()}
    items.sort(key=lambda item: ([mark not in marks[item.path] for mark in LONG], -tests[item.path]))


def pytest_collection_finish() -> None:
    """What was imported stays: each collection of garbage, which a run begins with, would look at all of it."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True, scope="module")
def _no_garbage_of_another_file() -> Iterator[None]:
    """What a file's tests have left is collected, and what they have imported not looked at again."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _nothing_of_another_test() -> Iterator[None]:
    """MLflow keeps the store that it was given last, a command of ours how it wants Hydra to tell errors, Optuna the
    terminal that it was imported at."""
    _forget()
    yield
    _forget()


def _forget() -> None:
    if mlflow := sys.modules.get("mlflow"):  # some tests are of what does not load it
        mlflow.set_tracking_uri(None)
    if optuna := sys.modules.get("optuna"):
        optuna.logging.disable_default_handler()
    for name in LEFT_BEHIND:
        os.environ.pop(name, None)


SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables, made once: making them takes longer than most of the runs in tests."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 tiles of ground of 64 px, in two scenes and one collect."""
    return write_site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real imagery beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("the real imagery (../shared/data) is not beside this checkout")
    return SHARED
