"""What is set around the imports of torch and the like."""

import gc
import importlib
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from snowcover.preflight import heavy_imports


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a package that no process has loaded."""
    (tmp_path / "heavy_package.py").write_text("objects = [[number] for number in range(1000)]")
    monkeypatch.syspath_prepend(tmp_path)
    yield "heavy_package"
    sys.modules.pop("heavy_package", None)


def test_no_garbage_is_collected_while_a_package_loads_and_none_is_looked_for_in_it_later(package: str) -> None:
    frozen = gc.get_freeze_count()
    with heavy_imports(package):
        assert not gc.isenabled()
        loaded = importlib.import_module(package)
    assert gc.isenabled()
    assert gc.get_freeze_count() >= frozen + len(loaded.objects)


def test_what_was_garbage_before_does_not_stay(package: str) -> None:
    class Network:
        pass

    network = Network()
    network.itself = network  # type: ignore[attr-defined]
    left = weakref.ref(network)
    del network
    with heavy_imports(package):
        importlib.import_module(package)
    assert left() is None


def test_it_is_collected_again_after_an_import_that_failed() -> None:
    with pytest.raises(ModuleNotFoundError), heavy_imports("no_such_package"):
        import no_such_package  # type: ignore[import-not-found] # noqa: F401
    assert gc.isenabled()


def test_where_all_is_loaded_nothing_more_is_kept_for_ever(package: str) -> None:
    with heavy_imports(package):
        importlib.import_module(package)
    frozen = gc.get_freeze_count()
    with heavy_imports(package):
        assert gc.isenabled()
        assert gc.get_freeze_count() <= frozen  # fewer, where what was kept is dropped
    assert gc.get_freeze_count() <= frozen
