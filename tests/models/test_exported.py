"""A network as a graph that needs nothing of ours."""

import io
from typing import Any

import cloudpickle
import pytest
import torch
from torch import Tensor, nn

from snowcover.compat import check_export
from snowcover.models.exported import CannotExport, exported
from snowcover.models.mapper import SnowMapper


@pytest.fixture(autouse=True, scope="module")
def _exports() -> None:
    try:
        check_export()
    except RuntimeError as error:
        pytest.skip(str(error))


def mapper(network: nn.Module) -> SnowMapper:
    given: dict[str, Any] = {"scale": 1e-4, "offset": 0.0, "mean": [0.1, 0.1], "std": [0.2, 0.2]}
    return SnowMapper(network, **given).eval()


def raw(*shape: int) -> Tensor:
    tiles = torch.randint(1, 8000, shape, dtype=torch.int32)
    tiles[..., :3, :5] = 0
    return tiles


def test_the_graph_does_the_same_in_any_mode_on_tiles_of_any_number_and_size() -> None:
    ours = mapper(nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 1)))
    kept = io.BytesIO()
    torch.save(exported(ours, raw(2, 2, 60, 60)), kept, pickle_module=cloudpickle)
    kept.seek(0)
    graph = torch.load(kept, weights_only=False)
    assert "snowcover" not in type(graph).__module__
    for mode in (graph.eval, graph.train):
        mode()
        for shape in ((1, 2, 64, 64), (3, 2, 100, 130)):
            tiles = raw(*shape)
            with torch.no_grad():
                torch.testing.assert_close(graph(tiles), ours(tiles), equal_nan=True)


class LooksAtTheSize(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image[:, :1] * (2 if image.shape[-1] > 100 else 1)


def test_a_network_whose_graph_would_do_otherwise_on_tiles_of_another_size_is_refused() -> None:
    with pytest.raises(CannotExport, match=r"does otherwise on 3 tiles of 160 x 96 pixels"):
        exported(mapper(LooksAtTheSize()), raw(2, 2, 60, 60))
