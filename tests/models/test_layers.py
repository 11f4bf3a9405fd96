"""Layers in the mapper: normalised as they are, without a say in what is observed."""

import pytest
import torch
from torch import nn

from snowcover.compat import check_export
from snowcover.models.exported import exported
from snowcover.models.mapper import SnowMapper


class Sees(nn.Module):
    """Keeps what it was given; adds it up."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.given = image
        return image.sum(dim=1, keepdim=True)


def mapper(network: nn.Module) -> SnowMapper:
    """Of two bands and two layers."""
    return SnowMapper(network, 1e-4, 0.1, [0.2, 0.3, 2000.0, 15.0], [0.1, 0.2, 100.0, 5.0], layers=2).eval()


def raw(*shape: int) -> torch.Tensor:
    tiles = torch.rand(shape[0], 4, *shape[1:]) * 5000 + 1
    tiles[:, 2:] = torch.rand(shape[0], 2, *shape[1:]) * 100
    return tiles


def test_bands_are_scaled_and_layers_are_not_and_nodata_is_the_mean() -> None:
    ours, tiles = mapper(Sees()), raw(1, 64, 64)
    tiles[0, :2, 0, 0] = 0  # unobserved
    tiles[0, 2, 1, 1] = torch.nan
    tiles[0, 3, 1, 2] = torch.inf
    tiles[0, 2, 2, 2] = 0  # the sea's elevation, which is one
    ours.logits(tiles)
    given = ours.network.given[0]
    numbers = tiles[0, :, 5, 5] * torch.tensor([1e-4, 1e-4, 1, 1]) + torch.tensor([0.1, 0.1, 0, 0])
    normal = (numbers - torch.tensor([0.2, 0.3, 2000, 15])) / torch.tensor([0.1, 0.2, 100, 5])
    torch.testing.assert_close(given[:, 5, 5], normal)
    assert (given[:2, 0, 0] == 0).all()
    assert (given[2:, 0, 0] != 0).all()
    assert given[2, 1, 1] == given[3, 1, 2] == 0
    assert given[2, 2, 2] == -20


def test_what_is_observed_is_the_bands_to_say() -> None:
    ours, tiles = mapper(Sees()), raw(2, 50, 70)
    tiles[0, :2, :5] = 0
    tiles[1, 2:, :9] = torch.nan
    said = ours(tiles)
    assert said.shape == (2, 50, 70)
    assert said[0, :5].isnan().all()
    assert said[0, 5:].isfinite().all()
    assert said[1].isfinite().all()


def test_beyond_a_tile_that_is_filled_up_no_layer_has_data() -> None:
    ours = mapper(Sees())
    ours(raw(1, 50, 64))
    assert ours.network.given.shape == (1, 4, 64, 64)
    assert (ours.network.given[:, :, 50:] == 0).all()


def test_without_layers_the_mapper_is_what_it_was() -> None:
    ours = SnowMapper(nn.Conv2d(2, 1, 1), 1e-4, 0, [0.2, 0.3], [0.1, 0.2])
    assert (ours.bands, ours.channels, ours.layers) == (2, 2, 0)
    assert set(ours.state_dict()) == {"scale", "offset", "mean", "std", "temperature", "network.weight", "network.bias"}


def test_the_graph_takes_layers_too() -> None:
    try:
        check_export()
    except RuntimeError as error:
        pytest.skip(str(error))
    torch.manual_seed(0)
    ours = mapper(nn.Sequential(nn.Conv2d(4, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 1, 1)))
    graph = exported(ours, raw(2, 60, 60))
    tiles = raw(3, 90, 40)
    tiles[0, 2:, :20] = torch.nan
    tiles[1, :2, :9] = 0
    torch.testing.assert_close(graph(tiles), ours(tiles), equal_nan=True)
