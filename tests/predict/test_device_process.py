"""Several devices, each mapped on by a process of its own: here two that both are this machine's CPU."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from torch import nn

from snowcover.predict import device_process, mapping, plan
from snowcover.predict.device_process import DeviceProcess, DeviceProcessEnded
from tests.predict.scenes import TILE, UTM_11N, HeldScene, blurring, landscape, mapped, model, own_grid

pytestmark = pytest.mark.process

SCENE = HeldScene(UTM_11N, landscape(UTM_11N, 2))


@pytest.fixture(autouse=True, scope="module")
def _processes() -> Iterator[None]:
    """Maps are made on two devices, whose processes serve all of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapping, "devices", lambda wanted: [torch.device("cpu", 0), torch.device("cpu", 1)])
        yield
    device_process.process_of.cache_clear()


def processes() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]


class Choosy(nn.Module):
    """Refuses what has a bright pixel."""

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        if tiles.max() > 0.79:
            raise ValueError("too bright")
        return tiles[:, :1]


def test_windows_are_shared_by_processes_that_also_map_the_next_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "LEAST_CORE_PX", TILE)  # so that there are some windows
    asked: set[DeviceProcess] = set()
    answer = DeviceProcess.map

    def noted(self: DeviceProcess, *given: Any) -> Any:
        asked.add(self)
        return answer(self, *given)

    monkeypatch.setattr(DeviceProcess, "map", noted)
    networks = [model(blurring(seed, 2), bands=2) for seed in (1, 2)]
    first, second = (mapped(SCENE, own_grid(SCENE), *networks) for _ in range(2))
    assert (len(asked), len(processes())) == (2, 2)
    monkeypatch.setattr(mapping, "devices", lambda wanted: [torch.device("cpu")])
    alone = mapped(SCENE, own_grid(SCENE), *networks)
    for maps in (first, second):
        for ours, theirs in zip(maps, alone, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_an_error_of_the_process_is_raised_here_and_the_next_map_is_made() -> None:
    with pytest.raises(ValueError, match="too bright"):
        mapped(SCENE, own_grid(SCENE), model(Choosy(), bands=2))
    probability, _ = mapped(SCENE, own_grid(SCENE), model(blurring(1, 2), bands=2))
    assert np.isfinite(probability).all()


def test_a_killed_process_is_reported_in_one_message() -> None:
    mapped(SCENE, own_grid(SCENE), model(blurring(1, 2), bands=2))
    for process in processes():
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    with pytest.raises(DeviceProcessEnded, match=r"maps on cpu.* has ended.*makes only the missing maps"):
        mapped(SCENE, own_grid(SCENE), model(blurring(1, 2), bands=2))
