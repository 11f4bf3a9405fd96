"""What is set around the imports of torch and the like."""

import gc
import sys

import pytest

from snowcover.preflight import heavy_imports


@pytest.fixture
def first(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not loaded torch."""
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    gc.collect()


@pytest.mark.usefixtures("first")
def test_no_garbage_is_collected_while_torch_loads_and_none_is_looked_for_in_it_later() -> None:
    frozen = gc.get_freeze_count()
    with heavy_imports():
        assert not gc.isenabled()
        loaded = [[number] for number in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= frozen + len(loaded)


@pytest.mark.usefixtures("first")
def test_it_is_collected_again_after_an_import_that_failed() -> None:
    with pytest.raises(ModuleNotFoundError), heavy_imports():
        import no_such_package  # type: ignore[import-not-found] # noqa: F401
    assert gc.isenabled()


def test_a_second_time_nothing_more_is_kept_for_ever() -> None:
    import torch  # noqa: F401

    frozen = gc.get_freeze_count()
    with heavy_imports():
        assert gc.isenabled()
    assert gc.get_freeze_count() == frozen
